"""The five kinds on real data: photos with captions, speech, labels with given probabilities, instructions, preferences."""

from __future__ import annotations

import csv
import zipfile

import numpy as np
import polars as pl
import pytest

import curate

pytestmark = pytest.mark.data


@pytest.fixture
def store(tmp_path):
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        yield opened


def test_photos_with_captions(data_dir, store, tmp_path):
    """Flickr: five captions a photo, and some captions whose photo is not there."""
    source = data_dir / "flickr8k_1k"
    with zipfile.ZipFile(source / "images.zip") as archive:
        archive.extractall(tmp_path / "photos")
    names = {p.name for p in (tmp_path / "photos").rglob("*.jpg")}
    rows, absent = [], 0
    with (source / "captions.tsv").open(encoding="utf-8") as file:
        for key, caption in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            name, _, number = key.partition("#")
            absent += name not in names and absent < 30
            if name in names or absent < 30:
                rows.append(
                    {
                        "id": key,
                        "image": str(tmp_path / "photos" / name),
                        "caption": caption,
                        "n": int(number),
                    }
                )
    absent = sum(row["image"].rpartition("/")[2] not in names for row in rows)
    record = store.add(pl.DataFrame(rows), kind="image-text")
    assert record.counts["rejected"] == absent > 0
    assert record.reasons == {"missing": absent}
    assert record.counts["added"] == len(rows) - absent
    store.score("image-basics")
    store.score("text-basics")
    store.score("exact-duplicate")
    record = store.score("near-duplicate", by="image")
    assert record.counts["failed"] == 0
    # Five rows share a photo: of each photo, one is kept.
    first = store.keep("not near_duplicate", name="one-each")
    assert len(names) - 5 <= len(first) <= len(names)
    store.select("top", by="image_sharpness", budget=50, within="one-each", name="sharp")
    result = store.export(tmp_path / "out", format="webdataset", selection="sharp")
    assert (result.counts["rows"], result.counts["failed"]) == (50, 0)
    assert store.report(tmp_path / "r.html").stat().st_size < 20_000_000
    assert store.verify() == []


def test_speech(data_dir, store, tmp_path):
    """Read sentences: 47 transcript lines have no sound and are listed; every sound that is there is scored."""
    source = data_dir / "lj_reread"
    rows = []
    for line in (source / "transcript.csv").read_text(encoding="utf-8").splitlines():
        key, text, _ = line.split("|")
        rows.append({"id": key, "audio": str(source / "flac" / f"{key}.flac"), "text": text})
    record = store.add(rows, kind="speech")
    assert record.counts == {
        "read": 188,
        "added": 141,
        "unchanged": 0,
        "changed": 0,
        "updated": 0,
        "rejected": 47,
    }
    seconds = store.sql("select sum(audio_seconds) as s from items").to_pylist()[0]["s"]
    assert seconds == pytest.approx(1072, abs=1)
    record = store.score("audio-basics")
    assert record.counts["failed"] == 0
    long = store.keep("audio_duration > 5 and audio_snr > 10")
    assert 0 < len(long) < 141
    store.export(tmp_path / "out", format="parquet", selection=long.name, media="embed")
    assert pl.read_parquet(str(tmp_path / "out" / "data" / "*.parquet")).height == len(long)


def test_labels_with_given_probabilities(data_dir, store, tmp_path):
    """CIFAR-10N: JPEGs, human labels, a model's probabilities joined by id; flags against the true labels and chance."""
    given = np.load(data_dir / "led_pred_probs" / "cifar10n_worst_resnet18.npz")
    n = 2000
    index = pl.read_csv(data_dir / "cifar10_images" / "train_first15000_index.csv").head(n)
    with zipfile.ZipFile(data_dir / "cifar10_images" / "train_first15000.zip") as archive:
        archive.extractall(tmp_path, members=index["path"].to_list())
    noisy, true = given["noisy"][:n], given["true"][:n]
    frame = pl.DataFrame(
        {
            "id": [f"c{i}" for i in index["cifar_index"]],
            "image": [str(tmp_path / path) for path in index["path"]],
            "label": noisy.astype(str),
        }
    )
    assert store.add(frame, kind="label").counts["added"] == n
    shuffled = np.random.default_rng(0).permutation(n)
    np.savez(tmp_path / "p.npz", pred_probs=given["pred_probs"][:n][shuffled])
    ids = [f"c{i}" for i in shuffled]
    assert (
        store.attach(tmp_path / "p.npz", name="pred_probs", ids=ids, key="pred_probs").counts["scored"] == n
    )
    store.score("confident-learning")
    flagged = store.items.to_arrow(["label_issue"])["label_issue"].to_numpy()
    wrong = noisy != true
    precision, recall = wrong[flagged].mean(), flagged[wrong].mean()
    assert precision > 0.85 > 2 * wrong.mean(), "well above flags at random"
    assert recall > 0.7


def test_instructions_and_preferences(data_dir, store, tmp_path):
    """GSM8K and HH-RLHF: near-duplicate questions found by text, both kinds in one store, exported one at a time."""
    store.add(
        data_dir / "gsm8k" / "test.jsonl",
        kind="instruction",
        columns={"instruction": "question", "output": "answer"},
    )
    store.add(data_dir / "hh_rlhf" / "harmless-base" / "test.jsonl.gz", kind="preference")
    assert len(store) == 1319 + 2312
    store.score("text-basics")
    record = store.score("exact-duplicate", columns=("instruction",), where="instruction is not null")
    assert record.counts["scored"] == 1319
    store.score("near-duplicate", by="text", where="instruction is not null")
    with pytest.raises(curate.errors.InputError, match="several kinds"):
        store.export(tmp_path / "mixed")
    maths = store.keep("instruction is not null and not near_duplicate", name="maths")
    assert 1200 < len(maths) <= 1319
    store.export(tmp_path / "maths", format="jsonl", selection="maths")
    lines = pl.read_ndjson(str(tmp_path / "maths" / "data" / "*.jsonl"))
    assert lines.height == len(maths)
