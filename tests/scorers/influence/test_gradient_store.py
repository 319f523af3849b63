"""The gradient store: what goes in comes out, what is flagged is whole, and what does not belong is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import CorruptionError, InputError, StoreFormatError, StoreNotFoundError
from curate.scorers.influence import GradientStore, Header, Projection
from curate.scorers.influence.precision import decode, encode

PRECISIONS = ("fp16", "int8", "1-bit")


def header(rows=6, dim=24, checkpoints=("a", "b"), **changed):
    return Header(rows, dim, checkpoints, parameters=1000, projection=Projection(dim), **changed)


def filled(path, gradients, **changed):
    """A store of gradients (n, T, d)."""
    n, t, d = gradients.shape
    store = GradientStore.create(path, header(n, d, tuple("abcdefgh"[:t]), **changed))
    for checkpoint in range(t):
        store.write(np.arange(n), checkpoint, gradients[:, checkpoint])
    store.commit()
    return GradientStore.open(path)


def drawn(n=6, t=2, d=24):
    return np.random.default_rng(0).standard_normal((n, t, d)).astype(np.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("normalised", [True, False])
def test_rows_come_back_within_their_precision(tmp_path, precision, normalised):
    gradients = drawn() * 1e-6
    store = filled(tmp_path / "g", gradients, precision=precision, normalised=normalised)
    lengths = np.linalg.norm(gradients, axis=2, keepdims=True)
    expected = (gradients / lengths if normalised else gradients).reshape(6, 48)
    got = store.to_numpy()
    assert store.shape == got.shape == (6, 48) and len(store) == 6 and store.dtype == got.dtype
    cosine = (
        (got * expected).sum(1) / np.linalg.norm(got.astype(float), axis=1) / np.linalg.norm(expected, axis=1)
    )
    assert cosine.min() > {"fp16": 0.999999, "int8": 0.9999, "1-bit": 0.6}[precision]
    kept = np.linalg.norm(got.reshape(6, 2, 24).astype(float), axis=2)
    assert np.allclose(kept, 1 if normalised else lengths[..., 0], rtol=5e-3)
    assert np.allclose(store.norms, lengths[..., 0])
    assert np.array_equal(np.concatenate(list(store.chunks())), got)
    assert np.array_equal(store.take(np.array([4, 0])), got[[4, 0]])


def test_half_precision_rows_are_not_copied(tmp_path):
    store = filled(tmp_path / "g", drawn())
    assert store.dtype == np.float16
    assert isinstance(store.to_numpy(), np.memmap)
    assert np.shares_memory(store.to_numpy(), next(store.chunks()))


def test_codes_by_hand():
    coded = encode(np.array([[1.0, -2.0, 0.5, 0.0]], np.float32), "int8")
    assert coded.codes.tolist() == [[64, -127, 32, 0]] and np.isclose(coded.scales[0], 2 / 127)
    coded = encode(np.array([[3.0, -4.0]], np.float32), "1-bit")
    assert coded.codes.tolist() == [[0b10000000]] and np.isclose(coded.scales[0], 5 / np.sqrt(2))
    assert np.allclose(decode(coded.codes, coded.scales, 2), [[5 / 2**0.5, -5 / 2**0.5]])
    coded = encode(np.array([[3.0, -4e-7]], np.float32), "fp16")
    assert coded.scales[0] == 4 and np.allclose(
        decode(coded.codes, coded.scales, 2), [[3.0, -4e-7]], rtol=0.2
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_not_finite_are_nan_and_zeros_stay(tmp_path, precision):
    gradients = drawn()
    gradients[1, 0, 3] = np.nan
    gradients[2, 1, 0] = np.inf
    gradients[3] = 0
    store = filled(tmp_path / "g", gradients, precision=precision)
    assert store.usable.tolist() == [True, False, False, True, True, True]
    assert store.zero.tolist() == [False, False, False, True, False, False]
    values = np.asarray(store.to_numpy())
    assert np.isnan(values[1, :24]).all() and np.isfinite(values[1, 24:]).all()
    assert np.isnan(values[2, 24:]).all() and (values[3] == 0).all()


def test_one_item_is_enough(tmp_path):
    assert filled(tmp_path / "g", drawn(1, 1, 5)).to_numpy().shape == (1, 5)


def test_what_is_not_complete_is_not_read(tmp_path):
    store = GradientStore.create(tmp_path / "g", header())
    store.write(np.array([0, 2]), 0, drawn()[[0, 2], 0])
    assert store.todo(0).tolist() == [0, 1, 2, 3, 4, 5]  # not yet committed
    store.commit()
    assert store.todo(0).tolist() == [1, 3, 4, 5]
    for read in (
        store.to_numpy,
        lambda: next(store.chunks()),
        lambda: store.take(np.array([0])),
        lambda: store.codes,
    ):
        with pytest.raises(InputError, match="10 of 12 gradients are still to be computed"):
            read()
    assert "17% done" in repr(store)


def test_it_goes_on_where_it_was(tmp_path):
    ids = [f"item-{i}" for i in range(6)]
    store = GradientStore.create(tmp_path / "g", header(), ids=ids)
    store.write(np.array([5]), 1, drawn()[[5], 1])
    store.commit()
    again = GradientStore.create(tmp_path / "g", header(), ids=ids)
    assert again.todo(1).tolist() == [0, 1, 2, 3, 4] and again.ids == ids


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": "other"}, "a model with other parameters"),
        ({"checkpoints": ("a", "c")}, "other checkpoints"),
        ({"dataset": "other"}, "other items"),
        ({"kind": "adam"}, "kind: 'sgd', now 'adam'"),
        ({"projection": Projection(24, seed=1)}, "projection"),
        ({"precision": "int8"}, "precision: 'fp16', now 'int8'"),
    ],
)
def test_gradients_of_something_else_are_refused(tmp_path, changed, told):
    GradientStore.create(tmp_path / "g", header())
    with pytest.raises(InputError, match=told):
        GradientStore.create(tmp_path / "g", replace(header(), **changed))


def test_a_store_cut_off_is_refused(tmp_path):
    filled(tmp_path / "g", drawn())
    for name in ("rows.bin", "scales.bin", "done.bin"):
        whole = (tmp_path / "g" / name).read_bytes()
        (tmp_path / "g" / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CorruptionError, match=f"{name}.*cut off"):
            GradientStore.open(tmp_path / "g")
        with pytest.raises(CorruptionError, match="cut off"):
            GradientStore.create(tmp_path / "g", header())
        (tmp_path / "g" / name).unlink()
        with pytest.raises(CorruptionError, match=f"{name} is missing"):
            GradientStore.open(tmp_path / "g")
        (tmp_path / "g" / name).write_bytes(whole)
    GradientStore.open(tmp_path / "g")


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreNotFoundError, match=r"header\.json is missing"):
        GradientStore.open(tmp_path / "nothing")
    filled(tmp_path / "g", drawn())
    file = tmp_path / "g" / "header.json"
    text = file.read_text()
    file.write_text(text[:80])
    with pytest.raises(StoreFormatError, match="cut off"):
        GradientStore.open(tmp_path / "g")
    file.write_text(text.replace('"version": 1', '"version": 9'))
    with pytest.raises(StoreFormatError, match="version 9"):
        GradientStore.open(tmp_path / "g")
    file.write_text('{"format": "other"}')
    with pytest.raises(StoreFormatError, match="no header"):
        GradientStore.open(tmp_path / "g")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((np.arange(2), 0, np.ones((3, 24), np.float32)), "shape"),
        ((np.array([6]), 0, np.ones((1, 24), np.float32)), "rows 6 to 6"),
        ((np.array([0]), 2, np.ones((1, 24), np.float32)), "checkpoint 2"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path, arguments, told):
    store = GradientStore.create(tmp_path / "g", header())
    with pytest.raises(InputError, match=told):
        store.write(*arguments)
    with pytest.raises(InputError, match="open for reading"):
        GradientStore.open(tmp_path / "g").write(np.array([0]), 0, np.ones((1, 24), np.float32))


@pytest.mark.parametrize(
    "changed", [{"rows": 0}, {"checkpoints": ()}, {"rates": (0.1,)}, {"precision": "fp8"}, {"kind": "muon"}]
)
def test_headers_that_make_no_sense_are_refused(changed):
    with pytest.raises(InputError):
        header(**changed)
    with pytest.raises(InputError, match="projection to 8"):
        Header(2, 9, ("a",), 10, projection=Projection(8))


FILLER = """
import sys, time
import numpy as np
from curate.scorers.influence import GradientStore, Header, Projection
store = GradientStore.create(sys.argv[1], Header(400, 64, ("a", "b"), 100, projection=Projection(64), precision="int8"))
gradients = np.random.default_rng(0).standard_normal((400, 2, 64)).astype(np.float32)
for checkpoint in range(2):
    for row in store.todo(checkpoint):
        store.write(np.array([row]), checkpoint, gradients[[row], checkpoint])
        if row % 3 == 0:
            store.commit()
            print(row, flush=True)
            time.sleep(float(sys.argv[2]))
store.commit()
"""


@pytest.mark.crash
def test_a_kill_loses_nothing_that_was_flagged(tmp_path):
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", FILLER, str(tmp_path / "g"), "0.003"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.15)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    killed = GradientStore.open(tmp_path / "g")
    assert 0 < killed.done.sum() < 800
    subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path / "g"), "0"], check=True, stdout=subprocess.DEVNULL
    )
    subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path / "whole"), "0"], check=True, stdout=subprocess.DEVNULL
    )
    for name in ("rows.bin", "scales.bin", "norms.bin", "done.bin", "header.json"):
        assert (tmp_path / "g" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_it_goes_into_a_store_of_items_by_id(tmp_path):
    import curate

    gradients = filled(tmp_path / "g", drawn(3, 1, 4), precision="int8")
    GradientStore.create(tmp_path / "named", header(3, 4, ("a",)), ids=["c", "a", "b"])
    ids = GradientStore.open(tmp_path / "named").ids
    with curate.open(tmp_path / "items.curate", create=True) as store:
        store.add(
            pa.table({"id": ["a", "b", "c"], "text": ["x", "y", "z"], "label": ["k", "l", "k"]}), kind="label"
        )
        store.attach(gradients.to_numpy(), name="gradients", ids=ids)
        stored = store.items.vectors("gradients").to_numpy()
    assert np.allclose(stored, gradients.to_numpy()[[1, 2, 0]])
