"""From EvalMuse-40K's own file to a trained FGA-BLIP2: read, made into ratings, learned from, scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.errors import SchemaError
from curate.formats.evalmuse import read
from curate.scorers.alignment import FgaBlip2, srcc
from curate.scorers.alignment.fga.loading import load_fga
from curate.scorers.alignment.fga.ratings import Rating, ratings_of
from curate.scorers.alignment.fga.training import TrainingSettings, train_fga


def entry(**changed: Any) -> dict[str, Any]:
    return {
        "prompt_id": "7",
        "prompt": "a red guitar",
        "img_path": "SDXL/1.png",
        "total_score": [4, 4, 3],
        "element_score": {"red (color)": [1, 1, 0], "guitar (object)": "[1, 1, 1]", "odd (other)": ["?"]},
        "promt_meaningless": [0, 0, 1],
        **changed,
    }


def test_rows_become_ratings() -> None:
    entries = [
        entry(),
        entry(total_score=["x"]),
        entry(element_score=None, promt_meaningless=[1, 1, 0]),
        entry(total_score=[9]),
    ]
    found = ratings_of(read(entries), folder="images/")
    means = {"red (color)": pytest.approx(2 / 3), "guitar (object)": 1.0}
    assert found.ratings[0] == Rating("x", "a red guitar", pytest.approx(11 / 3), means, "7")
    assert found.ratings[0].image == "images/SDXL/1.png"
    assert found.ratings[1].elements is None
    assert found.rows.tolist() == [0, 2] and found.rows.dtype == np.int64
    assert found.dropped == {1: "no score", 3: "no score"}
    strict = ratings_of(read(entries), meaningful=True)
    assert strict.rows.tolist() == [0] and "meaningless" in strict.dropped[2]
    assert strict.ratings[0].image == "SDXL/1.png"
    with pytest.raises(SchemaError, match="img_path, score"):
        ratings_of(pa.table({"prompt": ["a"]}))
    bare = ratings_of(pa.table({"prompt": ["a"], "img_path": ["b"], "score": [2.0]}))
    assert bare.ratings == [Rating("b", "a", 2.0)]


def write(folder: Path, n: int, seed: int) -> Path:
    """Bright and dark squares whose prompt says which they are, or lies; three annotators who notice, nearly always."""
    rng = np.random.default_rng(seed)
    entries = []
    for i in range(n):
        bright, told = rng.integers(2, size=2)
        right = int(bright == told)
        name = f"Model{i % 3}/{seed}_{i:05d}.png"
        picture = rng.integers(0, 60, (28, 28, 3)) + (190 if bright else 0)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.astype(np.uint8)).save(folder / name)
        word = "bright" if told else "dark"
        scores = np.clip((4 if right else 2) + rng.integers(-1, 2, 3), 1, 5).tolist()
        votes = [right, right, int(rng.random() < 0.9) * right]
        elements = {f"{word} (Attribute-light)": votes, "square (shape)": [1, 1, 1]}
        entries.append(
            entry(
                prompt_id=f"p{told}",
                prompt=f"A {word} square.",
                img_path=name,
                total_score=scores,
                element_score=elements,
            )
        )
    path = folder / f"list_{seed}.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_model_learns_from_such_a_file(save_blip2: Callable[..., Path], tmp_path: Path) -> None:
    model = load_fga(str(save_blip2(seed=2, dropout=0.0)), device="cpu")
    train = ratings_of(read(write(tmp_path, 90, seed=0)), folder=str(tmp_path))
    held = ratings_of(read(write(tmp_path, 40, seed=1)), folder=str(tmp_path)).ratings
    how = TrainingSettings(
        epochs=12, batch_size=12, learning_rate=2e-3, warm_up=10, length=8, token_weight=5, crop=False
    )
    trained = train_fga(model, train.ratings, how)
    assert not trained.dropped and not trained.failed
    trained.model.save(tmp_path / "mine")
    truth = np.array([r.score for r in held])

    def score(name: str) -> Any:
        scorer = FgaBlip2(model=name, device="cpu")
        return scorer.score_pairs(
            [r.image for r in held], [r.text for r in held], [list(r.elements or {}) for r in held]
        )

    found = score(str(tmp_path / "mine"))
    assert srcc(found.overall, truth) > 0.7  # not 1: annotators differ by up to two points at random
    said = np.array([one[0] for one in found.elements]) >= 0.5
    assert (said == np.array([next(iter((r.elements or {}).values())) >= 0.5 for r in held])).mean() > 0.9
