"""Image-text pairs by their neighbours: by hand, planted swaps, every parameter, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.noise import lemon
from curate.scorers.noise.neighbours import lemon as module
from curate.scorers.noise.neighbours.lemon import Lemon
from curate.testing import ArrayView, score_all

E = np.eye(3)


def pairs(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four topics in one space of images and texts; some pairs have the text of another topic."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n) % 4
    image = np.eye(4, 6)[topic] + rng.normal(size=(n, 6)) * 0.1
    text = np.eye(4, 6)[topic] + rng.normal(size=(n, 6)) * 0.1
    wrong = np.array([5, 50, 91])
    text[wrong] = text[wrong + 1]
    return image, text, wrong


def test_by_hand() -> None:
    image = np.array([E[0], E[0], E[1]])
    text = np.array([E[0], E[1], E[1]])
    # with one neighbour each: images 0-1, 1-0, 2-0 (both are at distance 1: the lower); texts 0-1 (so too), 1-2, 2-1
    found = lemon(image, text, k=1, beta=2, gamma=3, near=0.5, sound=0.25)
    np.testing.assert_allclose(found.own, [0, 1, 0], atol=1e-6)
    by_image = [1 * np.exp(-0.25 * 1), 1, np.exp(-0.5)]
    by_text = [0 * np.exp(-0.5), 1, 1 * np.exp(-0.25)]
    np.testing.assert_allclose(found.text, by_image, rtol=1e-5)
    np.testing.assert_allclose(found.image, by_text, atol=1e-6)
    np.testing.assert_allclose(found.score, -(found.own + 2 * found.text + 3 * found.image), rtol=1e-5)


@pytest.mark.parametrize("joint", [True, False])
def test_planted_swaps_are_found(joint: bool) -> None:
    image, text, wrong = pairs()
    found = lemon(image, text, k=8, joint=joint)
    assert np.sort(np.argsort(found.score)[:3]).tolist() == wrong.tolist()
    assert (found.score <= 0).all()


def test_spaces_of_their_own() -> None:
    image, text, wrong = pairs()
    turned = text @ np.random.default_rng(1).standard_normal((6, 9))
    found = lemon(image, turned, k=8, joint=False)
    assert np.sort(np.argsort(found.score)[:3]).tolist() == wrong.tolist()
    assert not found.own.any()
    with pytest.raises(InputError, match=r"6 dimensions, texts 9.*joint=False"):
        lemon(image, turned)


def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image, text, _ = pairs()
    whole = lemon(image, text, k=5)
    monkeypatch.setattr(module, "_CELLS", 100)
    np.testing.assert_allclose(lemon(image, text, k=5).score, whole.score, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 4}, "k=4"),
        ({"k": 0}, "k=0"),
        ({"text": np.ones((3, 2))}, "pairs"),
        ({"beta": -1.0}, "0 or more"),
        ({"gamma": float("nan")}, "0 or more"),
        ({"image": np.zeros((4, 2))}, "4 images"),
        ({"text": np.full((4, 2), np.nan)}, "4 texts"),
    ],
)
def test_what_is_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"image": np.ones((4, 2)), "text": np.ones((4, 2)), "k": 2} | change
    with pytest.raises(InputError, match=message):
        lemon(**arguments)  # type: ignore[arg-type]


# --- The scorer -----------------------------------------------------------------------------------------------------


def view() -> ArrayView:
    image, text, _ = pairs()
    table = {"id": [f"{i:03d}" for i in range(len(image))]}
    return ArrayView(table, {"clip_image": image, "clip_text": text, "other": text[::-1]})


def test_the_scorer_gives_the_distances_it_is_made_of() -> None:
    scored = score_all(Lemon(k=8), view())
    parts = [scored[f"lemon_{name}"].to_numpy() for name in ("own", "text", "image")]
    np.testing.assert_allclose(
        scored["lemon"].to_numpy(), -(parts[0] + 5 * parts[1] + 5 * parts[2]), rtol=1e-5
    )
    assert score_all(Lemon(k=8, joint=False), view())["lemon_own"].null_count == 120


def test_every_parameter_of_the_scorer_counts() -> None:
    plain = score_all(Lemon(k=8), view())["lemon"].to_numpy()
    for change in (
        {"k": 9},
        {"joint": False},
        {"beta": 1.0},
        {"gamma": 1.0},
        {"near": 1.0},
        {"sound": 1.0},
        {"text": "other"},
        {"image": "other"},
    ):
        other = score_all(Lemon(**({"k": 8} | change)), view())["lemon"].to_numpy()  # type: ignore[arg-type]
        assert not np.allclose(plain, other), change
    assert Lemon(image="a", text="b").needs == ("a", "b")


def test_pairs_without_a_side_say_which() -> None:
    image, text, _ = pairs()
    image[3], text[4] = np.nan, 0
    spoilt = ArrayView({"n": list(range(120))}, {"clip_image": image, "clip_text": text})
    reasons = score_all(Lemon(k=8), spoilt)["lemon_reason"]
    assert reasons[3].as_py() == "no clip_image"
    assert reasons[4].as_py() == "clip_text is zero or not finite"
    assert reasons.null_count == 118
