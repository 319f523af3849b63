"""What needs no server: pages, the ledger, marks, digests, media, and where addresses lead."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from label_studio_fake import TOKEN, send, serving

from curate import registry
from curate.annotators.label_studio import LabelStudio
from curate.annotators.label_studio.ledger import Ledger, Project, Sent, exclusive
from curate.annotators.label_studio.places import Mark, Places
from curate.annotators.label_studio.server import Server
from curate.annotators.label_studio.serving import Serving
from curate.annotators.label_studio.shelf import Parcel, Shelf, data_digest
from curate.annotators.label_studio.wire import Absent, Lost, Wire
from curate.annotators.tasks import build_template
from curate.annotators.tasks.task import make_task
from curate.errors import (
    AnnotatorError,
    BusyError,
    InputError,
    MediaError,
    MissingExtraError,
    UnknownNameError,
)

pytestmark = pytest.mark.usefixtures("hasty")


def test_pages_are_read_by_ids_and_a_project_that_vanishes_is_no_end() -> None:
    ids = list(range(1, 2501))
    asked_for: list[int] = []

    def reply(asked: BaseHTTPRequestHandler) -> None:
        from urllib.parse import parse_qs, urlsplit

        parts = urlsplit(asked.path)
        if parts.path == "/api/projects/1/":
            return send(asked, 404, b"{}")
        query = json.loads(parse_qs(parts.query)["query"][0])
        after = query["filters"]["items"][-1]["value"]
        asked_for.append(after)
        if after >= 2000 and gone:
            return send(asked, 404, b"{}")
        page = [{"id": i} for i in ids if i > after][:1000]
        return send(asked, 200, json.dumps({"tasks": page}).encode())

    gone = False
    with serving(reply) as url:
        server = Server(Wire(url, TOKEN))
        assert [t["id"] for page in server.tasks(1, "id") for t in page] == ids
        assert asked_for == [0, 1000, 2000]
        gone = True
        with pytest.raises(Absent):
            list(server.tasks(1, "id"))


def test_few_answered_before_are_asked_for_by_number_and_of_many_all_that_changed_are_listed() -> None:
    changed, answered, skipped = set(range(1, 4000)), {7, 9}, {3000}
    asked: list[str] = []

    class Fake(Server):
        def tasks(self, project: int, include: str, filters: Any = (), after: int = 0) -> Any:
            since, *more = filters
            asked.append(more[0]["filter"].rpartition(":")[2] if more else "all")
            found = {"total_annotations": answered, "cancelled_annotations": skipped, "all": changed}
            numbers = set(more[0]["value"]) & changed if asked[-1] == "id" else found[asked[-1]]
            yield [{"id": n} for n in sorted(numbers)]

    server = Fake(Wire("http://127.0.0.1:1", TOKEN))
    counters = ["total_annotations", "cancelled_annotations"]
    assert server.answered(1, [{}], set()) == [7, 9, 3000] and asked == counters
    del asked[:]
    assert server.answered(1, [{}], {7, 20, 5000}) == [7, 9, 20, 3000] and asked == [*counters, "id"]
    del asked[:]
    assert server.answered(1, [{}], set(range(100, 500))) == [7, 9, *range(100, 500), 3000]
    assert asked == [*counters, "id", "id"]
    del asked[:]
    many = set(range(3500, 6000))
    assert server.answered(1, [{}], many) == [7, 9, 3000, *range(3500, 4000)] and asked == [*counters, "all"]


def test_the_ledger_remembers(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    project = Project("label-studio/ab", "http://x", 3, "f00d", 1, "custom", {"xml": "<View/>"}, "c0ffee")
    ledger.remember_project(project)
    ledger.move_watermark(project.source, "2026-01-01T00:00:00+00:00")
    ledger.remember_project(replace(project, spec={}, id=4))
    (known,) = ledger.projects("http://x", "f00d")
    assert (known.id, known.spec, known.watermark[:4]) == (4, {"xml": "<View/>"}, "2026")
    ledger.mark_gone(project.source)
    assert ledger.projects("http://x", "f00d")[0].gone and not ledger.projects("http://y", "f00d")
    assert ledger.flight(project.source) is None
    for key in ("a long key of another chunk", "k1"):
        ledger.take_off(project.source, key)
        assert ledger.flight(project.source)[1] == key  # type: ignore[index]
    assert ledger.flight("label-studio/cd") is None
    ledger.remember_tasks(project.source, [Sent("k1", 7, "a", "h", "d")])
    ledger.land(project.source)
    assert ledger.flight(project.source) is None
    for half in (b"", b'[17951234.5, "the ke'):  # killed while it was noted: nothing had left
        ledger._flight(project.source).write_bytes(half)
        assert ledger.flight(project.source) is None
    ledger.mark_deleted(project.source, ["k1"])
    ledger.close()
    assert Ledger(tmp_path).tasks(project.source) == {"k1": Sent("k1", 7, "a", "h", "d", True)}
    (tmp_path / "annotate" / "label-studio.sqlite").write_bytes(
        b"no database at all, but long enough to be one" * 9
    )
    with pytest.raises(AnnotatorError, match="move it away and push again"):
        Ledger(tmp_path)


def test_what_arrived_is_entered_while_the_next_is_taken_and_what_was_cut_off_stays_under_way(
    tmp_path: Path,
) -> None:
    project = Project("label-studio/ab", "http://x", 3, "f00d", 1, "custom", {}, "c0ffee")
    ledger, numbers = Ledger(tmp_path), iter(range(1, 100))
    ledger.remember_project(project)
    seen: list[tuple[list[str], list[str]]] = []

    class Fake:
        def import_tasks(self, project: int, body: bytes, meanwhile: Callable[[], None]) -> Any:
            if len(seen) == 3:
                raise Lost("cut")
            flight = ledger.flight("label-studio/ab")
            sent = [one["data"]["cur_key"] for one in json.loads(body)]
            assert flight is not None and flight[1] == sent[0]
            meanwhile()
            seen.append((sent, sorted(ledger.tasks("label-studio/ab"))))
            return len(sent), 0, [next(numbers) for _ in sent]

        def tasks(self, *_: object) -> Any:
            raise Lost("and again")

    shelf = Shelf(Fake(), ledger, project)  # type: ignore[arg-type]
    tasks = [make_task("f00d", f"item-{i}", 1, {"text": "t"}) for i in range(8)]
    parcels = [Parcel(t, json.dumps({"data": t.data}).encode(), data_digest(t.data)) for t in tasks]
    keys = [t.key for t in tasks]
    made: list[str] = []
    for at in (0, 2, 4):
        shelf.send(parcels[at : at + 2], lambda: made.append("the next"))
    assert seen == [(keys[at : at + 2], sorted(keys[:at])) for at in (0, 2, 4)] and len(made) == 3
    with pytest.raises(AnnotatorError, match="6 tasks are there for sure"):
        shelf.send(parcels[6:])
    shelf.enter()
    assert {k: t.id for k, t in ledger.tasks(project.source).items()} == dict(
        zip(keys[:6], range(1, 7), strict=True)
    )
    assert ledger.flight(project.source)[1] == keys[6], "it may still arrive"  # type: ignore[index]
    shelf._landed(parcels[6:], [7, 8])
    shelf.enter()
    assert len(ledger.tasks(project.source)) == 8 and ledger.flight(project.source) is None


@pytest.mark.parametrize(("next_number", "looks"), [(8, 1), (9, 2)])
def test_whether_another_made_a_project_is_asked_only_where_the_numbers_say_so(
    tmp_path: Path, next_number: int, looks: int
) -> None:
    there = [{"id": 7, "description": "theirs"}, {"id": 3, "description": None}]
    listed: list[int] = []

    class Fake:
        url = "http://x"

        def projects(self) -> list[dict[str, Any]]:
            listed.append(len(there))
            return there

        def create_project(self, fields: dict[str, Any], meanwhile: object) -> int:
            there.append({"id": next_number, "description": fields["description"]})
            return next_number

    places = Places(Fake(), Ledger(tmp_path), "f00d")  # type: ignore[arg-type]
    template = build_template("text-classification", {"labels": ("good", "bad")})
    assert places.find(1, template) is None
    project, new = places.make(1, template, {})
    assert (project.id, new, len(listed)) == (next_number, True, looks)
    found = places.find(1, template)
    assert found is not None and (found.id, found.source) == (next_number, project.source)


def test_one_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path, "push"):
        with exclusive(tmp_path, "pull"):
            pass
        with pytest.raises(BusyError, match=r"process \d+ is in a push"), exclusive(tmp_path, "push"):
            pass
    with exclusive(tmp_path, "push"):
        pass


def test_marks_are_read_back_and_nothing_else_is_one() -> None:
    mark = Mark("0123456789abcdef", 2, "image-text-alignment", "aaaa", "bbbb")
    assert Mark.read(f"Made by curate: {mark} <b>") == mark and mark.source == "label-studio/bbbb"
    for text in ("", "[curate:x:1:y:z:w]", "[curate:ab:1:custom:ab]", str(mark)[:-1]):
        assert Mark.read(text) is None


def test_data_is_the_same_however_a_database_writes_its_numbers() -> None:
    sent = {"text": "é", "n": 1e16, "half": 0.5, "list": [{"x": 2.0}], "none": None, "flag": True}
    back = {"flag": True, "none": None, "list": [{"x": 2}], "half": 0.5, "n": 10**16, "text": "é"}
    assert data_digest(sent) == data_digest(json.loads(json.dumps(back)))
    assert data_digest(sent) != data_digest({**sent, "half": 0.25})
    assert data_digest({"a": "1"}) != data_digest({"a": 1})


def test_local_files_are_shown_where_they_lie_or_copied(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (root / "photos").mkdir(parents=True)
    elsewhere.mkdir()
    picture = b"\x89PNG\r\n\x1a\n and more"
    for path in (root / "photos" / "a b.png", root / "top.png", elsewhere / "c.png"):
        path.write_bytes(picture)
    allowed: list[str] = []

    class Fake:
        def local_storages(self, project: int) -> list[dict[str, Any]]:
            return [{"path": p} for p in allowed]

        def add_local_storage(self, project: int, path: str) -> None:
            allowed.append(path)

    project = Project("s", "http://x", 1, "0123456789abcdef", 1, "custom", {}, "")
    serving_ = Serving(Fake(), project, "local", str(root), "/mnt/shown")  # type: ignore[arg-type]
    assert serving_.serve(str(root / "photos" / "a b.png")) == "/data/local-files/?d=photos/a%20b.png"
    copied = {serving_.serve(str(p)) for p in (root / "top.png", elsewhere / "c.png")}
    assert len(copied) == 1, "the same content is copied once"
    place = root / copied.pop().removeprefix("/data/local-files/?d=")
    assert place.read_bytes() == picture and place.parent.name == "curate-0123456789ab"
    assert allowed == ["/mnt/shown/photos", "/mnt/shown/curate-0123456789ab"]
    link = root / "photos" / "out.png"
    link.symlink_to(elsewhere / "c.png")
    assert "curate-" in serving_.serve(str(link)), "a link that leads out of the folder is copied, not shown"
    with pytest.raises(InputError, match="needs `files`"):
        Serving(Fake(), project, "local")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no http"):
        Serving(Fake(), project, "url").serve("/a.png")  # type: ignore[arg-type]
    (elsewhere / "a.flac").write_bytes(b"fLaC and more")
    inside = Serving(Fake(), project, "data")  # type: ignore[arg-type]
    assert inside.serve(str(elsewhere / "c.png")).startswith("data:image/png;base64,")
    with pytest.raises(MediaError, match="does not play a sound"):
        inside.serve(str(elsewhere / "a.flac"))
    assert Serving(Fake(), project).serve("https://x/a.png") == "https://x/a.png"  # type: ignore[arg-type]


def test_a_token_is_in_no_recipe() -> None:
    with pytest.raises(UnknownNameError, match="token"):
        registry.build("annotators", "label-studio", {"token": TOKEN})
    with pytest.raises(InputError, match="annotators=0"):
        LabelStudio(annotators=0)
    built = registry.build("annotators", "label-studio", {"url": "http://x", "media": "data", "chunk": 5})
    assert (built.url, built.media, built.chunk) == ("http://x", "data", 5)
    assert TOKEN not in repr(LabelStudio("http://x", TOKEN))


def test_the_clock_is_the_servers() -> None:
    def reply(asked: BaseHTTPRequestHandler) -> None:
        asked.send_response_only(200)
        asked.send_header("Date", "Thu, 01 Jan 2026 10:00:00 GMT")
        asked.send_header("Content-Length", "2")
        asked.end_headers()
        asked.wfile.write(b"[]")

    with serving(reply) as url:
        assert Wire(url, TOKEN).get("/").at == datetime(2026, 1, 1, 10, tzinfo=UTC)


def test_label_studios_own_client_gets_the_same_server_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    module = types.ModuleType("label_studio_sdk")
    module.LabelStudio = lambda **given: made.update(given)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "label_studio_sdk", module)
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://there:8080")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "secret")
    LabelStudio().sdk()
    assert made == {"base_url": "http://there:8080", "api_key": "secret"}
    monkeypatch.setitem(sys.modules, "label_studio_sdk", None)
    with pytest.raises(MissingExtraError, match="label-studio"):
        LabelStudio().sdk()
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    with pytest.raises(InputError, match=r"^no token of .*: set LABEL_STUDIO_API_KEY in the environment"):
        LabelStudio("http://there:8080").wire()
