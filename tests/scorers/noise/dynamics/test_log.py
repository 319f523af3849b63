"""`LogitLog`: there and back, resuming, crashes, torn files, logs of something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.errors import CorruptionError, InputError
from curate.scorers.noise import LogitLog, training_dynamics

IDS, LABELS = ["a", "b", "c"], np.array([0, 1, 1])


def logged(folder: Path, epochs: int = 2, dtype: str = "float32") -> tuple[LogitLog, np.ndarray]:
    log = LogitLog.create(folder, IDS, LABELS, ["cat", "dog"], dtype=dtype)
    values = np.random.default_rng(0).normal(size=(epochs, 3, 2)).astype(np.float32)
    for epoch in values:
        with log.epoch() as writer:
            writer.record(np.array([2, 0]), epoch[[2, 0]])
            writer.record([1], epoch[1:2])
    return log, values


def test_there_and_back(tmp_path: Path) -> None:
    _, values = logged(tmp_path / "log")
    log = LogitLog.open(tmp_path / "log")
    assert (log.ids.to_pylist(), log.labels.tolist(), log.classes) == (IDS, LABELS.tolist(), ("cat", "dog"))
    assert len(log) == 2
    np.testing.assert_array_equal(np.stack(list(log)), values)
    assert isinstance(log[0], np.memmap)
    assert training_dynamics(log, log.labels).epochs.tolist() == [2, 2, 2]


def test_half_precision_takes_half_the_space_and_cuts_what_it_cannot_hold(tmp_path: Path) -> None:
    log, _ = logged(tmp_path / "half", dtype="float16")
    wide, _ = logged(tmp_path / "single")
    assert log.path_of(0).stat().st_size < wide.path_of(0).stat().st_size
    with log.epoch() as writer:
        writer.record([0], np.array([[1e9, -1e9]]))
    assert log[2][0].tolist() == [65504.0, -65504.0]
    assert np.isnan(log[2][1:]).all()


def test_tensors_are_taken_as_they_come(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="extra train not installed")
    log, _ = logged(tmp_path)
    with log.epoch() as writer:
        logits = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
        writer.record(torch.tensor([1]), logits)
        writer.record(torch.tensor([1]), logits + 1)  # the last counts
    assert log[2][1].tolist() == [2.0, 3.0]


def test_the_same_call_goes_on(tmp_path: Path) -> None:
    logged(tmp_path, epochs=2)
    log = LogitLog.create(tmp_path, IDS, LABELS, ["cat", "dog"], dtype="float32")
    with log.epoch() as writer:
        writer.record([0], np.ones((1, 2)))
    assert len(log) == 3
    with log.epoch(1) as writer:  # from a checkpoint: what came after it is written again
        writer.record([0], np.zeros((1, 2)))
    assert len(log) == 3 and log[1][0].tolist() == [0, 0]
    for gap in (5, -1):
        with pytest.raises(InputError, match="0 to 3 can be written"):
            log.epoch(gap)


def test_a_crash_loses_the_epoch_under_way_and_nothing_else(tmp_path: Path) -> None:
    log, values = logged(tmp_path)
    with pytest.raises(KeyboardInterrupt), log.epoch() as writer:
        writer.record([0], np.ones((1, 2)))
        raise KeyboardInterrupt
    assert len(log) == 2 and not list(tmp_path.glob(".epoch*"))
    log.epoch().__enter__().record([0], np.ones((1, 2)))  # and a writer that was killed
    assert list(tmp_path.glob(".epoch*"))
    np.testing.assert_array_equal(np.stack(list(LogitLog.open(tmp_path))), values)
    LogitLog.create(tmp_path, IDS, LABELS, ["cat", "dog"], dtype="float32")
    assert not list(tmp_path.glob(".epoch*"))


@pytest.mark.parametrize("size", [0, 40, 130, -4])
def test_a_torn_epoch_is_named(tmp_path: Path, size: int) -> None:
    log, _ = logged(tmp_path)
    path = log.path_of(1)
    path.write_bytes(path.read_bytes()[:size])
    assert len(LogitLog.open(tmp_path)) == 2 and log[0].shape == (3, 2)
    with pytest.raises(CorruptionError, match=r"epoch-000001.npy is not whole.*Epochs before it can be used"):
        _ = log[1]
    with pytest.raises(CorruptionError, match="not whole"):
        training_dynamics(log, log.labels)


def test_an_epoch_of_other_items_is_named(tmp_path: Path) -> None:
    log, _ = logged(tmp_path)
    np.save(log.path_of(1), np.zeros((4, 2), np.float32))
    with pytest.raises(CorruptionError, match=r"it holds \(4, 2\)"):
        _ = log[1]


def test_a_missing_epoch_is_named(tmp_path: Path) -> None:
    log, _ = logged(tmp_path, epochs=3)
    log.path_of(1).unlink()
    with pytest.raises(CorruptionError, match="epoch 1 is missing"):
        len(log)


def test_a_torn_list_of_items_is_named(tmp_path: Path) -> None:
    logged(tmp_path)
    items = tmp_path / "items.arrow"
    items.write_bytes(items.read_bytes()[:-40])
    with pytest.raises(CorruptionError, match="torn"):
        LogitLog.open(tmp_path)
    with pytest.raises(InputError, match="no log"):
        LogitLog.open(tmp_path / "elsewhere")


def test_a_log_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    logged(tmp_path)
    given = {"ids": IDS, "labels": LABELS, "classes": ["cat", "dog"], "dtype": "float32"}
    for change, message in (
        ({"ids": ["a", "x", "c"]}, "row 1 is b in the log, x"),
        ({"labels": [0, 1, 0]}, "1 label is not those of the log, as c"),
        ({"classes": ["cat", "eel"]}, "classes"),
        ({"dtype": "float16"}, "dtype"),
        ({"ids": ["a", "b"], "labels": [0, 1]}, "of 3 items, not 2"),
    ):
        with pytest.raises(InputError, match=message):
            LogitLog.create(tmp_path, **(given | change))
    assert len(LogitLog.create(tmp_path, **given)) == 2


def test_bad_items_are_refused(tmp_path: Path) -> None:
    for ids, labels, classes, message in (
        (["a", "a"], [0, 1], 2, "1 of them distinct"),
        (["a", "b"], [0, 2], 2, r"row 1: 2"),
        (["a", "b"], [0], 2, "one for each of the 2 ids"),
        (["a", "b"], [0.0, 0.5], 2, "whole numbers"),
        (["a", "b"], [0, 0], 1, "at least two"),
        ([], np.zeros(0, int), 2, "no items"),
    ):
        with pytest.raises(InputError, match=message):
            LogitLog.create(tmp_path / "log", ids, labels, classes)
    with pytest.raises(InputError, match="float64"):
        LogitLog.create(tmp_path / "log", ["a", "b"], [0, 1], 2, dtype="float64")
    assert not (tmp_path / "log").exists()


def test_bad_batches_are_refused_and_leave_no_epoch(tmp_path: Path) -> None:
    log, _ = logged(tmp_path)
    for rows, logits, message in (
        ([0, 1], np.zeros((1, 2)), "for 2 rows"),
        ([0], np.zeros((1, 3)), r"\(1, 2\) are meant"),
        ([3], np.zeros((1, 2)), "0 to 2"),
        ([-1], np.zeros((1, 2)), "0 to 2"),
        ([0.0], np.zeros((1, 2)), "integers"),
    ):
        with pytest.raises(InputError, match=message), log.epoch() as writer:
            writer.record(rows, logits)
    with pytest.raises(InputError, match="nothing was recorded"), log.epoch():
        pass
    with pytest.raises(InputError, match="within the `with` block"):
        log.epoch().record([0], np.zeros((1, 2)))
    assert len(log) == 2 and not list(tmp_path.glob(".epoch*"))
