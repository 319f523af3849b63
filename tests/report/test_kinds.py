"""Every kind of item in a report, and what is missing, broken or hostile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from report_stores import shown

from curate.contracts import score
from curate.report import write_report
from curate.report.collector import collect


def test_sounds_have_a_player_and_an_envelope(
    make_store: Callable[..., Any], tone: Callable[[str, float], str], tmp_path: Path
):
    store = make_store().items(
        "speech",
        {"id": ["short", "long"], "audio": [tone("s", 0.5), tone("l", 11.0)], "text": ["hello", "a tale"]},
    )
    data = collect(store.store)
    short, long = data.galleries[0].galleries[0].cards
    assert (short.sounds[0].seconds, short.sounds[0].total_seconds) == (0.5, 0.5)
    assert (long.sounds[0].seconds, long.sounds[0].total_seconds) == (8.0, 11.0)
    assert len(short.sounds[0].envelope) == 64 and max(short.sounds[0].envelope) == 1.0
    page = write_report(store.store, tmp_path / "r.html").read_text()
    assert page.count('<audio controls preload="none" src="data:audio/flac;base64,') == 2
    assert "first 8.0 s of 11.0 s" in page


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("instruction", {"instruction": ["Add 1 and 2"], "input": ["numbers"], "output": ["3"]}),
        ("preference", {"prompt": ["Hi"], "chosen": ["Hello"], "rejected": ["No"]}),
        ("label", {"text": ["a good film"], "label": ["positive"]}),
    ],
)
def test_texts_are_shown_by_their_columns(
    make_store: Callable[..., Any], kind: str, columns: dict[str, list[str]]
):
    store = make_store().items(kind, {"id": ["x"], **columns})
    (card,) = collect(store.store).galleries[0].galleries[0].cards
    assert dict(card.texts) == {k: v[0] for k, v in columns.items() if k != "label"}
    assert card.label == columns.get("label", [""])[0] and card.pictures == ()


def test_a_store_of_two_kinds(make_store: Callable[..., Any], picture: Callable[[str, int], str]):
    maker = make_store().items(
        "image-text", {"id": ["p"], "image": [picture("p", 9)], "caption": ["a square"]}
    )
    maker.items("instruction", {"id": ["t"], "instruction": ["say a"], "output": ["a"]})
    first, second = collect(maker.store).galleries[0].galleries[0].cards
    assert (len(first.pictures), first.texts) == (1, (("caption", "a square"),))
    assert (second.pictures, second.texts) == ((), (("instruction", "say a"), ("output", "a")))


def test_an_empty_store(make_store: Callable[..., Any], tmp_path: Path):
    page = write_report(make_store().store, tmp_path / "r.html").read_text()
    assert "The store holds no items." in page and "There are no items." in page


def test_a_store_without_scores_shows_a_sample(make_store: Callable[..., Any]):
    n = 100
    ids = [f"{i:03d}" for i in range(n)]
    store = make_store().items("instruction", {"id": ids, "instruction": ids, "output": ids})
    data = collect(store.store)
    assert data.histograms == () and not data.decided
    assert shown(data, "Items") == [f"{i * n // 24:03d}" for i in range(24)]


def test_a_column_of_nulls_and_infinities_has_no_gallery(make_store: Callable[..., Any], tmp_path: Path):
    store = make_store().items(
        "instruction", {"id": ["a", "b"], "instruction": ["x", "y"], "output": ["x", "y"]}
    )
    store.score("s", [(score("s"), [None, float("inf")])])
    store.score("t", [(score("t"), [float("nan"), 1.0])])
    data = collect(store.store)
    assert [s.title for s in data.galleries] == ["t"]
    assert [(h.column, sum(h.kept), h.nulls) for h in data.histograms] == [("s", 0, 2), ("t", 1, 1)]
    assert "0 values" in write_report(store.store, tmp_path / "r.html").read_text()


def test_what_cannot_be_opened_is_told_without_its_path(make_store: Callable[..., Any], tmp_path: Path):
    empty = tmp_path / "secret-folder" / "empty.jpg"
    empty.parent.mkdir()
    empty.write_bytes(b"")
    addresses = [str(empty), str(tmp_path / "none.jpg"), "http://192.0.2.1/x.jpg"]
    store = make_store().items(
        "image-text", {"id": ["a", "b", "c"], "image": addresses, "caption": ["x", "y", "z"]}
    )
    page = write_report(store.store, tmp_path / "r.html").read_text()
    for words in ("no picture: empty", "no picture: missing", "no picture: remote, and nothing is fetched"):
        assert words in page
    assert "secret-folder" not in page


def test_hostile_texts_and_names(make_store: Callable[..., Any], tmp_path: Path):
    evil = "</script><script>alert(1)</script>\u202e\x00{{7*7}}"
    store = make_store().items(
        "label",
        {"id": [evil, "b"], "text": [evil, "x" * 1_000_000], "label": [evil, "b"], "_source": [evil, evil], evil: [evil, "u"], 'select "': [1, 2]},
    )  # fmt: skip
    store.score("s", [(score("s"), [0.1, None]), (pa.field("s_reason", pa.string()), [None, evil])])
    store.reject([{"source": evil, "row": 0, "id": evil, "code": evil, "reason": evil, "data": evil}])
    page = write_report(store.store, tmp_path / "r.html", title=evil).read_text()
    assert page.count("<script") == 2 and page.count("</script") == 2
    assert "<script>alert" not in page and "\u202e" not in page and "\x00" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩␀{{7*7}}" in page
    assert "(1,000,000 characters)" in page and len(page) < 200_000
