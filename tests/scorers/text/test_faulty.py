"""`faulty-questions`: columns as people have them, rows that cannot be judged, and MMLU-Redux."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import InputError, SchemaError
from curate.scorers.text.faulty import FaultyQuestions, encode_options
from curate.testing import ArrayView, check_scorer, score_all

LETTERS = np.array(["A", "B", "C", "D"])


def planted(n: int = 90, models: int = 6) -> ArrayView:
    """Questions that five of six models answer right; the key of every tenth is wrong."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 4
    answers = np.repeat(truth[:, None], models, axis=1)
    answers[np.arange(n), rng.integers(0, models, n)] = (truth + 1) % 4
    key = np.where(np.arange(n) % 10 == 5, (truth + 2) % 4, truth)
    return ArrayView(
        {
            "id": [f"q{i:03d}" for i in range(n)],
            "key": LETTERS[key].tolist(),
            "answers": LETTERS[answers].tolist(),
            "subject": ["x" if i % 10 == 5 else "y" for i in range(n)],
            **{f"m{j}": LETTERS[answers[:, j]].tolist() for j in range(models)},
        }
    )


def test_planted_wrong_keys_are_flagged_and_the_right_one_suggested() -> None:
    view = planted()
    scored = score_all(FaultyQuestions(), view)
    assert np.flatnonzero(scored["faulty_question"].to_numpy()).tolist() == list(range(5, 90, 10))
    for i in range(5, 90, 10):
        assert scored["suggested_key"][i].as_py() == LETTERS[i % 4]
        assert scored["key_share_against"][i].as_py() == 1.0
    assert scored["suggested_key"].null_count == 81


def test_conformance() -> None:
    check_scorer(FaultyQuestions(), planted(30), planted=("q000", "q005"))
    columns = FaultyQuestions(answers=("m0", "m1", "m2"), group="subject")
    check_scorer(columns, planted(30), planted=("q000", "q005"))


def test_a_column_for_each_model_is_the_same_as_lists() -> None:
    view = planted()
    columns = FaultyQuestions(answers=tuple(f"m{j}" for j in range(6)))
    assert columns.needs == ("key", *(f"m{j}" for j in range(6)))
    assert score_all(columns, view).equals(score_all(FaultyQuestions(), view))


def test_groups_change_scores_and_a_question_without_one_has_its_own() -> None:
    view = planted()
    plain, grouped = (score_all(FaultyQuestions(group=g), view) for g in (None, "subject"))
    assert FaultyQuestions(group="subject").needs == ("key", "answers", "subject")
    assert not np.allclose(plain["faulty_questions"].to_numpy(), grouped["faulty_questions"].to_numpy())
    table = view.to_arrow()
    some = pa.array([None if i < 4 else s for i, s in enumerate(table["subject"].to_pylist())])
    spoilt = table.set_column(table.column_names.index("subject"), "subject", some)
    assert score_all(FaultyQuestions(group="subject"), ArrayView(spoilt))["faulty_questions"].null_count == 0


def test_messy_spelling_and_positions_are_read() -> None:
    values = pa.array([" C", "(a)", "b.", "D:", "E", "", None, "The", "0", "3", "4"])
    assert encode_options(values, ("A", "B", "C", "D")).tolist() == [2, 0, 1, 3, -1, -1, -1, -1, 0, 3, -1]
    assert encode_options(pa.array([0, 3, None, 7]), ("A", "B", "C", "D")).tolist() == [0, 3, -1, -1]
    assert encode_options(pa.array(["1", "0"]), ("1", "2")).tolist() == [0, -1]  # options that are numbers
    assert encode_options(pa.array([True, False]), ("true", "false")).tolist() == [0, 1]
    view = planted()
    table = view.to_arrow()
    places = [int(np.flatnonzero(k == LETTERS)[0]) for k in table["key"].to_pylist()]
    numbered = table.set_column(table.column_names.index("key"), "key", pa.array(places))
    assert score_all(FaultyQuestions(), ArrayView(numbered)).equals(score_all(FaultyQuestions(), view))


def test_options_have_other_names() -> None:
    n = 30
    key = ["yes" if i % 2 else "no" for i in range(n)]
    key[3] = "no"
    answers = [["Yes" if (i % 2) != (i == 7 + 2 * j) else "No" for j in range(5)] for i in range(n)]
    scored = score_all(
        FaultyQuestions(options=("yes", "no")), ArrayView({"key": key, "answers": answers})
    ).to_pylist()
    assert [i for i, row in enumerate(scored) if row["faulty_question"]] == [3]
    assert scored[3]["suggested_key"] == "yes"


def test_rows_that_cannot_be_judged_say_why_and_change_nothing_else() -> None:
    table = planted(40).to_arrow()
    keys, answers = table["key"].to_pylist(), table["answers"].to_pylist()
    keys[0], keys[1] = None, "Z"
    answers[2], answers[3], answers[4] = ["A", None, None, None, "?", ""], None, []
    spoilt = ArrayView({"id": table["id"], "key": keys, "answers": answers})
    scored = score_all(FaultyQuestions(), spoilt)
    assert scored["faulty_questions_reason"].to_pylist()[:6] == [
        "no key",
        "key 'Z' is none of the options A, B, C, D",
        "answered by 1 of 6 models, 2 are needed",
        "answered by 0 of 6 models, 2 are needed",
        "answered by 0 of 6 models, 2 are needed",
        None,
    ]
    rest = score_all(FaultyQuestions(), spoilt.rearranged(np.arange(5, 40)))
    assert rest["faulty_questions"].equals(scored["faulty_questions"].slice(5))


def test_what_is_wrong_as_a_whole_is_refused() -> None:
    table = planted(40).to_arrow()
    answers = table["answers"].to_pylist()
    answers[7] = answers[7][:4]
    with pytest.raises(
        InputError, match=r"has fewer answers than the 6 models of others in 1 row, as 'q007' with 4"
    ):
        score_all(FaultyQuestions(), ArrayView({"id": table["id"], "key": table["key"], "answers": answers}))
    with pytest.raises(SchemaError, match="'m0' is string: lists are needed"):
        score_all(FaultyQuestions(answers=("m0",)), ArrayView(table))
    shifted = ["ABCD"[("ABCD".index(k) + 1) % 4] for k in table["key"].to_pylist()]
    with pytest.raises(InputError, match="keys and answers do not belong together"):
        score_all(FaultyQuestions(), ArrayView({"key": shifted, "answers": table["answers"]}))
    for wrong in ({"options": ("A",)}, {"options": ("A", "a")}, {"options": ("A", " ")}, {"answers": ()}):
        with pytest.raises(InputError, match="faulty-questions: "):
            replace(FaultyQuestions(), **wrong)


def test_what_makes_the_answer_doubtful_is_noted() -> None:
    view = planted()
    assert FaultyQuestions().fit(view).notes == ()
    assert "only 3 models" in FaultyQuestions(answers=("m0", "m1", "m2")).fit(view).notes[0]
    table = view.to_arrow()
    guesses = LETTERS[np.random.default_rng(1).integers(0, 4, len(table))].tolist()
    guessed = ArrayView(table.set_column(table.column_names.index("m5"), "m5", pa.array(guesses)))
    notes = FaultyQuestions(answers=tuple(f"m{j}" for j in range(6))).fit(guessed).notes
    assert any("1 of 6 models answer little better than by chance (position 5)" in note for note in notes)


@pytest.mark.data
def test_faults_of_mmlu_are_found_above_the_share_against_the_key(data_dir: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="extra noise not installed")
    view, wrong, faulty = read_mmlu(data_dir / "mmlu_redux")
    scored = score_all(FaultyQuestions(group="subject"), view)
    score, share = -scored["faulty_questions"].to_numpy(), scored["key_share_against"].to_numpy()
    assert len(score) > 3900 and not np.isnan(score).any() and 0.05 < faulty.mean() < 0.07
    assert (
        metrics.average_precision_score(faulty, score) > metrics.average_precision_score(faulty, share) + 0.08
    )
    assert metrics.roc_auc_score(faulty, score) > metrics.roc_auc_score(faulty, share) + 0.03
    assert metrics.roc_auc_score(wrong, score) > 0.9
    assert scored["faulty_question"].to_numpy()[wrong].mean() > 0.7


def read_mmlu(folder: Path) -> tuple[ArrayView, np.ndarray, np.ndarray]:
    """Questions with key, answers of ten models and subject; which have a wrong key, and which any fault."""
    asked: dict[tuple[str, str], dict[str, str]] = {}
    with zipfile.ZipFile(folder / "original_helm_combined.zip") as archive:
        for name in sorted(archive.namelist()):
            for row in csv.DictReader(io.TextIOWrapper(archive.open(name), "utf-8")):
                asked.setdefault((Path(name).stem, _plain(row["question"])), row)
    columns: dict[str, list[object]] = {"key": [], "answers": [], "subject": []}
    types = []
    for path in sorted((folder / "mmlu_redux").glob("*.csv")):
        text = path.read_text("utf-8", errors="replace")
        separator = ";" if text.partition("\n")[0].count(";") > 3 else ","
        subject = path.stem.removeprefix("mmlu_")
        for row in csv.DictReader(io.StringIO(text), delimiter=separator):
            found = asked.get((subject, _plain(row["question"])))
            kind = re.sub("[^a-z]+", " ", row["error_type"].lower()).strip()
            if found is None or kind == "expert":
                continue
            columns["key"].append(int(row["answer"]))
            columns["answers"].append([v for k, v in found.items() if k not in ("question", "choices")])
            columns["subject"].append(subject)
            types.append(kind)
    kinds = np.array(types)
    ids = [f"{i:05d}" for i in range(len(kinds))]
    return ArrayView({"id": ids, **columns}), kinds == "wrong groundtruth", kinds != "ok"


def _plain(question: str) -> str:
    return re.sub("[^a-z0-9]+", "", question.lower())
