"""A report in which every string is what one likes, and a reader of pages."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

from curate.report import evidence as v
from curate.report import model as m
from curate.report import points as p
from curate.report.contents import ReportData

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
        map=fill_map(text),
        galleries=(m.GallerySet(text, text, (gallery,)),),
        elements=(m.ElementSet(text, text, text, text, (m.Gallery(text, text, (pair,)),)),),
        disagreements=(m.GallerySet(text, text, (gallery,)),),
        duplicates=(m.Duplicates(text, 1, 1, (m.DuplicateGroup((card, card), 2),)),),
        labels=(m.Confusion(text, (text,), (text,), ((1,),), 1, 0, gallery, text),),
        findings=(v.FindingSet(text, text, (v.Evidence(text, text, True, (text,), ((text,),), (False,), 0, (v.Bar(text, text, 5.0),)), v.Evidence(text, text, intervals=(v.Interval(text, text, 1, 0, 2),)), v.Evidence(text, text, heat=v.Heat((text,), (text,), (((text, 5.0),),)), curve=v.Curve(text, text, (0.0, 1.0), ((text, (0.0, 1.0)),)))),),),
        balances=(m.Balance(text, ((text, 2, 1),), 1, (0, 0), 2, 1),),
        table=m.Table((m.TableColumn("status", "status"), m.TableColumn(text, "text")), (("dropped", text),), 1, text, (text,)),
        failures=(m.Listing(text, text, 1, reason, (text,), ((text,),)),),
        provenance=m.Provenance(((text, text),), text, (m.Section(text, (text,), ((text,),)),)),
        timings=m.Section(text, (text,), ((text,),)),
        kept_word=text,
    )  # fmt: skip


def fill_map(text: str) -> p.PointMap:
    """A map of two items, one in each corner, in which every string is `text`."""
    bare = m.Card(text, "dropped", text, texts=((text, text), (text, text)), scores=((text, text),))
    seen = m.Card(text, "dropped", text, (m.Picture(PIXEL, 1, 1),), label=text, suggested=text)
    points = (p.Point(0, 0, bare), p.Point(900, 600, seen, asked=True))
    groups = (p.Group("dropped", 2, 3), p.Group("dropped", 0, 1))
    return p.PointMap(text, text, points, groups, (1, 2), (p.Highlight(text, 3, ((1, text),)),))


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
