"""The process that decodes what might be hostile: `python -c "... worker.main()"`, fed over a pipe.

It limits its own memory, and lets the kernel kill it when one item takes longer than the policy allows: no handler in
Python could interrupt a decoder that hangs. A shared eight-byte file says which item it was at.

Request:  uint32 length, JSON [modality, check, [uri, ...]]
Answer:   uint32 length, one `RECORD` per uri; uint32 length, JSON [[index, code, message], ...]
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import resource
import select
import signal
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import BinaryIO

from curate.errors import MediaError
from curate.media.access import read_bytes
from curate.media.policy import MediaPolicy

__all__ = ["IDLE_SECONDS", "RECORD", "examine", "main"]

RECORD = struct.Struct("<B32sqiif")
"""1 = bytes and hash known, 2 = facts known; sha256; bytes; width, height, 0 or rate, channels, seconds."""
PROGRESS = struct.Struct("<q")
IDLE_SECONDS = 60.0

Facts = Callable[[bytes], tuple[int, int, float]]
Failure = tuple[int, str, str]


def examine(
    uris: Sequence[str], modality: str, check: str, policy: MediaPolicy, *, enter: Callable[[int], None]
) -> tuple[bytes, list[Failure]]:
    """Read, hash and decode each item once. `enter(i)` is called before item i.

    Returns the packed `RECORD`s and the failures.
    """
    facts = _facts(modality, check, policy)
    records: list[bytes] = []
    failures: list[Failure] = []
    for index, uri in enumerate(uris):
        enter(index)
        flags, sha, size, values = 0, b"", 0, (0, 0, 0.0)
        try:
            data = read_bytes(uri, policy)
            flags, sha, size = 1, hashlib.sha256(data).digest(), len(data)
            if facts is not None:
                values = facts(data)
                flags = 3
        except MediaError as error:
            failures.append((index, error.code, str(error)))
        except MemoryError:
            failures.append((index, "too-large", "not enough memory to decode it"))
        records.append(RECORD.pack(flags, sha, size, *values))
    return b"".join(records), failures


def _facts(modality: str, check: str, policy: MediaPolicy) -> Facts | None:
    load = check == "decode"
    if check == "none":
        return None
    if modality == "image":
        from curate.media.image import check_image

        def of_image(data: bytes) -> tuple[int, int, float]:
            info = check_image(data, policy, load=load)
            return info.width, info.height, 0.0

        return of_image
    from curate.media.audio import check_audio

    def of_audio(data: bytes) -> tuple[int, int, float]:
        sound = check_audio(data, policy, load=load)
        return sound.rate, sound.channels, sound.seconds

    return of_audio


def main() -> None:
    """Serve requests from standard input until it closes, or nothing came for a minute."""
    policy = MediaPolicy.from_dict(json.loads(sys.argv[1]))
    progress = mmap.mmap(int(sys.argv[2]), PROGRESS.size)
    _confine(policy)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer

    def enter(index: int) -> None:
        PROGRESS.pack_into(progress, 0, index)
        signal.setitimer(signal.ITIMER_REAL, policy.timeout)

    while True:
        if not select.select([requests], [], [], IDLE_SECONDS)[0]:
            return
        request = _receive(requests)
        if request is None:
            return
        modality, check, uris = json.loads(request)
        records, failures = examine(uris, modality, check, policy, enter=enter)
        signal.setitimer(signal.ITIMER_REAL, 0)
        PROGRESS.pack_into(progress, 0, -1)
        for answer in (records, json.dumps(failures).encode()):
            answers.write(struct.pack("<I", len(answer)) + answer)
        answers.flush()


def _receive(stream: BinaryIO) -> bytes | None:
    head = stream.read(4)
    return stream.read(struct.unpack("<I", head)[0]) if len(head) == 4 else None


def _confine(policy: MediaPolicy) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    limit = 4 * policy.max_bytes + 24 * policy.max_pixels + (2 << 30)
    with contextlib.suppress(OSError, ValueError):  # a lower hard limit stands already
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from PIL import Image

    Image.preinit()  # else the first image pays for it, out of its own time
    Image.MAX_IMAGE_PIXELS = policy.max_pixels
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
