"""Worker processes that decode, watched: one that hangs or dies costs the item it was at, and nothing else."""

from __future__ import annotations

import atexit
import contextlib
import json
import mmap
import os
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from curate.errors import RunError
from curate.media.policy import MediaPolicy
from curate.media.worker import PROGRESS, RECORD, Failure

__all__ = ["Pool", "shared_pool"]

_START = "from curate.media.worker import main; main()"


class _Worker:
    """One process and the pipes to it; started at its first request."""

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = policy
        self._process: subprocess.Popen[bytes] | None = None
        self._progress: mmap.mmap | None = None
        self._log: IO[bytes] | None = None

    def ask(self, modality: str, check: str, uris: Sequence[str]) -> tuple[bytes, list[Failure]]:
        """Records and failures of these items, starting again behind any item that kills the process."""
        records: list[bytes] = []
        failures: list[Failure] = []
        done, attempts = 0, 0
        while done < len(uris):
            answer = self._try(modality, check, uris[done:])
            if answer is not None:
                records.append(answer[0])
                failures += [(done + index, code, message) for index, code, message in answer[1]]
                break
            at, cause = self._bury()
            if at < 0:  # it died before the first item: idle for too long, or it cannot start at all
                attempts += 1
                if attempts > 2:
                    raise RunError(f"the process that decodes media does not start: {cause}")
                continue
            # What came before the culprit was lost with the process; it is done again, which is cheap and rare.
            if at > 0:
                before = self.ask(modality, check, uris[done : done + at])
                records.append(before[0])
                failures += [(done + index, code, message) for index, code, message in before[1]]
            records.append(RECORD.pack(0, b"", 0, 0, 0, 0.0))
            failures.append((done + at, *self._verdict(cause)))
            done += at + 1
        return b"".join(records), failures

    def _try(self, modality: str, check: str, uris: Sequence[str]) -> tuple[bytes, list[Failure]] | None:
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        request = json.dumps([modality, check, list(uris)]).encode()
        try:
            process.stdin.write(struct.pack("<I", len(request)) + request)
            process.stdin.flush()
        except BrokenPipeError:
            return None
        parts = []
        for _ in range(2):
            head = process.stdout.read(4)
            body = process.stdout.read(struct.unpack("<I", head)[0]) if len(head) == 4 else b""
            if len(head) < 4 or len(body) < struct.unpack("<I", head)[0]:
                return None
            parts.append(body)
        return parts[0], [(int(i), str(code), str(message)) for i, code, message in json.loads(parts[1])]

    def _start(self) -> subprocess.Popen[bytes]:
        progress = tempfile.TemporaryFile()  # noqa: SIM115  (the mapping outlives it)
        progress.write(PROGRESS.pack(-1))
        progress.flush()
        self._progress = mmap.mmap(progress.fileno(), PROGRESS.size)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (read in `_bury`)
        # Our own import path, so that the worker finds this very package wherever it runs from.
        path = os.pathsep.join(entry or os.curdir for entry in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(self._policy.to_dict()), str(progress.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            pass_fds=(progress.fileno(),),
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        progress.close()
        return self._process

    def _bury(self) -> tuple[int, str]:
        """The item it died at (-1: none) and how."""
        process, progress, log = self._process, self._progress, self._log
        assert process is not None and progress is not None and log is not None
        self._process = None
        process.kill() if process.poll() is None and not self._ends(process) else None
        code = process.wait()
        at = int(PROGRESS.unpack_from(progress, 0)[0])
        log.seek(0)
        said = log.read()[-2000:].decode(errors="replace").strip()
        self._release(process)
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return at, f"{name}. {said}" if said else name

    @staticmethod
    def _ends(process: subprocess.Popen[bytes]) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return True
        return False

    def _verdict(self, cause: str) -> tuple[str, str]:
        if cause.startswith("SIGALRM"):
            return "timeout", f"not decoded within {self._policy.timeout:g} s (MediaPolicy.timeout)"
        return "crashed", f"the decoder died: {cause}"

    def _release(self, process: subprocess.Popen[bytes]) -> None:
        for stream in (process.stdin, process.stdout, self._log, self._progress):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._release(process)


class Pool:
    """`size` workers with one policy. `run` may be called from one thread at a time."""

    def __init__(self, policy: MediaPolicy, size: int) -> None:
        self._workers = [_Worker(policy) for _ in range(size)]
        self._lock = threading.Lock()

    def run(self, modality: str, check: str, uris: Sequence[str]) -> tuple[bytes, list[Failure]]:
        """Packed records in the order of `uris`, and the failures by index."""
        size = max(1, min(256, -(-len(uris) // (4 * len(self._workers)))))
        jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
        for start in range(0, len(uris), size):
            jobs.put(start)
        answers: dict[int, tuple[bytes, list[Failure]]] = {}
        errors: list[BaseException] = []

        def serve(worker: _Worker) -> None:
            try:
                while not errors:
                    start = jobs.get_nowait()
                    answers[start] = worker.ask(modality, check, uris[start : start + size])
            except queue.Empty:
                pass
            except BaseException as error:  # handed to the caller below
                errors.append(error)

        with self._lock:
            busy = self._workers[: max(1, -(-len(uris) // size))]
            threads = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in busy]
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    thread.join()
            except BaseException:  # Ctrl-C: leave no worker behind in the middle of an answer
                self.close()
                raise
        if errors:
            self.close()
            raise errors[0]
        ordered = sorted(answers.items())
        failures = [(start + i, code, message) for start, (_, some) in ordered for i, code, message in some]
        return b"".join(records for _, (records, _) in ordered), failures

    def close(self) -> None:
        """End all processes; the next `run` starts new ones."""
        for worker in self._workers:
            worker.close()


_pools: dict[tuple[int, MediaPolicy, int], Pool] = {}


def shared_pool(policy: MediaPolicy, size: int) -> Pool:
    """The pool of this process for that policy. Workers start at need and end when idle for a minute."""
    key = (os.getpid(), policy, size)  # a forked child must not talk into its parent's pipes
    if key not in _pools:
        _pools[key] = Pool(policy, size)
    return _pools[key]


@atexit.register
def _close_all() -> None:
    for (pid, _, _), pool in _pools.items():
        if pid == os.getpid():
            pool.close()
