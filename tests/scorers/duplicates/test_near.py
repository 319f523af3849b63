"""The near-duplicate scorer: its contract three ways, and planted copies of real images and texts."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.errors import InputError, SchemaError
from curate.scorers.duplicates.minhash import MinHash
from curate.scorers.duplicates.near import NearDuplicate
from curate.scorers.duplicates.phash import PerceptualHash, perceptual_hash, shrink
from curate.testing import ArrayView, check_scorer, score_all


def image_view(hashes: list[int | None], ids: list[str], **extra: object) -> ArrayView:
    return ArrayView({"id": ids, "phash": pa.array(hashes, pa.uint64()), **extra})


def text_view(texts: list[str | None], ids: list[str] | None = None, **extra: object) -> ArrayView:
    scored = score_all(MinHash(), ArrayView({"text": pa.array(texts, pa.string())}))
    names = ids or [f"{i:05d}" for i in range(len(texts))]
    return ArrayView(
        {"id": names, "text": pa.array(texts, pa.string()), "minhash": scored["minhash"], **extra}
    )


def test_what_it_gives_by_hand() -> None:
    view = image_view([0b0, 0b1, 2**64 - 1, None, 0b111, 2**40 - 1], ["b", "a", "c", "d", "e", "f"])
    scored = score_all(NearDuplicate(by="image", distance=2), view)
    assert scored["near_duplicate"].to_pylist() == [True, False, False, None, True, False]
    assert scored["near_duplicate_of"].to_pylist() == ["a", None, None, None, "a", None]
    assert scored["near_duplicate_group"].to_pylist() == [0, 0, None, None, 0, None]
    near = 1 - 1 / 64
    assert scored["near_duplicate_similarity"].to_pylist() == [near, None, None, None, 1 - 2 / 64, None]
    assert scored["near_duplicate_score"].to_pylist() == [1 - near, 1.0, 1.0, None, 2 / 64, 1.0]
    assert scored["near_duplicate_reason"].to_pylist()[3] == "no fingerprint: the image could not be opened"


def test_prefer_keeps_the_better_and_numbers_groups_by_it() -> None:
    view = image_view([0, 1, 2**63 - 1, 2**63 - 2], list("abcd"), quality=[0.1, 0.2, 0.9, None])
    scored = score_all(NearDuplicate(by="image", prefer="quality"), view)
    assert scored["near_duplicate_of"].to_pylist() == ["b", None, None, "c"]
    assert scored["near_duplicate_group"].to_pylist() == [1, 1, 0, 0]


def test_contract_by_image() -> None:
    colours = np.zeros((5, 48), np.uint8)
    colours[3] = 90
    view = image_view([7, 6, 2**64 - 1, 7, 2**32 - 1], ["e", "a", "b", "d", "c"])
    check_scorer(NearDuplicate(by="image"), view, planted=("a", "e"))
    with_colours = ArrayView(view.to_arrow(), {"phash_thumb": colours})
    check_scorer(NearDuplicate(by="image"), with_colours, planted=("d", "e"))
    lenient = score_all(NearDuplicate(by="image", tolerance=90.0), with_colours)
    assert lenient["near_duplicate_of"].to_pylist() == ["a", None, None, "a", None]


def test_contract_by_text() -> None:
    dog = "a brown dog runs on the wide beach"
    view = text_view(
        [dog + " today", dog, "two men talk about a car", dog.upper() + "!"], ["d", "a", "b", "c"]
    )
    check_scorer(NearDuplicate(by="text"), view, planted=("a", "d"))
    scored = score_all(NearDuplicate(by="text"), view)
    assert scored["near_duplicate_of"].to_pylist() == ["a", None, None, "a"]
    assert scored["near_duplicate_similarity"].to_pylist()[0] == pytest.approx(30 / 36)
    assert score_all(NearDuplicate(by="text", similarity=0.9), view)["near_duplicate"].to_pylist()[0] is False
    words = score_all(NearDuplicate(by="text", unit="word", size=1), view)
    assert words["near_duplicate_similarity"].to_pylist()[0] == pytest.approx(8 / 9)
    written = score_all(NearDuplicate(by="text", normalise=False), view)
    assert written["near_duplicate"].to_pylist() == [True, False, False, False]


def test_contract_by_embedding() -> None:
    rows = np.array([[1, 0], [1, 0.1], [0, 1], [0, 0], [-1, 0]], np.float32)
    view = ArrayView({"id": ["e", "a", "b", "d", "c"]}, {"vec": rows})
    check_scorer(NearDuplicate(by="embedding", embedding="vec"), view, planted=("a", "e"))
    scored = score_all(NearDuplicate(by="embedding", embedding="vec"), view)
    assert scored["near_duplicate_of"].to_pylist() == ["a", None, None, None, None]
    assert scored["near_duplicate_reason"].to_pylist() == [None, None, None, "no vector to compare", None]
    strict = NearDuplicate(by="embedding", embedding="vec", cosine=0.999)
    assert score_all(strict, view)["near_duplicate"].to_pylist() == [False, False, False, None, False]


def test_auto_follows_the_kind_and_the_columns() -> None:
    auto = NearDuplicate()
    assert auto.resolve(["id", "image", "caption"], "image-text").needs == ("phash",)
    assert auto.resolve(["id", "text", "label"], "label").needs == ("minhash", "text")
    assert auto.resolve(["id", "image", "label"], "label").by == "image"
    assert auto.resolve(["id", "instruction", "output"], "instruction").by == "text"
    named = NearDuplicate(embedding="clip_image", prefer="q").resolve(
        ["id", "image", "caption"], "image-text"
    )
    assert named.needs == ("clip_image", "q")
    assert NearDuplicate(by="text").resolve(["id", "image", "caption"], "image-text").by == "text"
    spoken = ["id", "audio", "text", "label"]  # of 2,000 spoken digits 1,990 say the same as another
    for kind, columns in (("speech", spoken[:3]), ("label", spoken), ("label", ["id", "audio", "label"])):
        with pytest.raises(InputError, match=r"sounds are compared by an embedding.*by='text'.*Columns: id"):
            auto.resolve(columns, kind)
    assert auto.resolve(["id", "audio", "image", "label"], "label").by == "image"
    with pytest.raises(InputError, match=r"kind 'label' have neither.*embedding=.*Columns: id"):
        auto.resolve(["id", "label"], "label")
    with pytest.raises(InputError, match="name its column"):
        NearDuplicate(by="embedding").resolve(["id"], "speech")


def test_auto_without_a_kind_takes_what_is_there() -> None:
    view = image_view([0, 1], ["a", "b"])
    assert score_all(NearDuplicate(), view)["near_duplicate"].to_pylist() == [False, True]
    with pytest.raises(SchemaError, match="not a 64-bit hash"):
        NearDuplicate(by="image").fit(ArrayView({"phash": ["00ff", "00fe", "0"]}))


# --- Planted copies of real items -----------------------------------------------------------------------------------


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(io.BytesIO(data.getvalue()))


EDITS: list[Callable[[Image.Image], Image.Image]] = [
    lambda image: jpeg(image, 30),
    lambda image: image.resize((image.width // 2, image.height // 2)),
    lambda image: image.resize((image.width * 2, image.height * 2)),
    lambda image: image.point(lambda v: min(255, int(v * 1.1))),
]


@pytest.mark.data
def test_edited_copies_of_photographs_are_found_and_nothing_else(
    flickr: list[Image.Image], tmp_path: Path
) -> None:
    for i, image in enumerate(flickr[:120]):
        image.save(tmp_path / f"{i:03d}.png")
    for i in range(40):
        EDITS[i % 4](flickr[i].convert("RGB")).convert("RGB").save(tmp_path / f"{i:03d}~copy.png")
    files = sorted(tmp_path.iterdir())
    view = ArrayView({"id": [f.stem for f in files], "image": [str(f) for f in files]})
    prints = score_all(PerceptualHash(), view)
    table = view.to_arrow().append_column("phash", prints["phash"])
    full = ArrayView(table.append_column("phash_thumb", prints["phash_thumb"]))
    scored = score_all(NearDuplicate().resolve(full.columns, "image-text"), full)
    found = {f.stem: of for f, of in zip(files, scored["near_duplicate_of"].to_pylist(), strict=True) if of}
    assert found == {f"{i:03d}~copy": f"{i:03d}" for i in range(40)}


def edited(text: str, words: list[str], rng: random.Random) -> str:
    """One word replaced, dropped or added, or another case."""
    parts, how = text.split(), rng.randrange(4)
    place = rng.randrange(len(parts))
    if how == 3:
        return text.upper().replace(" ", "  ")
    return " ".join([*parts[:place], *([rng.choice(words)] if how != 1 else []), *parts[place + (how < 2) :]])


@pytest.mark.data
@pytest.mark.parametrize(("source", "recall"), [("gsm8k", 0.98), ("captions", 0.75)])
def test_edited_copies_of_texts_are_found(
    source: str, recall: float, data_dir: Path, captions: list[str]
) -> None:
    texts = captions[::8]
    if source == "gsm8k":
        lines = (data_dir / "gsm8k" / "test.jsonl").read_text().splitlines()
        texts = [json.loads(line)["question"] for line in lines]
    rng = random.Random(0)
    words = " ".join(texts).split()
    copied = rng.sample(range(len(texts)), len(texts) // 10)
    view = text_view([*texts, *(edited(texts[i], words, rng) for i in copied)])
    flagged = score_all(NearDuplicate(by="text"), view)["near_duplicate"].to_numpy()
    original = score_all(NearDuplicate(by="text"), text_view(texts))["near_duplicate"].to_numpy()
    planted = np.arange(len(view)) >= len(texts)
    assert flagged[planted].mean() >= recall
    assert np.array_equal(flagged[~planted], original)  # the copies come later: they strike out no original
    at_random = planted.mean()
    assert planted[flagged & ~np.append(original, np.zeros(len(copied), bool))].mean() > 9 * at_random


@pytest.mark.data
def test_digits_by_pixels_and_cifar_by_hash_agree_with_comparing_all(data_dir: Path) -> None:
    import zipfile

    with zipfile.ZipFile(data_dir / "cifar10_images" / "test.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))[:3000]
        shrunk = [shrink(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    hashes = perceptual_hash(np.stack([s[0] for s in shrunk]))
    near = np.triu(np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= 10, 1)
    view = image_view(hashes.tolist(), names)
    flagged = score_all(NearDuplicate(by="image", distance=10), view)["near_duplicate"].to_numpy()
    kept: list[int] = []
    for i in range(len(names)):
        if not near[kept, i].any():
            kept.append(i)
    assert np.flatnonzero(~flagged).tolist() == kept
    assert 0 < flagged.sum() < 300


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"by": "embedding", "embedding": "e", "similarity": 0.9}, "by='text'"),
        ({"by": "image", "cosine": 0.9}, "by='embedding'"),
        ({"by": "text", "distance": 9}, "by='image'"),
        ({"embedding": "e", "tolerance": 1.0}, "by='image'"),
    ],
)
def test_a_parameter_of_another_way_is_refused(parameters, said):
    with pytest.raises(InputError, match=said):
        NearDuplicate(**parameters).resolve(["id", "image", "caption"], "image-text")
