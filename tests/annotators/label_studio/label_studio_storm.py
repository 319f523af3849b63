"""A process that pushes and pulls in children of its own, and kills them when told to.

    python label_studio_storm.py STORE URL TOKEN
Each line of input is `push SECONDS`, `pull SECONDS`, or `both SECONDS` (two pushes at once): the children are killed after so
many seconds. A line comes back: what each child said, or `killed`. Everything is imported once, before the first fork.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from label_studio_work import GUESSES, push

import curate
from curate.annotators.label_studio import LabelStudio


def child(what: str, path: str, url: str, token: str) -> int:
    """Do it in a child; the file descriptor on which it says what came of it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        children[reader] = pid
        return reader
    try:
        studio = LabelStudio(url, token, chunk=10, patience=2.0)
        store = curate.open(path)
        said = str(push(studio, store, guesses=GUESSES) if what == "push" else studio.pull(store))
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    os.write(writer, said.replace("\n", " ").encode()[:4000])
    os._exit(0)


def end(reader: int, until: float) -> str:
    """What a child said by then; if nothing, it is killed."""
    ready, _, _ = select.select([reader], [], [], max(0.0, until - time.monotonic()))
    if not ready:
        os.kill(children[reader], signal.SIGKILL)
    said = os.read(reader, 5000).decode()
    os.waitpid(children.pop(reader), 0)
    os.close(reader)
    return said or "killed"


children: dict[int, int] = {}

if __name__ == "__main__":
    import curate.annotators.label_studio.connector
    import curate.annotators.label_studio.pulling
    import curate.annotators.label_studio.pushing
    import curate.annotators.tasks.labels
    import curate.store.answers
    import curate.store.view

    print("ready", flush=True)
    for line in sys.stdin:
        what, seconds = line.split()
        started = time.monotonic()
        readers = [
            child("push" if what == "both" else what, *sys.argv[1:4]) for _ in range(1 + (what == "both"))
        ]
        print(" | ".join(end(r, started + float(seconds)) for r in readers), flush=True)
