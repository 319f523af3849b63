"""What the README says works: its Python, its recipe, its scorer, its links and its table."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import curate
from curate import registry
from curate.recipe import parse_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(?:python|yaml)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def block_with(text: str) -> str:
    found = [block for block in BLOCKS if text in block]
    assert len(found) == 1, f"{len(found)} blocks hold {text!r}"
    return found[0]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Twenty small noise pictures with captions, as the README's examples expect them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos" / "cats"
    folder.mkdir(parents=True)
    for i in range(20):
        noise = rng.integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(folder / f"{i:06d}.jpg")
        (folder / f"{i:06d}.txt").write_text(f"cat number {i} on a mat")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_notebook_example_runs_as_written(photos):
    names: dict[str, object] = {}
    exec(block_with("store = curate.open("), names)
    assert (photos / "report.html").stat().st_size > 10_000
    assert 0 < len(names["core"]) <= 2


def test_the_recipe_runs_as_written(photos):
    text = block_with("store: pets.curate")
    (photos / "pets.yaml").write_text(text)
    recipe = parse_recipe(text)
    with curate.open(photos / recipe.store, create=True) as store:
        run = store.run(photos / "pets.yaml")
    assert run.status == "done"
    assert (photos / "out" / "manifest.json").exists()


def test_the_scorer_passes_the_conformance_suite(tmp_path, monkeypatch):
    from curate.testing import ArrayView, check_scorer

    code = block_with("class Shout")
    (tmp_path / "shout_example.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(registry.SCORERS, "shout", "shout_example:Shout")
    shout = registry.build("scorers", "shout")
    view = ArrayView(pa.table({"id": ["a", "b", "c", "d"], "text": ["quiet", "LOUD", "Half", None]}))
    check_scorer(shout, view)
    given = shout.score(view.to_arrow(["id", "text"]).combine_chunks().to_batches()[0])
    assert given["shout"].to_pylist() == [1.0, 0.0, 0.75, None]
    assert len(code.splitlines()) <= 25


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_scorer_and_selector_is_in_the_table():
    for name in registry.names("scorers") + registry.names("selectors"):
        assert f"[`{name}`]" in README, name


def test_every_row_of_a_table_has_a_cell_for_each_column():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        cells, fenced = None, False
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            fenced ^= line.startswith("```")
            if fenced or not line.startswith("|"):
                cells = None
                continue
            found = len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line)))
            cells = cells or found
            assert found == cells, f"{page.name}, line {number}: {line}"
