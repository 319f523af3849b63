"""Fragments for notebooks: scoped, escaped, without script, small."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import curate
from curate.contracts import detail, score, vector
from curate.errors import UnknownNameError
from curate.report import item_html, run_html, selection_html, store_html, view_html
from curate.run.explain import Explanation
from curate.run.ledger import RunRecord, StepRecord

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def maker(make_store: Callable[..., Any], picture: Callable[[str, int], str]) -> Any:
    made = make_store("pets.curate").items(
        "image-text",
        {
            "id": [f"i{i}" for i in range(20)],
            "image": [picture(f"p{i}", 10 * i) for i in range(20)],
            "caption": [EVIL] + [f"caption {i}" for i in range(1, 20)],
        },
    )
    made.score("sharp", [(score("sharp"), [i / 20 for i in range(20)])], scorer="sharpness")
    return made.select("core", [7, 3, 5], reason="because", selector="top", budget=3)


def elements(fragment: str) -> list[tuple[str, dict[str, str | None]]]:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(fragment)
    return found


def ids(fragment: str) -> list[str]:
    return re.findall(r'class="open" title="(i\d+)"', fragment)


def check(fragment: str) -> None:
    assert len(fragment.encode()) <= 300_000
    for tag, attrs in elements(fragment):
        assert tag not in ("script", "link", "iframe", "html", "body")
        assert not [name for name in attrs if name.startswith("on")]
        assert (attrs.get("src") or "data:").startswith("data:")
    style = re.search(r"<style>(.*?)</style>", fragment, re.S)
    assert style is not None
    selectors = [s for rule in re.findall(r"([^{}]+)\{", style.group(1)) for s in rule.split(",")]
    assert selectors and all(s.strip().startswith(".curate-nb") for s in selectors)


def test_a_store_shows_what_it_holds(maker: Any):
    page = store_html(maker.store)
    check(page)
    assert "20 items (image-text), version 3." in page and "pets.curate" in page
    assert ids(page) == [f"i{i}" for i in range(8)]
    assert "sharpness" in page and "core" in page
    assert "&lt;script&gt;alert(1)" in page and "\u202e" not in page
    assert page.count('<svg class="histogram"') == 1


def test_a_store_says_how_many_columns_and_selections_it_leaves_out(maker: Any):
    for k in range(42):
        maker.select(f"s{k}", [k % 20])
    page = store_html(maker.store)
    assert "<td>s38</td>" in page and "<td>s39</td>" not in page and "<td>3 more</td>" in page


def test_a_view_shows_its_own_rows(maker: Any):
    page = view_html(maker.store.view().where("sharp >= 0.75"))
    check(page)
    assert "5 items, " in page and ids(page) == ["i15", "i16", "i17", "i18", "i19"]
    assert "5 values" in page


def test_a_selection_shows_its_best_and_what_was_left(maker: Any):
    page = selection_html(maker.store, "core")
    check(page)
    assert "3 items of 20 (15 %)." in page and "selected for core: because 0" in page
    assert ids(page) == ["i7", "i3", "i5"]  # in order of rank
    assert re.findall(r'class="badge">rank (\d)', page) == ["0", "1", "2"]
    with pytest.raises(UnknownNameError, match="core"):
        selection_html(maker.store, "cor")


def test_a_selection_shows_where_it_lies_among_all(maker: Any):
    maker.score("emb", [(vector("emb", 2), [[i, i * i % 7] for i in range(20)])])
    page = selection_html(maker.store, "core")
    check(page)
    assert "Map by emb" in page
    assert page.count('class="p selected" data-i') == 3 and page.count('class="p not-selected" data-i') == 17
    assert "<title>i7: selected for core: because 0</title>" in page  # told without a script


def test_a_run_shows_its_steps(make_run: Callable[..., RunRecord]):
    page = run_html(
        make_run(
            StepRecord(1, "import", "x", f"import {EVIL}", after=10),
            StepRecord(2, "keep", "k", "keep s > 1", before=10, after=4, reasons={"not (s > 1)": 6}),
        )
    )
    check(page)
    assert "not (s &gt; 1)" in page and "width: 40.00%" in page and "width: 60.00%" in page


def test_an_empty_view(make_store: Callable[..., Any]):
    store = make_store().store
    check(view_html(store.view()))
    check(store_html(store))


def test_large_pictures_and_texts_stay_below_the_cap(make_store: Callable[..., Any], tmp_path: Any):
    paths = []
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 255, (400, 400, 3), dtype=np.uint8)
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(noise).save(paths[-1])
    captions = ["é" * 1_000_000] * 8
    store = make_store().items("image-text", {"id": list("abcdefgh"), "image": paths, "caption": captions})
    page = store_html(store.store)
    check(page)
    assert page.count("<article") == 8 and "(1,000,000 characters)" in page


def test_an_item_shows_its_elements_scores_and_decisions(
    tmp_path: Any, picture: Callable[[str, int], str]
) -> None:
    rows = [
        {"id": f"i{i}", "image": picture(f"q{i}", 50 * i), "caption": f"{EVIL} two red dogs"}
        for i in range(3)
    ]
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(rows, kind="image-text", id="id")
        store.score("elements")
        store.keep("elements > 1", name="some")
        told = store.explain("i1")
        fragment = told._repr_html_()
    check(fragment)
    assert "<script" not in fragment and "What happened to it" in fragment and 'title="i1"' in fragment
    assert "elements &gt; 1" in fragment and "data:image/webp" in fragment
    assert "i1  (image-text" in str(told) and "view" not in repr(told)


def test_an_item_with_element_scores_is_shaded(maker: Any) -> None:
    parts = pa.list_(pa.struct([("element", pa.string()), ("score", pa.float32())]))
    values = [[{"element": "caption", "score": i / 20}] for i in range(20)]
    maker.score("fit", [(score("fit"), [0.5] * 20), (detail("fit_elements", parts), values)])
    view = maker.store.view()
    told = Explanation("i19", "image-text", "", {}, {"fit": 0.5}, {"other": EVIL}, [], view, 19)
    fragment = item_html(told)
    check(fragment)
    assert (
        '<mark class="tone" style="--tone: var(--kept); --heat: 54%" title="caption: 0.95">caption</mark>'
        in fragment
    )
    plain = Explanation("i19", "image-text", "", {}, {}, {})
    assert plain._repr_html_().startswith("<pre>")
