"""The Python in the documentation of scorers, selectors and analyses runs, and what it asserts holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from curate import registry
from curate.errors import MissingExtraError, MissingModelError
from curate.recipe.reader import build_recipe

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
GROUPS = ("scorers", "selectors", "annotators", "analyses")
PAGES = [
    *sorted(page for group in GROUPS for page in (DOCS / group).glob("*.md")),
    DOCS / "answers.md",
    DOCS / "conversations.md",
    DOCS / "mosaics.md",
    DOCS / "ratings.md",
    DOCS / "rounds.md",
    DOCS / "several-labels.md",
    DOCS / "templates.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(page.read_text())
    assert blocks, f"{page.name} has no example in Python"
    names: dict[str, object] = {}
    try:
        for block in blocks:
            exec(compile(block, str(page), "exec"), names)
    except (MissingExtraError, MissingModelError) as error:
        pytest.skip(str(error))


RECIPES = [
    (page.stem, block)
    for page in [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("page", "text"), RECIPES, ids=[name for name, _ in RECIPES])
def test_recipes_can_be_read(page: str, text: str) -> None:
    given = yaml.safe_load(text)
    recipe = build_recipe(given if isinstance(given, dict) else {"store": "s", "steps": given})
    for step in recipe.steps:
        group = {"score": "scorers", "select": "selectors", "analyse": "analyses"}.get(step.verb)
        if group:
            registry.build(group, getattr(step, step.verb), step.params)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
