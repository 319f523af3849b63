"""The way of somebody whose pictures have several labels each: added, doubted, asked about, put right, handed on.

Pictures of three stripes, each lit where its label holds; a few labels are taken away and a few put on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

pytest.importorskip("sklearn", reason="extra noise not installed")

import curate
from curate.annotators.offline import Offline
from curate.annotators.rounds import Agreement, Rounds
from curate.annotators.tasks import MultiLabel

NAMES = ("blue", "green", "red")
N = 60
NONE = "none of these"
SPOILT = {"007.png": "blue", "021.png": "green", "040.png": "red"}
"""Pictures in which one label is not as it should be."""
PLAN = Rounds("labels", rules=(Agreement(0.6),), most=1, method="majority")


def draw(folder: Path) -> dict[str, list[str]]:
    """Pictures, the table of their labels, of which some are wrong, and the truth."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    truth: dict[str, list[str]] = {}
    lines = []
    for number, held in enumerate(rng.random((N, 3)) < 0.4):
        name = f"{number:03d}.png"
        pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
        for stripe in np.flatnonzero(held):
            pixels[:, 4 * stripe : 4 * stripe + 4] += 150
        Image.fromarray(pixels).save(folder / name)
        truth[name] = [NAMES[stripe] for stripe in np.flatnonzero(held)]
        given = sorted(set(truth[name]) ^ {SPOILT[name]}) if name in SPOILT else truth[name]
        lines.append(json.dumps({"file_name": name, "labels": given}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return truth


def answer(people: Path, truth: dict[str, list[str]]) -> list[Any]:
    """Two people say what is to be seen, a third leaves what was shown; returns what was shown in advance."""
    export, shown = [], []
    asked = MultiLabel(labels=NAMES, none=NONE)
    for number, task in enumerate(json.loads((people / "round-1" / "tasks-0001.json").read_text())):
        (guess,) = task["predictions"]
        shown.append(asked.answers(guess["result"], task["data"]).values)
        said = [asked.result({"labels": truth[task["data"]["cur_item"]]})] * 2 + [guess["result"]]
        annotations = [
            {"id": 10 * number + k, "completed_by": k, "created_at": "2026-03-01T10:00:00Z", "result": result}
            for k, result in enumerate(said)
        ]
        export.append({"id": number, "data": task["data"], "annotations": annotations})
    (people / "answers" / "export.json").write_text(json.dumps(export))
    return shown


def test_sets_of_labels_are_put_right_and_handed_on(tmp_path: Path) -> None:
    truth = draw(tmp_path / "stripes")
    store = curate.open(tmp_path / "s.curate", create=True)
    assert store.add(tmp_path / "stripes", kind="label", id="path").counts["added"] == N

    store.score("multilabel-errors")  # makes the embedding, and the probability of each label
    store.score("missing-labels")
    found = store.items.where("label_set_issue").to_arrow(["id"])["id"].to_pylist()
    assert found == sorted(SPOILT)
    row = store.items.where("id = '007.png'").to_arrow(["labels_to_add", "labels_to_remove"]).to_pylist()[0]
    changed = row["labels_to_add"] + row["labels_to_remove"]
    assert changed == [SPOILT["007.png"]]
    told = str(store.explain("007.png"))
    assert "label_set_issue = True" in told and "labels_to_remove" in told
    doubtful = store.select("top", by="multilabel_errors", lowest=True, budget=6, name="doubtful")
    assert set(SPOILT) <= set(store.items.within("doubtful").to_arrow(["id"])["id"].to_pylist())
    assert len(doubtful) == 6
    page = store.report(tmp_path / "report.html")
    assert "there wrongly" in Path(page).read_text()

    people = Offline(tmp_path / "people")
    guesses = {"columns": {"labels": "labels"}, "model_version": "given"}
    pushed = people.push(
        store, template="multilabel", params={"none": NONE}, within="doubtful", guesses=guesses
    )
    assert (pushed.created, pushed.failed) == (6, 0)
    shown = answer(tmp_path / "people", truth)
    given = store.items.within("doubtful").to_arrow(["labels"])["labels"].to_pylist()
    assert [json.loads(values.get("labels", "[]")) for values in shown] == given
    assert people.pull(store).ok == 3 * 6
    PLAN.settle(store, "checked")

    right = store.items.to_polars(["id", "image", "labels", "checked"]).with_columns(
        labels=pl.coalesce("checked", "labels")
    )
    record = store.add(right.drop("checked"), kind="label", on_conflict="update")
    assert (record.counts["updated"], record.counts["unchanged"]) == (len(SPOILT), N - len(SPOILT))
    assert dict(store.items.to_polars(["id", "labels"]).rows()) == truth

    store.score("multilabel-errors")
    assert not len(store.items.where("label_set_issue"))
    store.score("missing-labels")
    for format in ("parquet", "webdataset", "csv"):
        out = tmp_path / f"out-{format}"
        assert store.export(out, format=format, columns=["image", "labels", "soft_label"]).counts["rows"] == N
        again = curate.open(tmp_path / f"{format}.curate", create=True)
        assert again.add(out, kind="label").counts["rejected"] == 0
        assert dict(again.items.to_polars(["id", "labels"]).rows()) == truth


@pytest.mark.slow
def test_sets_go_through_a_server(tmp_path: Path, label_studio_server: Any) -> None:
    """The same question on a real Label Studio: what is given is chosen already, and what is answered comes back as lists."""
    from curate.annotators.label_studio import LabelStudio

    server, asked = label_studio_server, MultiLabel(labels=NAMES, shows="text", none=NONE)
    store = curate.open(tmp_path / "s.curate", create=True)
    given = {"a": ["blue", "red"], "b": [], "c": ["green"]}
    said = {"a": ["red"], "b": [], "c": ["green", "red"]}
    store.add({"id": list(given), "text": list("xyz"), "labels": list(given.values())}, kind="label")
    annotator = LabelStudio(server.url, server.token, annotators=2)
    guesses = {"columns": {"labels": "labels"}, "model_version": "given"}
    pushed = annotator.push(store, template=asked, guesses=guesses)
    assert (pushed.created, pushed.failed, pushed.unguessed) == (3, 0, 0)
    projects = server.call("GET", "/api/projects/?page_size=1000")["results"]
    newest = max(project["id"] for project in projects)
    for task in server.call("GET", f"/api/tasks/?project={newest}&page_size=10&fields=all")["tasks"]:
        item = task["data"]["cur_item"]
        (guess,) = task["predictions"]
        assert guess["result"][0]["value"] == {"choices": given[item] or [NONE]}
        for token in list(server.people.values())[:2]:
            body = {"result": asked.result({"labels": said[item]}), "lead_time": 3.0}
            server.call("POST", f"/api/tasks/{task['id']}/annotations/", body, token)
    assert annotator.pull(store).ok == 6
    Rounds("labels", rules=(Agreement(0.6),), first=2, most=1).settle(store, "checked")
    assert dict(store.items.to_polars(["id", "checked"]).rows()) == said
