"""The page: escaped everywhere, self-contained, deterministic, and alive in a browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from curate.report import evidence as v
from curate.report import model as m
from curate.report.contents import ReportData
from curate.report.page import render

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

PAYLOADS = [
    "<script>window.hit=1</script>",
    "</script><script>window.hit=1</script>",
    "</title></style></textarea><img src=x onerror=window.hit=1>",
    '"><svg onload=window.hit=1>',
    "' onmouseover='window.hit=1",
    "javascript:window.hit=1",
    "{{ 7*7 }}{% raw %}{{ self.__init__ }}",
    "<!--<script>",
    "]]><x>",
    "&lt;b&gt; &amp;",
    "a\u202eb\x00c\u2028d",
    "<iframe src=http://example.org>",
    "<base href=http://example.org/><meta http-equiv=refresh content=0>",
]


def fill(text: str) -> ReportData:
    """A report in which every string, in every field, is `text`; media addresses too."""
    card = m.Card(
        text, "dropped", text, (m.Picture(text, 3, 4, text), m.Picture(PIXEL, 1, 1)), (m.Sound(text, 1, 2, (), text),),
        ((text, text), (text, text)), text, text, ((text, text),), text,
    )  # fmt: skip
    gallery, reason = m.Gallery(text, text, (card,)), (m.Reason(text, 3),)
    elements = (
        m.Element(text, text, text, 0.5, text, text, (0, 10, 20, 30)),
        m.Element(text, text, text, None, text, text),
    )
    shaded = (
        (text, (m.Stretch(text, -0.5, text), m.Stretch(text, None, text))),
        (text, (m.Stretch(text, 1.0, text),)),
    )
    pair = dataclasses.replace(card, elements=elements, shaded=shaded, note=text)
    return ReportData(
        title=text,
        sentence=text,
        tiles=(m.Tile(text, 3, text, text),),
        notices=(text,),
        steps=(m.Step(text, text, 3, 2, 3, True, text, reason, text),),
        histograms=(m.Histogram(text, (0.0, 1.0), (1,), (2,), (3,), 1, reason, 1, 1, (m.Threshold(text, 0.5),), True, text, 0.5),),
        flags=(m.Flag(text, 1, 2, 0, text),),
        galleries=(m.GallerySet(text, text, (gallery,)),),
        elements=(m.ElementSet(text, text, text, text, (m.Gallery(text, text, (pair,)),)),),
        disagreements=(m.GallerySet(text, text, (gallery,)),),
        duplicates=(m.Duplicates(text, 1, 1, (m.DuplicateGroup((card, card), 2),)),),
        labels=(m.Confusion(text, (text,), (text,), ((1,),), 1, 0, gallery),),
        findings=(v.FindingSet(text, text, (v.Evidence(text, text, True, (text,), ((text,),), (False,), 0, (v.Bar(text, text, 5.0),)), v.Evidence(text, text, intervals=(v.Interval(text, text, 1, 0, 2),)), v.Evidence(text, text, heat=v.Heat((text,), (text,), (((text, 5.0),),)), curve=v.Curve(text, text, (0.0, 1.0), ((text, (0.0, 1.0)),)))),),),
        balances=(m.Balance(text, ((text, 2, 1),), 1, (0, 0), 2, 1),),
        table=m.Table((m.TableColumn("status", "status"), m.TableColumn(text, "text")), (("dropped", text),), 1, text, (text,)),
        failures=(m.Listing(text, text, 1, reason, (text,), ((text,),)),),
        provenance=m.Provenance(((text, text),), text, (m.Section(text, (text,), ((text,),)),)),
        timings=m.Section(text, (text,), ((text,),)),
        kept_word=text,
    )  # fmt: skip


class Reader(HTMLParser):
    """Elements with their attributes, and all text outside scripts."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.comments: list[str] = []
        self._raw = False
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def shape(page: bytes) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(sorted(attrs))) for tag, attrs in Reader(page).elements]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_changes_what_the_page_is_made_of(payload: str):
    # The same elements with the same attributes as with a harmless word: whatever the payload is, it is text.
    hostile, harmless = render(fill(payload)), render(fill("word"))
    assert shape(hostile) == shape(harmless)
    assert Reader(hostile).comments == []
    for tag, attrs in Reader(hostile).elements:
        assert not [name for name in attrs if name.startswith("on")], tag


def test_payloads_are_shown_as_they_were_written():
    text = "".join(Reader(render(fill("<script>{{ 7*7 }}</script>"))).text)
    assert text.count("<script>{{ 7*7 }}</script>") > 20
    assert "49" not in text


def test_every_string_of_the_model_is_covered_by_the_payload_test():
    def strings(value: Any) -> list[str]:
        if dataclasses.is_dataclass(value):
            return [s for f in dataclasses.fields(value) for s in strings(getattr(value, f.name))]
        if isinstance(value, tuple):
            return [s for v in value for s in strings(v)]
        return [value] if isinstance(value, str) else []

    found = set(strings(fill("PAYLOAD")))
    assert found == {
        "PAYLOAD",
        "status",
        "text",
        "dropped",
        PIXEL,
        "",
    }  # "" is the harmless picture's problem


def test_invisible_characters_are_spelled_out():
    page = render(fill("a\u202eb\x00c")).decode()
    assert "\u202e" not in page and "\x00" not in page
    assert "a⟨U+202E⟩b␀c" in page


def test_a_megabyte_of_caption_is_cut_and_said():
    page = render(fill("x" * 1_000_000))
    assert b"(1,000,000 characters)" in page
    assert render(ReportData("t", "x" * 1_000_000)).count(b"x" * 1000) == 200


def test_only_data_uris_of_media_are_put_into_src():
    for text in (
        "javascript:alert(1)",
        "http://example.org/x.png",
        "data:text/html;base64,PHNjcmlwdD4=",
        'data:image/png;base64,x" y',
    ):
        sources = [a["src"] for _, a in Reader(render(fill(text))).elements if "src" in a]
        assert sources and set(sources) == {PIXEL}


def test_the_page_loads_nothing():
    page = render(fill("word"))
    for tag, attrs in Reader(page).elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        assert all(
            attrs.get(name, "data:").startswith(("data:", "#"))
            for name in ("src", "href", "action", "poster")
        )
    assert not re.search(rb"https?://|@import|url\(", page)


def test_the_policy_admits_the_one_script_and_nothing_else():
    page = render(fill("word")).decode()
    policy = next(
        a["content"]
        for _, a in Reader(page.encode()).elements
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(scripts) == 1
    sha = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["script-src"] == f"'sha256-{sha}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == rules["media-src"] == "data:"
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script>")


def test_the_same_data_give_the_same_bytes():
    assert render(fill("word")) == render(fill("word"))


def test_an_empty_report_has_no_empty_sections():
    page = render(ReportData("Nothing", "The store holds no items."))
    assert [a["id"] for t, a in Reader(page).elements if t == "section"] == ["summary", "provenance"]


# --- In a browser -----------------------------------------------------------------------------------------------


def dump_dom(page: bytes, folder: Path) -> str:
    """What a browser makes of a page from file://, after its scripts ran."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium found: the script of the report is only tried in a browser")
    path = folder / "report.html"
    path.write_bytes(page)
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    flags += [
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        f"--user-data-dir={folder / 'profile'}",
    ]
    done = subprocess.run(
        [chromium, *flags, "--dump-dom", path.as_uri()], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.decode()


def table(rows: int) -> ReportData:
    columns = (
        m.TableColumn("status", "status"),
        m.TableColumn("id", "text"),
        m.TableColumn("score", "number"),
    )
    lines = tuple(("dropped" if i % 3 else "kept", f"item {i}", (i * 37 % 100) / 100) for i in range(rows))
    return ReportData("Table", "", table=m.Table(columns, lines, rows, "All."))


def test_the_script_runs_under_its_policy_and_draws_the_table(tmp_path: Path):
    dom = dump_dom(render(table(60)), tmp_path)
    assert "1–25 of 60 rows" in dom  # written by the script only
    assert len(re.findall(r"<tr>", dom.split("<tbody>")[1].split("</tbody>")[0])) == 25
    assert 'id="toolbar">' in dom  # no longer hidden


def test_no_payload_runs_in_a_browser(tmp_path: Path):
    dom = dump_dom(render(fill("".join(PAYLOADS))), tmp_path)
    assert "1–1 of 1 rows" in dom
    found = Reader(dom.encode())
    assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]
    assert [t for t, _ in found.elements].count("script") == 2  # the data and the one script
