"""Greedy information projection: items whose span holds as much of the queries as can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_rows
from curate.choosing import Account, Constraints, Meter, Rng, at_random, generator
from curate.contracts import Budget, Selection
from curate.counting import counted
from curate.errors import InputError

__all__ = ["information_projection"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def information_projection(
    x: npt.NDArray[Any],
    queries: npt.NDArray[Any] | None,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    quality: npt.NDArray[Any] | None = None,
) -> Selection:
    """Choose rows of `x` (n, d), embeddings, so that the queries lie in their span as far as can be.

    Maximises the sum over queries of |P q|^2, P the projection on the span of the rows chosen, greedily and exactly: the
    next row is that with the greatest rise, |Q P' x|^2 / |P' x|^2 with P' = I - P. It is relevant, for x must lie along
    what is missing of the queries, and diverse, for what the others span counts no more. Once the queries are spanned, or
    nothing adds to them, the same begins anew with the rows that are left.

    `queries` (m, d), or None for the rows themselves: then the whole pool is to be spanned.
    `quality` (n,) at least 0, by which rises are multiplied.
    `within`  constraints; with costs, rise per cost.

    Returns a Selection: `index` (k,) in the order chosen, `weight` 1, `gain` (k,) the share of the queries' squared lengths
    that each added in its turn, `random` that share, higher is better, by the first of as many rows as there are dimensions, here
    and at random. Ties go to the lower row. Time n d k, memory a copy of x. After "Greedy Information Projection", arXiv
    2603.13790, known to us by its abstract. Raises InputError for shapes that do not fit, and values that are not finite.
    """
    meter = Meter()
    x = _matrix(x, "x")
    asked = x if queries is None else _matrix(queries, "queries")
    if asked.shape[1] != x.shape[1]:
        raise InputError(f"queries have {counted(asked.shape[1], 'dimension')}, x has {x.shape[1]}")
    if not asked.any():
        raise InputError("the queries are all zero: there is nothing to span")
    good = np.ones(len(x)) if quality is None else as_floats(quality, "quality")
    if good.shape != (len(x),) or not np.isfinite(good).all() or (good < 0).any():
        raise InputError(
            f"quality of shape {good.shape}: one finite number from 0 on for each of {counted(len(x), 'row')}"
        )
    terms = (within or Constraints()).terms(len(x), budget)
    account = Account(terms)
    factor = _factor(asked)
    rows, gains = _span(x, factor, terms.first.tolist(), account, good / terms.cost)
    chosen = np.array(rows, np.int64)
    other = at_random(terms, generator(rng))
    return Selection(
        chosen,
        weight=np.ones(len(chosen), np.float32),
        gain=np.array(gains, np.float32),
        random={"objective": _held(x, factor, chosen), "random": _held(x, factor, other)},
        **meter.read(),
    )


def _span(
    x: Floats, factor: Floats, first: list[int], account: Account, worth: Floats
) -> tuple[list[int], list[float]]:
    """Rows in the order chosen, and what each added. A turn ends when nothing adds any more."""
    total = float((factor**2).sum())
    squares = np.einsum("ij,ij->i", x, x)
    rows: list[int] = []
    gains: list[float] = []
    while account or first:
        missing, left = factor.copy(), squares.copy()
        along = x @ missing.T
        energy = np.einsum("ij,ij->i", along, along)
        basis = np.empty((0, x.shape[1]))
        begun = len(rows)
        while account or first:
            free = left > 1e-9 * squares
            rise = np.where(free, energy / np.where(free, left, 1), 0.0)
            value = np.where(account.open, rise * worth, -1.0)
            if first:
                row = first.pop(0)
            else:
                row = int(value.argmax())
                if rise[row] <= 1e-10 * total and begun < len(rows):
                    break
                account.take(row)
            rows.append(row)
            gains.append(float(rise[row]) / total)
            if not free[row]:
                continue
            new = x[row] - (x[row] @ basis.T) @ basis
            new -= (new @ basis.T) @ basis
            new /= np.linalg.norm(new)
            basis = np.vstack([basis, new])
            on, share = x @ new, missing @ new
            left -= on * on
            along -= np.outer(on, share)
            missing -= np.outer(share, new)
            energy = np.einsum("ij,ij->i", along, along)
    return rows, gains


def _factor(queries: Floats) -> Floats:
    """Rows (r, d) with the same products X'X as the queries: as few as their rank."""
    if len(queries) <= queries.shape[1]:
        return queries
    values, vectors = np.linalg.eigh(queries.T @ queries)
    kept = values > 1e-12 * values[-1]
    return np.asarray(np.sqrt(values[kept])[:, None] * vectors[:, kept].T)


def _held(x: Floats, factor: Floats, rows: Ints) -> float:
    """The share of the queries' squared lengths in the span of the first d of these rows."""
    basis, values, _ = np.linalg.svd(x[rows[: x.shape[1]]].T, full_matrices=False)
    basis = basis[:, values > 1e-6 * values[0]] if values.any() else basis[:, :0]
    return float(((factor @ basis) ** 2).sum() / (factor**2).sum())


def _matrix(values: npt.NDArray[Any], what: str) -> Floats:
    values = as_rows(values, what).astype(np.float64)
    if not values.size:
        raise InputError(f"{what} has shape {values.shape}: at least one row and one dimension are meant")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), f'row of {what} is', f'rows of {what} are')} not finite, as row {bad[0]}: leave them "
            "out"
        )
    return values
