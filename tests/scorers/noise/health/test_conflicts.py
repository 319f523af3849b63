"""Labels that differ between near-duplicates: by hand, at chance, and nothing to compare."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.noise.health.conflicts import LabelConflicts, label_conflicts
from curate.testing import check_analysis


def test_by_hand() -> None:
    groups = np.array([7, 7, 7, 3, 3, 5, -1, 9, 9])
    labels = np.array([0, 0, 1, 2, 2, 1, 0, 1, -1])
    found = label_conflicts(groups, labels)
    assert found.groups.tolist() == [7]
    assert found.labelled == 2  # 5 and 9 have one labelled item each
    # of 7's three pairs two disagree; weights 3 and 2: 3 * (2/3) / 5
    assert found.share == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    assert found.chance == pytest.approx(1 - (4 + 9 + 4) / 49)  # seven labelled items in groups: 2, 3, 2
    np.testing.assert_allclose(found.pairs, [[0, 2 / 3, 0], [2 / 3, 0, 0], [0, 0, 0]])


def test_random_groups_disagree_as_often_as_chance() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 6000)
    found = label_conflicts(rng.integers(0, 2000, 6000), labels)
    assert found.low < found.chance < found.high
    assert found.chance == pytest.approx(0.75, abs=0.01)


def test_the_interval_holds_planted_noise() -> None:
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        truth = np.repeat(rng.integers(0, 10, 300), 2)
        labels = np.where(rng.random(600) < 0.1, (truth + rng.integers(1, 10, 600)) % 10, truth)
        found = label_conflicts(np.arange(600) // 2, labels)
        expected = 2 * 0.1 * 0.9 + 0.01 * 8 / 9
        held += found.low <= expected <= found.high
    assert held >= 88


def test_nothing_to_compare() -> None:
    for groups, labels in (([], []), ([-1, -1], [0, 1]), ([1, 2], [0, 1]), ([1, 1], [0, -1])):
        found = label_conflicts(np.array(groups, int), np.array(labels, int))
        assert (len(found.groups), found.labelled) == (0, 0) and np.isnan(found.share)
    with pytest.raises(InputError, match="both"):
        label_conflicts(np.zeros(2, int), np.zeros(3, int))


def view(labels: list[str | None], groups: list[int | None]) -> ArrayView:
    ids = [f"item-{i}" for i in range(len(labels))]
    return ArrayView({"id": ids, "label": labels, "near_duplicate_group": groups})


def test_conflicts_are_listed_with_ids() -> None:
    found = check_analysis(
        LabelConflicts(), view(["cat", "dog", "cat", "eel", "eel", None], [0, 0, 0, 1, 1, 1])
    )
    assert found.summary.startswith("1 of 2 groups of near-duplicates bear different labels")
    listed, meet = found.findings
    assert listed.serious and listed.table.to_pylist() == [
        {"group": "0", "items": 3, "labels": "cat x 2, dog x 1", "ids": "item-0, item-1, item-2"}
    ]
    assert meet.table.to_pylist() == [{"labels": "cat / dog", "items": pytest.approx(4 / 3)}]


def test_groups_that_are_no_copies_are_suspected() -> None:
    rng = np.random.default_rng(0)
    mixed = view(rng.choice(["a", "b"], 60).tolist(), (np.arange(60) // 2).tolist())
    assert "hold more than copies" in LabelConflicts().analyse(mixed).findings[0].text


def test_copies_that_agree_and_columns_of_nothing() -> None:
    agree = check_analysis(LabelConflicts(), view(["cat", "cat", "dog"], [0, 0, None]))
    assert [f.title for f in agree.findings] == ["Copies agree"] and not agree.findings[0].serious
    for nothing in (view(["cat", "dog"], [None, None]), view([None, None], [0, 0])):
        assert "nothing to compare" in check_analysis(LabelConflicts(), nothing).summary


def test_columns_are_parameters() -> None:
    table = ArrayView({"id": ["a", "b"], "mine": ["x", "y"], "copies": ["g", "g"]})
    analysis = LabelConflicts(group="copies", label="mine")
    assert analysis.needs == ("mine", "copies")
    assert analysis.analyse(table).findings[0].table["group"].to_pylist() == ["g"]
