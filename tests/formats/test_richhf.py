"""RichHF-18K from its TFRecord files: scores, words, heat maps."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_tfrecord import example, field

from curate.errors import InputError
from curate.formats.rated import read_richhf
from curate.formats.richhf import heat_map, label_words
from curate.formats.tfrecord import _masked_crc


def record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    crc = [struct.pack("<I", _masked_crc(part)) for part in (head, data)]
    return head + crc[0] + data + crc[1]


def picture(grey: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def one(name: str, score: float, words: str, heat: bytes) -> bytes:
    def real(value: float) -> bytes:
        return field(2, field(1, struct.pack("<f", value)))

    def raw(value: bytes) -> bytes:
        return field(1, field(1, value))

    return record(
        example(
            filename=raw(name.encode()),
            misalignment_score=real(score),
            artifact_score=real(0.5),
            aesthetics_score=real(0.25),
            overall_score=real(1.0),
            prompt_misalignment_label=raw(words.encode()),
            artifact_map=raw(heat),
            misalignment_map=raw(heat),
        )
    )


def test_records_become_rows(tmp_path: Path) -> None:
    grey = np.zeros((6, 8), np.uint8)
    grey[2, 3] = 255
    path = tmp_path / "train.tfrecord"
    path.write_bytes(one("train/ab12.png", 0.75, "1 0", picture(grey)) + one("train/cd.png", 0.0, "1", b"?"))
    table = read_richhf(path, prompts={"ab12": "red car"}, maps=True)
    first, second = table.to_pylist()
    assert (first["id"], first["prompt"], first["score"], first["words"]) == (
        "train/ab12.png",
        "red car",
        0.75,
        [1, 0],
    )
    assert (first["artifact_score"], first["aesthetics_score"], first["overall_score"]) == (0.5, 0.25, 1.0)
    assert second["prompt"] is None and second["score"] == 0.0
    heat = heat_map(first["misalignment_map"])
    assert heat.shape == (6, 8) and heat.dtype == np.float32
    assert heat[2, 3] == 1.0 and heat.sum() == 1.0
    with pytest.raises(InputError, match="cannot be read"):
        heat_map(second["artifact_map"])
    assert "artifact_map" not in read_richhf(path).column_names
    assert "prompt" not in read_richhf(path).column_names


def test_words_are_cut_as_the_authors_cut_them() -> None:
    assert label_words('A red, "hot" dog; no.', [1, 0, 1, 1, 0]) == [
        {"element": "A", "score": 1.0},
        {"element": "red", "score": 0.0},
        {"element": "hot", "score": 1.0},
        {"element": "dog", "score": 1.0},
        {"element": "no", "score": 0.0},
    ]
    assert label_words("a dog", [1]) is None
    assert label_words("", []) == []


def test_a_huge_map_is_refused() -> None:
    with pytest.raises(InputError, match="5000 x 5000"):
        heat_map(picture(np.zeros((5000, 5000), np.uint8)))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.tfrecord"
    path.write_bytes(one("a.png", 0.5, "1", b"x")[:-9])
    with pytest.raises(InputError, match="cut off in record 0"):
        read_richhf(path)
