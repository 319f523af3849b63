"""Pairs of scores that judge the same thing, and the items on which they differ most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

import curate
from curate.contracts import score, vector
from curate.report.cards import CardMaker, find_layout
from curate.report.decision import decide
from curate.report.disagreements import Lineage, collect_disagreements, comparable_scores
from curate.report.excerpts import Excerpts


def cards(store: Any) -> CardMaker:
    decision = decide(store)
    return CardMaker(decision, find_layout(decision.view, decision.snapshot.kinds()), Excerpts())


@pytest.fixture
def store(make_store: Callable[..., Any]) -> Any:
    n = 6
    made = make_store().items(
        "image-text", {"id": list("abcdef"), "image": ["/x.png"] * n, "caption": ["word"] * n}
    )
    # vqa-score and clip-score read image and text; text-basics reads the text alone; dsg reads questions and answers
    made.score("clip_score", [(score("clip_score"), [0.1, 0.2, 0.3, 0.4, 0.5, None])])
    made.score("vqa_score", [(score("vqa_score"), [0.9, 0.2, 0.3, 0.4, 0.1, 0.7])])
    made.score("text_basics", [(score("text_basics"), [1.0] * n)])
    made.score("gone", [(score("gone"), [1.0] * n)], scorer="no-longer-installed")
    return made.store


def test_only_scores_of_the_same_columns_are_compared(store: Any) -> None:
    assert comparable_scores(cards(store)) == [("clip_score", "vqa_score")]
    assert comparable_scores(cards(store), ["vqa_score"]) == [("vqa_score", "clip_score")]


def test_the_widest_gap_of_ranks_comes_first(store: Any) -> None:
    (made,) = collect_disagreements(cards(store), [], 4)
    low, high = made.galleries  # clip says keep, vqa does not; and the other way round
    # ranks of clip 1 to 5; of vqa over the same five: 5 2 3 4 1; so e: 5 against 1, a: 1 against 5, the rest agree
    assert [c.id for c in low.cards] == ["e"] and [c.id for c in high.cards] == ["a"]
    assert low.cards[0].badge == "90 % | 10 %"
    assert low.cards[0].scores == (("clip_score", "0.5"), ("vqa_score", "0.1"))
    # Spearman by hand: 1 - 6 (16 + 16) / (5 (25 - 1)) = -0.6; f has no clip score
    assert "-0.60" in made.note and "5 items" in made.note


def test_ties_share_the_middle(make_store: Callable[..., Any]) -> None:
    made = make_store().items("image-text", {"id": list("abcd"), "image": ["/x"] * 4, "caption": ["w"] * 4})
    made.score("clip_score", [(score("clip_score"), [0.0, 1.0, 1.0, 2.0])])
    made.score("vqa_score", [(score("vqa_score"), [1.0, 1.0, 1.0, 1.0])])
    (found,) = collect_disagreements(cards(made.store), [], 2)
    assert found.galleries[0].cards[0].badge == "88 % | 50 %"
    assert "cannot be told" in found.note


def test_lineage_goes_through_what_other_scorers_made(tmp_path: Path) -> None:
    rows = []
    for i, colour in enumerate(["red", "green", "blue", "white"] * 3):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (8, 8 + i), colour).save(path)
        rows.append({"id": f"i{i:02}", "image": str(path), "caption": f"a {colour} picture", "label": colour})
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(rows, kind="label", id="id")
        store.score("pixel-embedding")
        store.score("knn-agreement", embedding="pixel_embedding", k=3)
        lineage = Lineage(store.items)
    assert lineage.ancestors("knn_agreement") == {"pixel_embedding"}
    assert lineage.sources("knn_agreement") == {"label", "image"}
    assert lineage.sources("pixel_embedding") == {"image"}
    assert lineage.sources("nothing") == frozenset()
    assert lineage.subject("knn_agreement") == {"label", "image"}


def test_questions_count_as_text_and_what_is_trusted_as_nothing(make_store: Callable[..., Any]) -> None:
    asked = pa.array([[{"question": "Is it?"}]] * 3)
    items = {"id": list("abc"), "image": ["/x"] * 3, "caption": ["w"] * 3, "mine": asked, "fine": [True] * 3}
    made = make_store().items("image-text", items)
    made.score("clip_image", [(vector("clip_image"), [[1.0]] * 3)], scorer="pixel-embedding")
    made.score("minilm", [(vector("minilm"), [[1.0]] * 3)])
    made.score("pair_filter", [(score("pair_filter"), [0.0, 1.0, 2.0])], trusted="fine")
    made.score("pn_vqa", [(score("pn_vqa"), [0.0, 1.0, 2.0])], questions="mine")
    lineage = Lineage(made.store.view())
    assert lineage.sources("pair_filter") == {"image", "text", "fine"}
    assert lineage.subject("pair_filter") == lineage.subject("pn_vqa") == {"image", "text"}
    assert comparable_scores(cards(made.store)) == [("pair_filter", "pn_vqa")]


def test_a_score_is_not_compared_with_what_was_made_from_it(
    store: Any, make_store: Callable[..., Any]
) -> None:
    made = make_store("t.curate").items(
        "image-text", {"id": ["a", "b", "c"], "image": ["/x"] * 3, "caption": ["w"] * 3}
    )
    made.score("clip_score", [(score("clip_score"), [0.0, 1.0, 2.0])])
    made.score("vqa_score", [(score("vqa_score"), [0.0, 1.0, 2.0])])
    fields = [(score("combine"), [0.0, 1.0, 2.0]), (pa.field("combine_reason", pa.string()), [None] * 3)]
    made.score("combine", fields, columns=["clip_score", "vqa_score"])
    assert comparable_scores(cards(made.store)) == [("clip_score", "vqa_score")]
