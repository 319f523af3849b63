"""Plans from plain values, and the way around by the command line."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import curate
from curate.annotators.rounds import Agreement, Rounds, Spread, Sure
from curate.annotators.rounds.reading import read_rounds
from curate.annotators.tasks import answer_table, read_time
from curate.asking import app
from curate.errors import InputError, UnknownNameError


def test_rules_are_named_with_their_thresholds() -> None:
    assert read_rounds({"control": "overall"}) == Rounds("overall")
    plan = read_rounds({"control": "label", "agreement": 0.8, "sure": 0.9, "first": 2, "experts": ["eve"]})
    assert plan.rules == (Agreement(0.8), Sure(0.9)) and plan.first == 2 and plan.experts == ("eve",)
    assert read_rounds({"control": "overall", "spread": 1}).rules == (Spread(1.0),)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UnknownNameError, match="agreement"):
        read_rounds({"control": "label", "agrement": 0.8})
    with pytest.raises(InputError, match="control"):
        read_rounds({"spread": 2})
    with pytest.raises(InputError, match="a number is meant"):
        read_rounds({"control": "label", "spread": "two"})
    with pytest.raises(InputError, match="first=0"):
        read_rounds({"control": "label", "first": 0})


def test_the_command_line_writes_the_ids_of_the_next_round(tmp_path: Path) -> None:
    moment = read_time("2026-03-01T10:00:00Z")
    rows = [
        {
            "item": i,
            "annotator": a,
            "round": 1,
            "control": "overall",
            "value": v,
            "source": "s",
            "answer_id": i + a,
        }
        for i, values in (("a", "335"), ("b", "334"))
        for a, v in zip("xyz", values, strict=True)
    ]
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(pl.DataFrame({"id": ["a", "b"], "text": ["t", "u"], "label": ["l", "l"]}), kind="label")
        store.record_answers(answer_table({**r, "created_at": moment, "updated_at": moment} for r in rows))
    ids = tmp_path / "ids.txt"
    asked = ["rounds", str(tmp_path / "s.curate"), "--control", "overall", "-w", "method=mean"]
    done = CliRunner().invoke(app, [*asked, "--again", str(ids), "--settle", "stars"])
    assert done.exit_code == 0, done.output
    assert "1 settled, 1 again" in done.output and f"--ids {ids} --round 2" in done.output
    assert ids.read_text() == "a\n"
    with curate.open(tmp_path / "s.curate") as store:
        assert store.items.to_polars(["stars"])["stars"].to_list() == [None, pytest.approx(10 / 3)]
    done = CliRunner().invoke(app, [*asked, "-w", "spread=3", "--again", str(ids)])
    assert ids.read_text() == "" and "--ids" not in done.output
