"""The analyses `annotators` and `fairness`: what they find in planted data, and their words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.annotators.consensus.analyses import Annotators, Fairness
from curate.errors import InputError
from curate.testing import ArrayView, check_analysis


def rows(n: int = 90, seed: int = 0) -> dict[str, Any]:
    """Four honest annotators and one who always says 0; a tenth of the items belong to "few" and are flagged often."""
    rng = np.random.default_rng(seed)
    answers, flags, groups = [], [], []
    for i in range(n):
        truth, few = i % 3, i % 10 == 0
        said = [truth if rng.random() < (0.55 if few else 0.95) else (truth + 1) % 3 for _ in range(4)]
        people = [*(f"w{j}" for j in range(4)), "stamp"]
        answers.append(
            [
                {"annotator": w, "value": str(v), "seconds": 5.0}
                for w, v in zip(people, [*said, 0], strict=True)
            ]
        )
        flags.append(bool(rng.random() < (0.9 if few else 0.1)))
        groups.append("few" if few else "many")
    truth_column = [str(i % 3) for i in range(n)]
    return {
        "id": [f"{i:03d}" for i in range(n)],
        "answers": answers,
        "group": groups,
        "flagged": flags,
        "gold": truth_column,
    }


def test_annotators_are_described() -> None:
    found = check_analysis(Annotators(resamples=50), ArrayView(rows()))
    assert "450 answers by 5 annotators about 90 items (5.0 an item); 1 of" in found.summary
    titles = [finding.title for finding in found.findings]
    assert titles == [
        "Rubber-stamping",
        "How far annotators agree",
        "How good each annotator is",
        "What is confused with what",
    ]
    stamping = found.findings[0]
    assert stamping.serious and stamping.table is not None
    assert stamping.table["annotator"].to_pylist() == ["stamp"]
    quality = found.findings[2].table
    assert quality is not None and quality["annotator"].to_pylist()[-1] == "stamp"
    assert found.findings[3].table is not None and found.findings[3].table.num_columns == 4
    assert "low: the labels depend on who gave them" in found.findings[1].text


@pytest.mark.parametrize("labels", [("true", "false", "given"), ("consensus", "share", "consensus_")])
def test_labels_may_be_called_like_the_columns_of_a_confusion(labels: tuple[str, ...]) -> None:
    columns = rows()
    columns["answers"] = [
        [{**one, "value": labels[int(one["value"])]} for one in said] for said in columns["answers"]
    ]
    table = check_analysis(Annotators(resamples=50), ArrayView(columns)).findings[3].table
    assert table is not None and set(labels) < set(table.column_names) and table.num_columns == 4
    first = table.column(0).to_pylist()
    assert sorted(first) == sorted(labels) and table.column_names[0] not in labels


def test_confusions_of_numbers_are_in_their_order() -> None:
    columns = rows()
    columns["answers"] = [
        [{**one, "value": ("2", "10", "1")[int(one["value"])]} for one in said] for said in columns["answers"]
    ]
    table = check_analysis(Annotators(resamples=50), ArrayView(columns)).findings[3].table
    assert table is not None and table.column_names == ["consensus", "1", "2", "10"]
    assert table.column(0).to_pylist() == ["1", "2", "10"]
    rates = [table.column(i + 1).to_pylist()[i] for i in range(3)]
    assert min(rates) > 0.5  # what is answered where it is true stays on the diagonal


def test_honest_crowds_are_not_accused_and_may_be_rested_on() -> None:
    table = rows(60)
    table["answers"] = [
        [
            {"annotator": w, "value": str(i % 3 if i % 20 else (i + 1) % 3 if w == "c" else i % 3)}
            for w in "abc"
        ]
        for i in range(60)
    ]
    found = check_analysis(Annotators(resamples=50), ArrayView(table))
    assert (
        found.findings[0].title == "How far annotators agree"
        and "good enough to rest" in found.findings[0].text
    )
    assert "0 of the annotators" in found.summary


def test_parameters_of_annotators_have_their_effect() -> None:
    view = ArrayView(rows())
    words = [
        Annotators(**options).analyse(view).findings[1].text
        for options in (
            {"resamples": 20},
            {"resamples": 40},
            {"resamples": 20, "seed": 1},
            {"resamples": 20, "confidence": 0.5},
            {"resamples": 20, "level": "interval"},
            {"resamples": 20, "level": "ordinal", "values": ("0", "1", "2")},
        )
    ]
    assert len(set(words)) == len(words) and "(interval)" in words[4]
    turned = Annotators(level="ordinal", values=("1", "0", "2"), resamples=20).analyse(view).findings[1].text
    assert turned != words[5]
    wide = {"id": ["0", "1"], "a": ["x", "y"], "b": ["x", "x"]}
    assert "4 answers by 2" in Annotators(columns=("a", "b")).analyse(ArrayView(wide)).summary
    assert Annotators(answers="said").needs == ("said",)


def test_extremes_of_annotators() -> None:
    alone = {"id": ["0", "1"], "a": ["x", "y"]}
    found = check_analysis(Annotators(columns=("a",)), ArrayView({**alone, "id": ["0", "1"]}))
    assert any(finding.serious and "No item has two answers" in finding.text for finding in found.findings)
    same = check_analysis(
        Annotators(columns=("a", "b")), ArrayView({"id": ["0", "1"], "a": ["x"] * 2, "b": ["x"] * 2})
    )
    assert any("undefined" in finding.text for finding in same.findings)
    with pytest.raises(InputError, match="no item has an answer in a"):
        Annotators(columns=("a",)).analyse(ArrayView({"id": ["0"], "a": np.array([None], object).tolist()}))
    with pytest.raises(InputError, match="are no numbers"):
        Annotators(columns=("a", "b"), level="interval").analyse(
            ArrayView({"id": ["0", "1"], "a": ["x", "y"], "b": ["x", "x"]})
        )


def test_unfair_errors_and_drops_are_found() -> None:
    view = ArrayView(rows(600))
    found = check_analysis(Fairness(gold="gold", dropped="flagged", label="gold"), view)
    assert found.summary == "By group: groups are not treated alike."
    errors, drops = found.findings
    assert errors.title == "Errors by group" and errors.serious and "few (60 items)" in errors.text
    assert (
        drops.title == "What dropping flagged costs"
        and drops.serious
        and "few (60 items) loses" in drops.text
    )
    assert errors.table is not None and errors.table["group"].to_pylist() == ["few", "many"]


def test_parameters_of_fairness_have_their_effect() -> None:
    view = ArrayView(rows(600))
    blind = Fairness().analyse(view).findings[0]
    known = Fairness(gold="gold").analyse(view).findings[0]
    assert "the consensus" in blind.text and "known labels" in known.text and blind.table != known.table
    only = Fairness(answers=None, dropped="flagged").analyse(view)
    assert [finding.title for finding in only.findings] == ["What dropping flagged costs"]
    assert only.findings[0].table is not None and only.findings[0].table["label_shift"].null_count == 2
    wide = Fairness(answers=None, dropped="flagged", confidence=0.999).analyse(view).findings[0].table
    assert wide is not None and wide["low"][0].as_py() < only.findings[0].table["low"][0].as_py()
    assert Fairness(group="who", columns=("a", "b"), gold="g", label="g").needs == ("who", "a", "b", "g")
    assert Fairness(answers="said", dropped="flag").needs == ("group", "said", "flag")
    table = {"id": ["0", "1"], "who": ["p", "q"], "a": ["x", "y"], "b": ["x", "x"]}
    assert (
        Fairness(group="who", columns=("a", "b")).analyse(ArrayView(table)).findings[0].title
        == "Errors by who"
    )
    assert (
        "no group stands out" in Fairness(group="who", columns=("a", "b")).analyse(ArrayView(table)).summary
    )
    with pytest.raises(InputError, match="name `answers`"):
        Fairness(answers=None)
