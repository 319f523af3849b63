"""5,000 tasks to a real Label Studio and back, beside its own SDK on the same server.

    make label-studio                       # the server, and with it its SDK, in an environment of their own
    python benchmarks/label_studio.py       # LABEL_STUDIO_BIN names another installation; --tasks 1000 is quicker

Ours is the whole push: items read, tasks made, the project looked for and made, tasks imported and counted, the model's name
set. Theirs is `client.projects.create`, and `import_tasks` with the very same tasks, ready made, in batches of 500 to 2,000,
and nothing is checked.
Each in a process of its own; clocks begin after the imports. The server's CPU seconds are counted beside the wall, for the
server is what both wait for. Each push goes into a project of its own; the order is turned around in every repeat, and what
is shown are medians; ratios are taken repeat by repeat, with the quartiles. Last come the requests that a push and a pull of
ours are made of, each with what it cost the server.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from _measure import Measurement, markdown, measure

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "annotators" / "label_studio"))

from label_studio_server import LabelStudioServer, binary  # noqa: E402

BATCHES = (2000, 1000, 500)
CHANGED = 50


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tasks", type=int, default=5000)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--pushes", action="store_true", help="nothing but pushes and the SDK's imports")
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="label-studio-bench-"))
    server = LabelStudioServer(folder / "server").start()
    try:
        compare(server, folder, given.tasks, given.repeats, given.pushes)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def compare(server: LabelStudioServer, folder: Path, tasks: int, repeats: int, pushes: bool) -> None:
    """Everything, in order, and the tables."""
    sdk = str(binary().parent / "python")
    assert server.process is not None
    served = psutil.Process(server.process.pid)
    prepare(folder / "first", tasks)
    dump_tasks(folder / "first", folder / "tasks.json")
    runs: dict[str, list[tuple[Measurement, float]]] = {}
    for repeat in range(repeats):
        jobs = [("ours push", ours("push", server, prepare(folder / f"ours-{repeat}", tasks)))]
        jobs += [
            (f"sdk import {n}", theirs(sdk, "import", server, folder / "tasks.json", n)) for n in BATCHES
        ]
        for name, command in jobs if repeat % 2 == 0 else jobs[::-1]:
            runs.setdefault(name, []).append(run(served, command))
    if pushes:
        show(runs, tasks)
        return
    project = runs["ours push"][-1][0].result["project"]
    store = folder / f"ours-{repeats - 1}"
    for repeat in range(repeats):
        jobs = [
            ("ours list", ours("list", server, store)),
            ("sdk tasks.list()", theirs(sdk, "list", server, project)),
            ("sdk tasks.list(), fields and page chosen", theirs(sdk, "list-lean", server, project)),
        ]
        for name, command in jobs if repeat % 2 == 0 else jobs[::-1]:
            runs.setdefault(name, []).append(run(served, command))
    show(runs, tasks)
    pulls(served, server, store, project)
    trace(server, served.pid, prepare(folder / "traced", tasks))


def pulls(served: psutil.Process, server: LabelStudioServer, store: Path, project: int) -> None:
    """Pulls: nothing answered, then 50 among all, then nothing new."""
    rows = []
    first = run(served, ours("pull", server, store))
    rows.append(("first pull, nobody has answered", first))
    page = server.call(
        "GET", f"/api/tasks/?project={project}&page_size={CHANGED}&fields=task_only&include=id"
    )
    value = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
    for one in page["tasks"]:
        server.call("POST", f"/api/tasks/{one['id']}/annotations/", {"result": value})
    rows.append((f"{CHANGED} answered since", run(served, ours("pull", server, store))))
    rows.append(("nothing new", run(served, ours("pull", server, store))))
    table = [
        (name, m.result["count"], f"{m.result['seconds']:.2f}", f"{cpu:.2f}", f"{m.cpu:.1f}")
        for name, (m, cpu) in rows
    ]
    print(markdown(("pull", "answers", "wall s", "server CPU s", "our process CPU s"), table) + "\n")


def run(served: psutil.Process, command: list[str]) -> tuple[Measurement, float]:
    """One command, and what it cost the server."""
    before = sum(served.cpu_times()[:2])
    found = measure(command)
    print(f"# {command[2:4]}: {found.result}", file=sys.stderr)
    return found, sum(served.cpu_times()[:2]) - before


def show(runs: dict[str, list[tuple[Measurement, float]]], tasks: int) -> None:
    rows, middle = [], {}
    for name, found in runs.items():
        wall = median(m.result["seconds"] for m, _ in found)
        cpu = median(c for _, c in found)
        client = median(m.result["cpu"] for m, _ in found)
        memory = max(m.rss for m, _ in found)
        assert {m.result["count"] for m, _ in found} == {tasks}, name
        middle[name] = (wall, cpu)
        rates = (f"{tasks / wall:,.0f}", f"{tasks / cpu:,.0f}")
        rows.append((name, *rates, f"{wall:.1f}", f"{cpu:.1f}", f"{client:.2f}", f"{memory:,.0f}"))
    header = (
        "what",
        "tasks per s",
        "per server CPU s",
        "wall s",
        "server CPU s",
        "client CPU s",
        "client MB",
    )
    print(markdown(header, rows) + "\n")
    best = min((name for name in middle if name.startswith("sdk import")), key=lambda name: middle[name][0])
    for mine, other in (("ours push", best), ("ours list", "sdk tasks.list()")):
        if mine not in runs:
            continue
        pairs = list(zip(runs[mine], runs[other], strict=True))
        wall = quarters([theirs[0].result["seconds"] / ours[0].result["seconds"] for ours, theirs in pairs])
        cpu = quarters([theirs[1] / ours[1] for ours, theirs in pairs])
        print(f"{mine}: {wall} x the rate of {other} by the wall, {cpu} x per server CPU s")
    print()


def quarters(values: list[float]) -> str:
    """The median, and between which values half of them lie."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def trace(server: LabelStudioServer, pid: int, store: Path) -> None:
    """What a push and then a pull ask of the server."""
    for what in ("push", "pull"):
        found = measure([*ours(what, server, store), str(pid)]).result["requests"]
        rows = [(call, f"{wall:.2f}", f"{cpu:.2f}") for call, wall, cpu in found]
        print(markdown((f"request of a {what}", "wall s", "server CPU s"), rows) + "\n")


# --- What runs in processes of its own --------------------------------------------------------------------------


def ours(what: str, server: LabelStudioServer, store: Path) -> list[str]:
    return [sys.executable, str(HERE / "label_studio.py"), what, server.url, server.token, str(store)]


def theirs(python: str, what: str, server: LabelStudioServer, *more: Any) -> list[str]:
    script = HERE / "_label_studio_sdk.py"
    return [python, str(script), what, server.url, server.token, *map(str, more)]


def prepare(path: Path, tasks: int) -> Path:
    """A store of so many texts, each with a guess."""
    import pyarrow as pa

    import curate

    with curate.open(path, create=True) as store:
        rows = {
            "id": [f"item-{i:06d}" for i in range(tasks)],
            "text": [f"a sentence of usual length that somebody wrote, number {i}" for i in range(tasks)],
            "label": ["good"] * tasks,
            "sure": [(i % 97) / 97 for i in range(tasks)],
        }
        store.add(pa.table(rows), kind="label")
    return path


def asked() -> dict[str, Any]:
    guesses = {"columns": {"label": "label"}, "model_version": "guesser-1", "score": "sure"}
    return {"template": "text-classification", "params": {"labels": ["good", "bad"]}, "guesses": guesses}


def dump_tasks(path: Path, target: Path) -> None:
    """The same tasks ready made, for the SDK."""
    import dataclasses

    import curate
    from curate.annotators.tasks import build_template
    from curate.annotators.tasks.guesses import read_guesses

    ask = asked()
    template, guesses = build_template(ask["template"], ask["params"]), read_guesses(ask["guesses"])
    assert guesses is not None
    made = []
    with curate.open(path) as store:
        for row in store.items.to_arrow().to_pylist():
            task = template.task(row, dataset=store.id)
            predictions, _ = guesses.guess(template, row, task.data)
            whole = dataclasses.replace(task, predictions=tuple(predictions)).to_json()
            made.append({name: whole[name] for name in ("data", "predictions")})
    target.write_text(json.dumps(made))


@contextmanager
def timed(found: dict[str, Any]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    found |= {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


@contextmanager
def traced(found: dict[str, Any], pid: str) -> Iterator[None]:
    """Notes each request, how long it took, and what it cost the process of the server."""
    from curate.annotators.label_studio.wire import Wire

    served, exchange, noted = psutil.Process(int(pid)), Wire._exchange, []

    def note(self: Wire, method: str, path: str, *more: Any, **named: Any) -> Any:
        wall, cpu = time.perf_counter(), sum(served.cpu_times()[:2])
        answer = exchange(self, method, path, *more, **named)
        spent = time.perf_counter() - wall, sum(served.cpu_times()[:2]) - cpu
        noted.append((f"{method} {path.partition('&query')[0][:70]}", *spent))
        return answer

    Wire._exchange = note  # type: ignore[method-assign]
    yield
    found["requests"] = noted


def role(what: str, url: str, token: str, path: str, pid: str = "") -> None:
    """One job of ours; prints what came of it. With the server's `pid`, its requests too."""
    import curate
    import curate.annotators.label_studio.pulling
    import curate.annotators.label_studio.pushing
    import curate.annotators.tasks.labels
    from curate.annotators.label_studio import LabelStudio
    from curate.annotators.label_studio.ledger import Ledger
    from curate.annotators.label_studio.places import Places
    from curate.annotators.label_studio.server import Server
    from curate.annotators.label_studio.shelf import Shelf

    found: dict[str, Any] = {}
    studio = LabelStudio(url, token)
    with curate.open(path) as store:
        store.items.limit(1).to_polars()  # what is imported when it is first used
        if what == "push":
            with traced(found, pid) if pid else nullcontext(), timed(found):
                receipt = studio.push(store, **asked())
            found |= {"count": receipt.created, "project": int(receipt.place.split("/")[-2])}
        elif what == "pull":
            with traced(found, pid) if pid else nullcontext(), timed(found):
                found["count"] = studio.pull(store).answers
        else:
            server, ledger = Server(studio.wire()), Ledger(store.path)
            shelf = Shelf(server, ledger, Places(server, ledger, store.id).known()[0])
            with timed(found):
                shelf.look()
            found["count"] = len(shelf.there)
    print(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("push", "pull", "list"):
        role(*sys.argv[1:])
    else:
        main()
