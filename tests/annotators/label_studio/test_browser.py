"""A person in a real browser: submits, changes, skips and edits, and all of it comes back as it was meant.

Needs playwright and a Chromium (CHROMIUM, or /usr/bin/chromium); skipped where either is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from label_studio_server import PASSWORD, LabelStudioServer
from label_studio_work import by_item, project_of
from PIL import Image

import curate
from curate.annotators.label_studio import LabelStudio
from curate.annotators.tasks import PreAnnotations
from curate.testing.annotators import HOSTILE

pytestmark = pytest.mark.slow
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
READY = (
    "()=>window.Htx&&window.Htx.annotationStore.selected"
    "&&window.Htx.annotationStore.selected.serializeAnnotation().length>0"
)


@pytest.fixture
def page(server: LabelStudioServer) -> Iterator[Any]:
    """A browser in which Ada is logged in, and that reaches nothing but this machine."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}: install chromium, or set CHROMIUM")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1500, "height": 950})
        opened.set_default_timeout(90_000)
        opened.route(
            "**/*",
            lambda route: (
                route.continue_()
                if route.request.url.startswith((server.url, "data:", "blob:"))
                else route.abort()
            ),
        )
        opened.goto(f"{server.url}/user/login/")
        opened.fill("input[name=email]", "ada@example.com")
        opened.fill("input[name=password]", PASSWORD)
        opened.click("button[type=submit]")
        opened.wait_for_load_state("domcontentloaded")
        yield opened
        browser.close()


@pytest.fixture
def store(tmp_path: Path) -> curate.Store:
    """Pictures, captions that are hard on a page, elements, and what a model thinks of all that."""
    rng = np.random.default_rng(1)
    captions = ["a red ball on grass", HOSTILE["markup"], HOSTILE["braces"], HOSTILE["right-to-left"]]
    for i in range(len(captions)):
        Image.fromarray(rng.integers(0, 255, (240, 320, 3), np.uint8)).save(tmp_path / f"{i}.png")
    rows = {
        "id": [f"pair-{i}" for i in range(len(captions))],
        "image": [str(tmp_path / f"{i}.png") for i in range(len(captions))],
        "caption": captions,
        "elements": [["a red ball", "<b>grass</b>"]] * len(captions),
        "rating": [3.0] * len(captions),
        "there": [[0.9, 0.1]] * len(captions),
    }
    store = curate.open(tmp_path / "store", create=True)
    store.add(pa.table(rows), kind="image-text")
    return store


def submit(page: Any, name: str = "Submit") -> dict[str, Any]:
    """Press the button; what the server made of it."""
    with page.expect_response(
        lambda r: "/annotations" in r.url and r.request.method in ("POST", "PATCH")
    ) as found:
        page.locator(f'button:has-text("{name}")').last.click()
    made: dict[str, Any] = found.value.json()
    return made


def test_a_person_submits_changes_skips_and_edits(
    server: LabelStudioServer, store: curate.Store, page: Any, tmp_path: Path
) -> None:
    studio = LabelStudio(server.url, server.token)
    guesses = PreAnnotations({"overall": "rating", "element": "there"}, "model-7")
    ask = {"template": "image-text-alignment", "params": {"elements": "elements"}, "guesses": guesses}
    project = project_of(studio.push(store, **ask).place)
    task = {item: numbers[0] for item, numbers in by_item(server, project).items()}
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))

    page.goto(f"{server.url}/projects/{project}/data?labeling=1")
    page.wait_for_function(READY)
    page.wait_for_timeout(1000)
    page.screenshot(path=os.environ.get("SCREENSHOT", str(tmp_path / "page.png")))
    assert page.get_by_text("a red ball on grass").count() and page.get_by_text("<b>grass</b>").count()
    first = submit(page)  # as it was filled in
    assert first["task"] == task["pair-0"]

    page.wait_for_function(f"()=>window.Htx.annotationStore.store.task.id==={task['pair-1']}")
    page.wait_for_function(READY)
    page.locator(".ant-rate li >> nth=4").locator("div[role=radio]").click()
    page.locator('label:has-text("no") >> nth=0').click()
    page.wait_for_timeout(300)
    submit(page)

    page.wait_for_function(f"()=>window.Htx.annotationStore.store.task.id==={task['pair-2']}")
    page.wait_for_function(READY)
    submit(page, "Skip")

    page.goto(f"{server.url}/projects/{project}/data?task={task['pair-0']}")
    page.wait_for_function(READY)
    page.locator(".ant-rate li >> nth=0").locator("div[role=radio]").click()
    page.wait_for_timeout(300)
    submit(page, "Update")
    assert not alerts, "a caption ran as a script"

    got = studio.pull(store)
    assert (got.answers, got.skips, got.ok, got.rejected, got.quarantined) == (3, 1, 2, 0, 0)
    rows = {(r["item"], r["control"]): r for r in store.answers.latest().to_arrow().to_pylist()}
    assert {r["annotator"] for r in rows.values()} == {"ada@example.com"}
    said = {place: (row["value"], row["touched"]) for place, row in rows.items()}
    assert said == {
        ("pair-0", "overall"): ("1", True),  # edited afterwards
        ("pair-0", "element_0"): ("yes", False),
        ("pair-0", "element_1"): ("no", False),
        ("pair-1", "overall"): ("5", True),
        ("pair-1", "element_0"): ("no", True),
        ("pair-1", "element_1"): ("no", False),
        ("pair-2", ""): (None, None),
    }
    assert {r["model_version"] for r in rows.values() if r["control"]} == {"model-7"}
    assert rows["pair-2", ""]["skipped"] and rows["pair-0", "overall"]["seconds"] > 0
