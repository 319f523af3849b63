"""Group-fair weights: no group counts more, or is labelled otherwise, for its size alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError, UnknownNameError
from curate.selectors.reweighting.weighted import Draw, Weighted, as_codes, cap_weights, weigh

__all__ = ["Fairness", "group_weights", "rake"]

Fairness = Literal["independent", "equal", "equal-within-class"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def group_weights(
    groups: Any,
    labels: Any = None,
    *,
    aim: Fairness = "equal",
    cap: float | None = None,
    draw: Draw | None = None,
) -> Weighted:
    """Weights under which groups are treated alike.

    `groups` (n,) the group of each item, `labels` (n,) its class. `aim`:
    "equal": every group (with labels: every group of every class) has the same total weight;
    "independent": w = P(group) P(class) / P(group, class), so that class and group are independent and both keep their
    shares (reweighing: Kamiran and Calders 2012); needs labels;
    "equal-within-class": classes keep their shares, and within each the groups that occur in it are equal; needs labels.
    `cap`: no weight above so many times the mean (small groups are then short of their aim). Raises InputError for one
    group, missing labels, or values missing.
    """
    codes, names = as_codes(groups, "groups")
    if len(names) < 2:
        raise InputError(
            f"all {counted(len(codes), 'item is', 'items are')} of group {names[0]!r}: nothing is to be evened out"
        )
    if aim not in ("independent", "equal", "equal-within-class"):
        raise InputError(f"aim={aim!r}: independent, equal or equal-within-class")
    if labels is None and aim != "equal":
        raise InputError(f"aim={aim!r} needs labels")
    classes, kinds = as_codes(labels) if labels is not None else (np.zeros(len(codes), np.int64), [None])
    if len(classes) != len(codes):
        raise InputError(f"{counted(len(classes), 'label')} for {counted(len(codes), 'group')}")
    held = np.zeros((len(names), len(kinds)))
    np.add.at(held, (codes, classes), 1)
    present = held > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        if aim == "independent":
            cell = held.sum(1, keepdims=True) * held.sum(0) / held / len(codes)
        elif aim == "equal":
            cell = len(codes) / present.sum() / held
        else:
            cell = held.sum(0) / present.sum(0) / held
    weights = cell[codes, classes]
    weights = weights if cap is None else cap_weights(weights, cap)
    return weigh(weights, f"{aim} over {counted(len(names), 'group')}", draw)


def rake(
    axes: Mapping[str, Any],
    shares: Mapping[str, Mapping[Any, float]],
    *,
    rounds: int = 1000,
    tolerance: float = 1e-8,
    draw: Draw | None = None,
) -> Weighted:
    """Weights under which every axis has the shares asked for, as near to equal weights as can be (Deming and Stephan 1940).

    `axes`: by name, the value of each item, (n,); `shares`: by name, for each value the share it is to have (each axis
    is scaled to sum 1). Iterative proportional fitting: the axes are set right in turn until all are within `tolerance`.
    Raises UnknownNameError for a value that has a share and no item, InputError for a value without a share, or where no
    weights can have all these shares.
    """
    if not axes or set(axes) != set(shares):
        raise InputError(f"axes {sorted(axes)} and shares {sorted(shares)}: the same names, at least one")
    coded = []
    for name, values in axes.items():
        codes, kinds = as_codes(values, f"values of {name!r}")
        coded.append((codes, _aims(name, kinds, shares[name])))
    if len({len(codes) for codes, _ in coded}) > 1:
        raise InputError(f"axes of {[len(codes) for codes, _ in coded]} items: one length is meant")
    cells, inverse, counts = np.unique(
        np.column_stack([codes for codes, _ in coded]), axis=0, return_inverse=True, return_counts=True
    )
    mass, gap = counts / counts.sum(), 0.0
    for _ in range(rounds):
        gap = 0.0
        for axis, (_, aim) in enumerate(coded):
            held = np.bincount(cells[:, axis], mass, minlength=len(aim))
            gap = max(gap, float(np.abs(held - aim).max()))
            with np.errstate(divide="ignore", invalid="ignore"):
                mass = mass * np.where(held > 0, aim / held, 0.0)[cells[:, axis]]
        if gap <= tolerance:
            break
    if gap > max(tolerance, 1e-4):
        raise InputError(
            f"no weights give all these shares: after {counted(rounds, 'round')} one is still {gap:.2g} off. Some "
            "combinations of values have no items"
        )
    return weigh((mass / counts)[inverse.reshape(-1)], f"raked to the shares of {', '.join(axes)}", draw)


def _aims(name: str, kinds: list[Any], shares: Mapping[Any, float]) -> Floats:
    for value in shares:
        if value not in kinds and shares[value]:
            raise UnknownNameError(f"value of {name}", str(value), map(str, kinds))
    missing = [kind for kind in kinds if kind not in shares]
    if missing:
        raise InputError(f"{name}: no share is given for {missing[:5]}; 0 leaves a value out")
    aim = np.array([float(shares[kind]) for kind in kinds])
    if not (np.isfinite(aim).all() and (aim >= 0).all() and aim.sum() > 0):
        raise InputError(f"{name}: shares {dict(shares)}: numbers from 0 on, not all 0")
    return np.asarray(aim / aim.sum())
