"""Exact duplicates: by hand, on real captions, and against a dictionary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import SchemaError
from curate.scorers.duplicates.exact import ExactDuplicate, exact_duplicates
from curate.testing import ArrayView, check_scorer, score_all


def test_representative_is_the_lowest_id() -> None:
    table = pa.table({"id": ["c", "a", "b", "d", "e"], "text": ["x", "y", "x", "x", None]})
    assert exact_duplicates(table, ["text"]).tolist() == [2, 1, 2, 2, -1]


def test_prefer_takes_the_highest_value_and_ties_by_id() -> None:
    table = pa.table({"id": ["a", "b", "c", "d"], "text": ["x"] * 4, "q": [None, 2.0, 5.0, 5.0]})
    assert exact_duplicates(table, ["text"], prefer="q").tolist() == [2, 2, 2, 2]
    assert exact_duplicates(table, ["text"]).tolist() == [0, 0, 0, 0]


def test_all_columns_must_agree_and_null_equals_null() -> None:
    table = pa.table(
        {"id": list("abcdef"), "x": ["1", "1", "1", None, None, None], "y": ["2", "2", None, "2", "2", None]}
    )
    assert exact_duplicates(table, ["x", "y"]).tolist() == [0, 0, 2, 3, 3, -1]


def test_columns_are_not_glued_together() -> None:
    table = pa.table({"id": ["a", "b"], "x": ["1\n2", "1"], "y": ["3", "2\n3"]})
    assert exact_duplicates(table, ["x", "y"]).tolist() == [0, 1]


def test_missing_column_is_named() -> None:
    with pytest.raises(SchemaError, match=r"no column 'caption'.*id, text"):
        exact_duplicates(pa.table({"id": ["a"], "text": ["x"]}), ["caption"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["", "a", "b", "A", "a ", None]), min_size=1, max_size=25), st.randoms())
def test_agrees_with_a_dictionary_in_any_order(texts: list[str | None], random: object) -> None:
    ids = [f"{i:03d}" for i in range(len(texts))]
    order = list(range(len(texts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    first: dict[str, str] = {}
    for id, text in zip(ids, texts, strict=True):
        if text is not None:
            first.setdefault(text, id)
    table = pa.table(
        {"id": [ids[i] for i in order], "text": pa.array([texts[i] for i in order], pa.string())}
    )
    got = exact_duplicates(table, ["text"])
    for row, source in enumerate(order):
        text = texts[source]
        assert (got[row] == -1) if text is None else (table["id"][got[row]].as_py() == first[text])


def test_scorer_keeps_the_contract() -> None:
    view = ArrayView({"id": ["c", "a", "b", "d"], "text": ["x", "y", "x", None], "q": [1.0, 2.0, 3.0, 4.0]})
    check_scorer(ExactDuplicate(columns=("text",)), view, planted=("b", "c"))
    check_scorer(ExactDuplicate(columns=("text",), prefer="q"), view, planted=("b", "c"))
    scored = score_all(ExactDuplicate(), view).to_pylist()
    assert [r["exact_duplicate"] for r in scored] == [True, False, False, None]
    assert [r["exact_duplicate_of"] for r in scored] == ["b", None, None, None]
    assert [r["exact_duplicate_score"] for r in scored] == [0.0, 1.0, 1.0, None]
    assert scored[3]["exact_duplicate_reason"] == "no content to compare"


def test_default_content_follows_the_kind() -> None:
    columns = ["id", "image", "image_sha256", "caption", "label", "text", "instruction", "input", "output"]
    assert ExactDuplicate().resolve(columns, "image-text").columns == ("image_sha256", "caption")
    assert ExactDuplicate().resolve(columns, "label").columns == ("image_sha256", "text")
    assert ExactDuplicate().resolve(columns, "instruction").columns == ("instruction", "input", "output")
    assert ExactDuplicate().resolve(["id", "audio", "text"], "speech").columns == ("audio", "text")
    assert ExactDuplicate(columns=("caption",)).resolve(columns, "image-text").columns == ("caption",)
    with pytest.raises(SchemaError, match=r"none of the content of kind 'speech'.*columns="):
        ExactDuplicate().resolve(["id", "score"], "speech")


def test_an_unhashed_file_is_known_by_its_address() -> None:
    sha = pa.array([b"1" * 32, b"1" * 32, None, None, None], pa.binary(32))
    view = ArrayView(
        {"id": list("abcde"), "image": ["p", "q", "r", "s", "r"], "image_sha256": sha, "caption": ["x"] * 5}
    )
    scorer = ExactDuplicate().resolve(view.columns, "image-text")
    assert scorer.needs == ("image_sha256", "image", "caption")
    assert score_all(scorer, view)["exact_duplicate_of"].to_pylist() == [None, "a", None, None, "c"]


def test_a_column_may_bear_any_name() -> None:
    view = ArrayView({"id": ["a", "b", "c"], 'select "x"': ["1", "1", "2"]})
    assert score_all(ExactDuplicate(columns=('select "x"',)), view)["exact_duplicate"].to_pylist() == [
        False,
        True,
        False,
    ]


def test_planted_copies_of_real_captions_are_found_exactly(data_dir: Path) -> None:
    lines = (data_dir / "flickr8k_1k" / "captions.tsv").read_text().splitlines()
    texts = sorted({line.split("\t")[1] for line in lines})[:5000]
    rng = np.random.default_rng(0)
    copied = rng.choice(len(texts), 500, replace=False)
    ids = [f"{i:05d}" for i in range(5500)]
    view = ArrayView({"id": ids, "text": texts + [texts[i] for i in copied]})
    scored = score_all(ExactDuplicate(columns=("text",)), view)
    assert scored["exact_duplicate"].to_numpy().nonzero()[0].tolist() == list(range(5000, 5500))
    assert scored["exact_duplicate_of"].to_pylist()[5000:] == [ids[i] for i in copied]
