"""The way of somebody who lets people check image-text pairs: asked, answered, asked again, settled, all accounted for.

300 pairs of Flickr8k with the judgements that people really gave: three experts from 1 to 4, and in the second round three
of the crowd, whose yes or no becomes the nearest rating.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import curate
from curate.annotators.offline import Offline
from curate.annotators.offline.folder import Folder
from curate.annotators.rounds import Rounds, Spread
from curate.annotators.tasks import ImageTextAlignment, PreAnnotations

pytestmark = pytest.mark.data

ASKED = 300
TEMPLATE = ImageTextAlignment(limit=4)
GUESSES = PreAnnotations(
    {"overall": "overlap"}, "word-overlap@1", scales={"overall": (0.0, 0.6)}, score="overlap"
)
PLAN = Rounds("overall", rules=(Spread(2.0),), most=2, method="mean")
Judgements = Mapping[str, Mapping[int, tuple[int, ...]]]


@dataclass(frozen=True)
class Pairs:
    """Rows for a store, and what people said of each item in each round."""

    rows: pl.DataFrame
    said: Judgements


def read_pairs(source: Path, photos: Path) -> Pairs:
    """300 pairs with three experts' ratings; of those on which experts lie far apart, the crowd's votes too."""
    with (source / "captions.tsv").open(encoding="utf-8") as file:
        captions = dict(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    crowd = {}
    for line in (source / "CrowdFlowerAnnotations.valid.txt").read_text().splitlines():
        image, caption, _, yes, no = line.split("\t")
        crowd[image, caption] = (3,) * int(yes) + (2,) * int(no)
    rows, said = [], {}
    experts = [line.split("\t") for line in (source / "ExpertAnnotations.txt").read_text().splitlines()]
    for image, caption, *given in sorted(experts, key=lambda r: ((r[0], r[1]) not in crowd, r)):
        ratings = tuple(int(one) for one in given)
        again = crowd.get((image, caption), ())[:3]
        unsaid = max(ratings) - min(ratings) >= 2 and len(again) < 3
        if len(rows) == ASKED or unsaid or caption not in captions:
            continue  # the files name a few captions that they do not hold
        own = " ".join(captions.get(f"{image}#{k}", "") for k in range(5)).lower().split()
        words = [w for w in captions[caption].lower().split() if len(w) > 3]
        item = f"{image.partition('_')[0]}-{caption.partition('_')[0]}-{caption[-1]}"
        overlap = sum(w in own for w in words) / max(len(words), 1)
        rows.append((item, str(photos / image), captions[caption], overlap))
        said[item] = {1: ratings, 2: again}
    with zipfile.ZipFile(source / "images.zip") as archive:
        inside = {Path(name).name: name for name in archive.namelist()}
        for path in {row[1] for row in rows}:
            Path(path).write_bytes(archive.read(inside[Path(path).name]))
    frame = pl.DataFrame(rows, ["id", "image", "caption", "overlap"], orient="row")
    return Pairs(frame, said)


def go(store: Any, annotator: Any, pairs: Pairs, answer: Any) -> pl.DataFrame:
    """Push, let people answer, pull, and again until the rule is satisfied; the answers as they are in the end."""
    store.add(pairs.rows, kind="image-text")
    first = annotator.push(store, template=TEMPLATE, guesses=GUESSES)
    assert (first.created, first.failed, first.unguessed) == (ASKED, 0, 0)
    assert annotator.push(store, template=TEMPLATE, guesses=GUESSES).created == 0
    answer(1, list(pairs.said))
    receipt = annotator.pull(store)
    assert (receipt.new, receipt.ok) == (3 * ASKED, 3 * ASKED)
    status = PLAN.judge(store.answers)
    apart = sorted(i for i, said in pairs.said.items() if max(said[1]) - min(said[1]) >= 2)
    assert status.next() == {2: apart} and len(apart) >= 5
    receipts = PLAN.advance(store, annotator, template=TEMPLATE, guesses=GUESSES)
    assert [(r.round, r.created) for r in receipts] == [(2, len(apart))]
    answer(2, apart)
    receipt = annotator.pull(store)
    assert (receipt.new, annotator.pull(store).new) == (3 * len(apart), 0)
    done = PLAN.judge(store.answers)
    assert done.done and done.counts == {"settled": ASKED}
    assert done.by_round["answers"].to_list() == [3 * ASKED, 3 * len(apart)]
    assert "<svg" in done._repr_html_()
    return store.answers.to_polars()


def check(store: Any, pairs: Pairs, answers: pl.DataFrame) -> None:
    """Every answer is there as it was given, once, and the consensus is made of the newest round."""
    got = answers.group_by("item", "round").agg(pl.col("value").cast(pl.Int64).sort())
    there = {(item, round): tuple(values) for item, round, values in got.iter_rows()}
    expected = {(i, 1): tuple(sorted(said[1])) for i, said in pairs.said.items()}
    apart = [i for i, said in pairs.said.items() if max(said[1]) - min(said[1]) >= 2]
    expected |= {(i, 2): tuple(sorted(pairs.said[i][2])) for i in apart}
    assert there == expected
    assert answers["answer_id"].n_unique() == answers.height == 3 * (ASKED + len(apart))
    PLAN.settle(store, "overall")
    mean = {i: np.mean(said[2] if i in apart else said[1]) for i, said in pairs.said.items()}
    rows = store.items.to_polars(["id", "overall", "overall_state", "overall_rounds", "overlap"])
    assert rows["overall_state"].unique().to_list() == ["settled"]
    assert rows["overall"].to_list() == pytest.approx([mean[i] for i in rows["id"]], abs=1e-5)
    assert (rows["overall_rounds"] == 2).sum() == len(apart)
    # What people say is related to the words that caption and picture share, which is what they were shown.
    related = np.corrcoef(rows["overall"].to_numpy(), rows["overlap"].to_numpy())[0, 1]
    assert related > 0.3
    kept = store.keep("overall >= 3", name="aligned")
    assert 0 < len(kept) < ASKED
    assert "annotation rounds" in str(store.explain(apart[0]))
    assert store.verify() == []


def test_people_answer_in_files(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    pairs = read_pairs(data_dir / "flickr8k_1k", tmp_path / "photos")
    annotator = Offline(tmp_path / "people")

    def answer(round: int, items: list[str]) -> None:
        tasks = {t.item: t for t in Folder(tmp_path / "people").tasks(round).values()}
        export = []
        for n, item in enumerate(items):
            given = [
                {
                    "id": round * 10_000 + n * 3 + k,
                    "completed_by": k + 1,
                    "created_at": f"2026-03-0{round}T10:00:00Z",
                    "result": TEMPLATE.result({"overall": stars}),
                    "lead_time": 7.5,
                }
                for k, stars in enumerate(pairs.said[item][round])
            ]
            export.append({"id": n, "data": dict(tasks[item].data), "annotations": given})
        (tmp_path / "people" / "answers" / f"export-{round}.json").write_text(json.dumps(export))

    with curate.open(tmp_path / "s.curate", create=True) as store:
        check(store, pairs, go(store, annotator, pairs, answer))


@pytest.mark.slow
def test_people_answer_on_a_server(data_dir: Path, tmp_path: Path, label_studio_server: Any) -> None:
    """Three people, each with an account, answer through the API of a real Label Studio."""
    from curate.annotators.label_studio import LabelStudio

    server = label_studio_server
    photos = server.files / "flickr"
    photos.mkdir(exist_ok=True)
    pairs = read_pairs(data_dir / "flickr8k_1k", photos)
    annotator = LabelStudio(server.url, server.token, annotators=3, media="local", files=str(server.files))
    tokens = list(server.people.values())
    made: list[int] = []

    def answer(round: int, items: list[str]) -> None:
        place = {}
        for project in server.call("GET", "/api/projects/?page_size=1000")["results"]:
            page = f"/api/tasks/?project={project['id']}&page_size=1000&fields=task_only&include=id,data"
            for task in server.call("GET", page)["tasks"]:
                if task["data"].get("cur_round") == round and "overlap" not in task["data"]:
                    place.setdefault(task["data"].get("cur_item"), task["id"])
        for item in items:
            for token, stars in zip(tokens, pairs.said[item][round], strict=True):
                body = {"result": TEMPLATE.result({"overall": stars}), "lead_time": 7.5}
                made.append(server.call("POST", f"/api/tasks/{place[item]}/annotations/", body, token)["id"])

    with curate.open(tmp_path / "s.curate", create=True) as store:
        answers = go(store, annotator, pairs, answer)
        check(store, pairs, answers)
        assert sorted(int(a) for a in answers["answer_id"]) == sorted(made)
        assert set(answers["annotator"]) == set(server.people)
        shown = server.call("GET", f"/api/tasks/?project={_project(server, store)}&page_size=1&fields=all")[
            "tasks"
        ][0]
        assert shown["predictions"][0]["model_version"] == "word-overlap@1"


def _project(server: Any, store: Any) -> int:
    """The newest project that holds a task of this store's data set."""
    from curate.annotators.label_studio.ledger import Ledger

    ledger = Ledger(store.path)
    try:
        return ledger.projects(server.url, store.id)[0].id
    finally:
        ledger.close()
