"""The main job on real images that a dependency carries: the 1,797 scanned digits of scikit-learn.

5 % of the labels are flipped with a fixed seed, so that one can see which errors were found and which were missed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import require

SEED = 0
FLIPPED = 0.05

RECIPE = """\
# The main job in ten steps. Run it again: what is done is not done twice.   curate run {folder}/recipe.yaml
store: digits.curate
name: scanned digits
steps:
  - import: digits/
    kind: label
  - score: image-basics
  - score: pixel-embedding
  - score: out-of-fold
  - score: confident-learning
  - score: near-duplicate
    with: {{by: embedding, embedding: pixel_embedding, cosine: 0.97}}
  - keep: image_basics > 0.4 and not label_issue and not near_duplicate
    as: clean
  - select: stratified
    with: {{by: label}}
    budget: 50%
    as: half
  - export: clean/
    format: parquet
    media: embed
  - report: report.html
"""


def write_digits(folder: Path) -> dict[str, str]:
    """Write the images, `metadata.csv` with the (partly wrong) labels, and the recipe. Returns the true labels by id."""
    from PIL import Image

    digits: Any = require("sklearn.datasets", "noise")
    data = digits.load_digits()
    images, truth = data.images, data.target
    rng = np.random.default_rng(SEED)
    given = truth.copy()
    wrong = rng.choice(len(truth), round(FLIPPED * len(truth)), replace=False)
    given[wrong] = (truth[wrong] + rng.integers(1, 10, len(wrong))) % 10
    target = folder / "digits"
    target.mkdir(parents=True, exist_ok=True)
    lines = ["id,file_name,label"]
    for i, image in enumerate(images):
        path = target / f"{i:04d}.png"
        if not path.exists():
            part = path.with_suffix(".part")
            Image.fromarray((image * 255 / 16).astype(np.uint8)).save(part, format="PNG")
            part.rename(path)  # whole or not at all: a demo that is interrupted leaves no torn picture
        lines.append(f"{i:04d},{path.name},{given[i]}")
    _write(target / "metadata.csv", "\n".join(lines) + "\n")
    _write(folder / "recipe.yaml", RECIPE.format(folder=folder))
    return {f"{i:04d}": str(label) for i, label in enumerate(truth)}


def _write(path: Path, text: str) -> None:
    # A file that is touched counts as changed: the second demo should find everything done.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def run_demo(folder: Path, say: Callable[[str], None] = print) -> dict[str, float]:
    """Write the digits, run the recipe, and say how many of the planted errors were found, beside chance."""
    import curate
    from curate.recipe import read_recipe
    from curate.run.engine import begin, execute

    truth = write_digits(folder)
    recipe = read_recipe(folder / "recipe.yaml")
    with curate.open(folder / recipe.store, create=True) as store:
        context = begin(store.parts, recipe=recipe.plain(), seed=recipe.seed, base=folder)
        run = execute(context, recipe.steps)
        found = score_against(store.items.to_arrow(["id", "label", "label_issue"]).to_pylist(), truth)
    for step in run.steps:
        say(
            f"  {step.ordinal:>2}. {step.title}  {'(already done)' if step.reused else f'{step.seconds:.1f} s'}"
        )
    say(
        f"{found['flagged']:.0f} labels flagged of {len(truth):,}; {found['planted']:.0f} were flipped on purpose.\n"
        f"precision {found['precision']:.3f}   recall {found['recall']:.3f}\n"
        f"random    {found['random_precision']:.3f}   recall {found['random_recall']:.3f}   (as many flags, at random)\n"
        f"report: {(folder / 'report.html').absolute().as_uri()}\n"
        f"clean data, manifest and card: {folder / 'clean'}"
    )
    return found


def score_against(rows: list[dict[str, Any]], truth: dict[str, str]) -> dict[str, float]:
    """Precision and recall of the flags against planted truth, and what as many random flags would expect."""
    planted = {row["id"] for row in rows if row["label"] != truth[row["id"]]}
    flagged = {row["id"] for row in rows if row["label_issue"]}
    hits = len(planted & flagged)
    share = len(flagged) / len(rows)
    return {
        "planted": len(planted),
        "flagged": len(flagged),
        "precision": hits / max(len(flagged), 1),
        "recall": hits / max(len(planted), 1),
        "random_precision": len(planted) / len(rows),
        "random_recall": share,
    }
