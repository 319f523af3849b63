"""The registered selectors wrap the very same functions, and hold to what they are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.contracts import component_params
from curate.errors import InputError, SchemaError, UnknownNameError
from curate.selectors import coreset
from curate.selectors.coreset.items import (
    Craig,
    FacilityLocation,
    GradMatch,
    GraphCut,
    Herding,
    KCenter,
    Moderate,
    Prototypes,
    SemDeDup,
)
from curate.selectors.coreset.scored import D2, Ccs, Hardest, Query
from curate.testing import ArrayView, check_selector

pytest.importorskip("numba")

N = 60
RNG = np.random.default_rng(0)
ORDER = RNG.permutation(N)
IDS = np.array([f"{i:03d}" for i in range(N)])
X = (4 * np.eye(4, 6)[np.arange(N) % 4] + RNG.standard_normal((N, 6))).astype(np.float32)
HARD = RNG.random(N)
VECTORS = X.copy()
VECTORS[7] = np.nan
VIEW = ArrayView(
    {
        "id": IDS[ORDER],
        "label": (np.arange(N) % 4).astype(str)[ORDER],
        "hard": HARD[ORDER],
        "tokens": (1.0 + np.arange(N) % 3)[ORDER],
        "rank": np.where(np.arange(N) < 4, 3.0 - np.arange(N), np.nan)[ORDER],
        "learned": (np.arange(N) != 9)[ORDER],
    },
    {"v": VECTORS[ORDER]},
)
ROWS = np.delete(np.arange(N), 7)
"""What can be chosen, in the order of ids."""

BY_VECTORS = [
    (FacilityLocation(embedding="v"), coreset.facility_location),
    (KCenter(embedding="v"), coreset.k_center),
    (Herding(embedding="v"), coreset.herding),
    (GraphCut(embedding="v", redundancy=0.7), lambda x, k: coreset.graph_cut(x, k, redundancy=0.7)),
    (Craig(embedding="v"), coreset.craig),
    (GradMatch(embedding="v"), coreset.grad_match),
    (Moderate(embedding="v"), coreset.moderate),
    (SemDeDup(embedding="v"), coreset.semdedup),
]
OTHERS = [
    Prototypes(embedding="v", clusters=5),
    Ccs(by="0 - hard", bins=4, drop=0.1),
    Hardest(by="hard"),
    D2(embedding="v", by="hard", neighbours=3),
    Query(embedding="v", by="hard", known="label = '0'"),
]


def ids_of(chosen: Any) -> list[str]:
    return IDS[ORDER][chosen.index].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("selector", "function"), BY_VECTORS, ids=lambda value: getattr(value, "name", ""))
def test_a_selector_is_its_function_on_the_items_in_the_order_of_ids(selector: Any, function: Any) -> None:
    chosen = check_selector(selector, VIEW, 9)
    assert ids_of(chosen) == IDS[ROWS[function(X[ROWS], 9).index]].tolist()
    assert "1 item without a finite 'v' could not be chosen" in chosen.reason
    assert chosen.seed is not None and chosen.random.keys() == {"objective", "random"}


@pytest.mark.parametrize("selector", OTHERS, ids=lambda value: value.name)
def test_selectors_with_scores_or_draws_keep_the_contract(selector: Any) -> None:
    assert len(check_selector(selector, VIEW, 9)) == 9


@pytest.mark.parametrize("selector", [s for s, _ in BY_VECTORS] + OTHERS, ids=lambda value: value.name)
def test_ranks_of_an_earlier_selection_costs_and_bans_hold(selector: Any) -> None:
    fields = {"mandatory": "rank", "forbidden": "id >= '050'"}
    if selector.name == "query":
        fields |= {"mandatory": "case when rank < 2.5 and label <> '0' then rank end"}
    kind = type(selector)
    params = component_params(selector) | fields
    chosen = kind(**params).select(VIEW, 8, np.random.default_rng(0))
    first = ["003", "002", "001"] if selector.name == "query" else ["003", "002", "001", "000"]
    assert ids_of(chosen)[: len(first)] == first
    assert chosen.reason[0] == "mandatory" and len(chosen) == 8
    assert max(ids_of(chosen)) < "050"
    dear = kind(**(params | {"mandatory": None, "cost": "tokens"})).select(
        VIEW, "20%", np.random.default_rng(0)
    )
    tokens = 1.0 + np.array([int(i) for i in ids_of(dear)]) % 3
    total = (1.0 + (ROWS if "embedding" in params else np.arange(N)) % 3).sum()
    assert 0 < tokens.sum() <= 0.2 * total + 1e-6
    assert tokens.sum() > 0.2 * total - 4
    estimate = selector.estimate(100_000, 64, 1000)
    assert estimate["seconds"] > 0 and estimate["bytes"] > 0


def test_the_never_learned_are_the_hardest() -> None:
    told = Hardest(by="hard", never_learned="not learned").select(VIEW, 3, np.random.default_rng(0))
    assert ids_of(told) == ["009", *IDS[np.argsort(-np.where(np.arange(N) == 9, -1, HARD))[:2]]]
    easy = Hardest(by="hard", never_learned="not learned", easiest=True).select(
        VIEW, N, np.random.default_rng(0)
    )
    assert ids_of(easy)[-1] == "009"


def test_what_is_known_is_not_asked_for() -> None:
    chosen = Query(embedding="v", by="hard", known="label = '0'").select(VIEW, 5, np.random.default_rng(0))
    labels = np.array(VIEW.to_arrow(["label"]).column(0).to_pylist())[chosen.index]
    assert "0" not in labels


def test_columns_that_are_not_there_or_no_vectors() -> None:
    with pytest.raises(UnknownNameError):
        KCenter(embedding="w").select(VIEW, 2, np.random.default_rng(0))
    with pytest.raises(SchemaError):
        KCenter(embedding="label").select(VIEW, 2, np.random.default_rng(0))
    with pytest.raises(InputError, match="must stay empty"):
        Ccs(group="label")
