"""The page in a browser: its script runs under its policy, and no payload does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_pages import PAYLOADS, Reader, fill

from curate.report import evidence as v
from curate.report import model as m
from curate.report.contents import ReportData
from curate.report.page import render


def dump_dom(page: bytes, folder: Path, width: int = 1280) -> str:
    """What a browser of this width makes of a page from file://, after its scripts ran."""
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
        f"--window-size={width},900",
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
    assert [t for t, _ in found.elements].count(
        "script"
    ) == 3  # data of the map and of the table, and the one script


POINT = """
const svg = document.querySelector("#map-frame svg"), r = svg.getBoundingClientRect();
const at = (type, x, y) => svg.dispatchEvent(new PointerEvent(type, { clientX: r.x + x * r.width, clientY: r.y + y * r.height, bubbles: true }));
const put = (name) => { const kept = document.createElement("output"); kept.id = name; kept.append(document.getElementById("map-card").cloneNode(true)); document.body.append(kept); };
"""


def act(page: bytes, script: str, before: str = POINT) -> bytes:
    """The page with what a reader does, which its policy would not let run."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.decode())
    return text.replace("</body>", f"<script>{before}{script}</script></body>").encode()


def said(dom: str, name: str) -> str:
    """The text of a card that was put aside."""
    return "|".join(Reader(dom.split(f'id="{name}"')[1].split("</output>")[0].encode()).text)


def test_pointing_at_a_mark_shows_its_item_and_a_selection_its_own_reasons(tmp_path: Path):
    script = """
    put("first"); at("pointermove", .98, .98); put("moved"); at("click", .98, .98); at("pointermove", .02, .02); put("held");
    const pick = document.getElementById("map-of");
    pick.value = "0"; pick.dispatchEvent(new Event("change")); put("chosen");
    at("click", .98, .98); at("pointermove", .02, .02); put("other");
    document.getElementById("map-frame").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" })); put("keyed");
    document.getElementById("map-frame").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" })); put("left");
    """
    evil = "<script>window.hit=1</script>"
    dom = dump_dom(act(render(fill(evil)), script), tmp_path)
    assert "Point at a mark" in said(dom, "first")
    assert said(dom, "moved") == said(dom, "held") and "people answered" in said(dom, "moved")
    assert f"in selection {evil}: {evil}" in said(dom, "chosen")
    assert f"not in selection {evil}" in said(dom, "other")
    assert said(dom, "keyed") == said(dom, "chosen") and said(dom, "left") == said(dom, "first")
    assert dom.count("<script") == render(fill(evil)).decode().count("<script") + 1


def test_wide_tables_scroll_in_their_place_and_words_keep_off_numbers(tmp_path: Path):
    name = "needs_more_answers_of_people_who_know"
    rows = v.Evidence(
        "Rubber-stamping", "", False, ("answers", "why"), (("108", "by chance"),), (True, False)
    )
    data = ReportData(
        "Narrow",
        "",
        flags=(m.Flag(name, 1200, 300, 4, "consensus"),),
        findings=(v.FindingSet("annotators", "", (rows,)),),
        balances=(m.Balance(name, ((name * 2, 1200, 900),), 1, (0, 0), 1200, 900),),
    )
    script = """
    const kept = document.createElement("output"), cells = document.querySelectorAll(".evidence tbody td");
    kept.textContent = `${document.documentElement.scrollWidth <= innerWidth} ${getComputedStyle(cells[1]).paddingLeft}`;
    kept.id = "measured"; document.body.append(kept);
    """
    dom = dump_dom(act(render(data), script, before=""), tmp_path, width=400)
    assert dom.split('id="measured">')[1].split("<")[0] == "true 14px"
