"""Where a report's numbers come from: recipe, digests, columns, selections, seeds and libraries."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from curate.report import words
from curate.report.decision import Decision
from curate.report.model import Provenance, Section
from curate.run.ledger import RunRecord

LIBRARIES = ("curate", "duckdb", "pyarrow", "numpy", "pillow", "soundfile")

RECIPE = 100_000
"""Characters of a recipe that are shown."""


def collect_provenance(decision: Decision, run: RunRecord | None) -> Provenance:
    """All of it, and nothing that differs between two runs of the same recipe on the same items."""
    snapshot = decision.snapshot
    facts = [
        ("Items", words.count(snapshot.rows)),
        ("Kinds", ", ".join(snapshot.kinds()) or "none"),
        ("Digest of the items", snapshot.digest),
    ]
    if run is not None:
        facts += [("Digest of the recipe", run.recipe_digest or "none"), ("Seed", str(run.seed))]
    recipe = write_yaml(run.recipe) if run and run.recipe else ""
    sections = [made for made in (_columns(decision), _selections(decision), _libraries()) if made.rows]
    return Provenance(tuple(facts), words.shorten(recipe, RECIPE), tuple(sections))


def write_yaml(recipe: dict[str, Any]) -> str:
    """A recipe as YAML, keys in their own order."""
    import yaml

    text: str = yaml.safe_dump(
        json.loads(json.dumps(recipe, default=str)), sort_keys=False, allow_unicode=True, width=100
    )
    return text


def _columns(decision: Decision) -> Section:
    rows = tuple(
        (name, made.scorer, str(made.scorer_version), _parameters(made.params), made.digest)
        for name, made in sorted(decision.snapshot.sets.items())
    )
    return Section("Columns", ("name", "scorer", "version", "parameters", "digest"), rows)


def _selections(decision: Decision) -> Section:
    rows = tuple(
        (name, words.count(made.rows), "–" if made.seed is None else str(made.seed), made.digest)
        for name, made in sorted(decision.snapshot.selections.items())
    )
    return Section("Selections", ("name", "items", "seed", "digest"), rows)


def _libraries() -> Section:
    rows = [("python", platform.python_version())]
    for name in LIBRARIES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            continue  # run from a source tree that was never installed
    return Section("Libraries", ("name", "version"), tuple(rows))


def _parameters(params: Any) -> str:
    return (
        words.shorten(json.dumps(params, sort_keys=True, ensure_ascii=False, default=str), 600)
        if params
        else "defaults"
    )
