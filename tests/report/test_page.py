"""The page: escaped everywhere, self-contained, deterministic."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from typing import Any

import pytest
from report_pages import PAYLOADS, PIXEL, Reader, fill, shape

from curate.report.contents import ReportData
from curate.report.page import render


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
