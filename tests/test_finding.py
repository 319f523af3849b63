"""`curate compare`: the same as in Python, told, written down, and refused in a line."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.console import amount
from curate.errors import CurateError, InputError, UnknownNameError
from curate.finding import selectors_with

pytest.importorskip("sklearn", reason="extra noise not installed")

SHORT = ("--embedding", "vec", "--budgets", "10%,20", "--seeds", "2")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 items of three classes with vectors, and one that bears a score."""
    where = tmp_path_factory.mktemp("compare") / "s.curate"
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    ids = [f"i{i:02}" for i in range(90)]
    frame = pl.DataFrame({"id": ids, "text": ids, "label": [f"c{c}" for c in truth], "trust": rng.random(90)})
    with curate.open(where, create=True) as store:
        store.add(frame, kind="label")
        store.attach(
            ((np.eye(3, 4) * 4)[truth] + rng.normal(size=(90, 4))).astype(np.float32), name="vec", ids=ids
        )
    return where


def run(*args: str | Path) -> str:
    """What the command says; the error that `main` would tell is raised."""
    done = CliRunner().invoke(app, ["compare", *map(str, args)])
    if isinstance(done.exception, CurateError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_it_trains_as_in_python_and_writes_every_kind_of_file(path: Path, tmp_path: Path):
    files = [tmp_path / "deep" / f"c{ending}" for ending in (".json", ".csv", ".parquet", ".svg", ".html")]
    outs = [text for file in files for text in ("--out", str(file))]
    told = run(
        path, "herding", "sure=top", "-w", "herding.embedding=vec", "--with", "sure.by=trust", *SHORT, *outs
    )
    asked = {"herding": {"embedding": "vec"}, "sure": {"select": "top", "by": "trust"}}
    with curate.open(path) as store:
        same = store.compare(asked, embedding="vec", budgets=["10%", "20"], seeds=2)
    assert same.summary in told.replace("\n", " ") and "gain %" in told
    found = json.loads(files[0].read_text())
    assert found["summary"] == same.summary
    assert found["findings"][1]["rows"] == same.table.to_pylist()
    assert [r["selector"] for r in csv.DictReader(files[1].read_text().splitlines())] == same.table[
        "selector"
    ].to_pylist()
    assert pq.read_table(files[2]).equals(same.table)
    drawing = ElementTree.parse(files[3]).getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert {"herding", "sure", "random"} <= {e.text for e in drawing.iter() if e.tag.endswith("text")}
    assert "<svg" in files[4].read_text() and "Accuracy against budget" in files[4].read_text()
    assert all(str(file) in told.replace("\n", "") for file in files)


def test_the_table_is_that_of_the_numbers(path: Path):
    with curate.open(path) as store:
        compared = store.compare(
            {"sure": {"select": "top", "by": "trust"}}, embedding="vec", budgets=["20%"], seeds=2
        )
    header, rows = compared.rows()
    first = compared.table.to_pylist()[0]
    assert len(header) == 7 and rows[0][:3] == ["sure", "0.2", f"{first['items']}"]
    assert rows[0][3:5] == [
        f"{100 * first['accuracy']:.1f}",
        f"{100 * first['low']:.1f} to {100 * first['high']:.1f}",
    ]
    assert rows[0][5] == f"{100 * first['gain']:+.1f}" and rows[-1][5:] == ["", ""]  # everything is no rival


def test_every_option_has_its_effect(path: Path):
    def measured(*options: str) -> str:
        return run(path, "top", "-w", "top.by=trust", *SHORT, *options).split("\nAccuracy against")[0]

    plain = measured()
    for options in (
        ("--test", "id < 'i20'"),
        ("--model", "mlp"),
        ("--where", "id < 'i60'"),
        ("--seed", "7"),
        ("--budgets", "0.3"),
    ):
        assert measured(*options) != plain, options
    assert "0.0 to 0.0" in measured("--label", "text")  # as many classes as items cannot be learnt


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["k-centre"], "Did you mean 'k-center'"),
        (["top", "top"], "'top' is there twice"),
        (["top", "-w", "by=trust"], "say whose parameter it is, as in top.by=trust"),
        (["top", "-w", "tap.by=trust"], "Did you mean 'top'"),
        (["top", "-w", "top.bye=trust"], "by"),
        (["top", "--out", "c.png"], "c.png: a comparison is written as .csv, .html, .json, .parquet, .svg"),
        (["random", "--model", "svm"], "'model': Input should be 'logistic-regression' or 'mlp', got 'svm'"),
        (["random", "--seeds", "1"], "'seeds': Input should be greater than or equal to 2, got 1"),
        (["random", "--budgets", "many"], "budget 'many'"),
        (["random", "--budgets", "0.x"], "budget '0.x'"),
        (["random", "--embedding", "vac"], "vac"),
        (["random", "--within", "core"], "core"),
    ],
)
def test_refusals_are_clear(path: Path, args: list[str], said: str):
    given = args if "--embedding" in args else [*args, "--embedding", "vec"]
    with pytest.raises(CurateError, match=said.replace(".", r"\.")):
        run(path, *given)


def test_selectors_and_their_parameters_are_read():
    pairs = ["a.by=x", "a.least=0.5", "k-center.embedding=e"]
    asked = selectors_with(["a=top", "k-center", "random"], pairs)
    assert asked == {
        "a": {"select": "top", "by": "x", "least": 0.5},
        "k-center": {"embedding": "e"},
        "random": {},
    }
    with pytest.raises(UnknownNameError):
        selectors_with(["a=top"], ["top.by=x"])
    with pytest.raises(InputError, match="takes name=value"):
        selectors_with(["a"], ["a.by"])


def test_budgets_are_read_as_they_are_typed():
    assert [amount(text) for text in ("500", " 10% ", "0.5", "2.5%")] == ["500", "10%", 0.5, "2.5%"]
