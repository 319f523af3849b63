"""Look at many media at once: hash, size, dimensions, and what is wrong with each."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError, MediaError
from curate.media.access import read_bytes
from curate.media.address import is_remote
from curate.media.policy import DEFAULT, MediaPolicy
from curate.media.worker import Failure, examine

__all__ = ["AUDIO_FACTS", "IMAGE_FACTS", "probe"]

IMAGE_FACTS = (pa.field("width", pa.int32()), pa.field("height", pa.int32()))
AUDIO_FACTS = (
    pa.field("seconds", pa.float32()),
    pa.field("rate", pa.int32()),
    pa.field("channels", pa.int8()),
)
_RECORD = np.dtype(
    [("flags", "u1"), ("sha", "S32"), ("bytes", "<i8"), ("a", "<i4"), ("b", "<i4"), ("c", "<f4")]
)
_SPOOL = 256
_FETCHERS = 16


class _How(NamedTuple):
    """The arguments of `probe`, as they are handed down."""

    modality: str
    check: str
    policy: MediaPolicy
    workers: int | None


def probe(
    uris: pa.Array | pa.ChunkedArray,
    modality: Literal["image", "audio"],
    check: Literal["decode", "header", "none"] = "decode",
    *,
    policy: MediaPolicy = DEFAULT,
    workers: int | None = None,
) -> pa.Table:
    """One row per address, in order: `sha256` binary(32), `bytes` int64, then `width`, `height` int32, or `seconds`
    float32, `rate` int32, `channels` int8; `code` (null = fine) and `error`, its sentence. A null address gives nulls.

    `check`: "decode" decodes everything, "header" only opens, "none" only reads and hashes.
    Each file is read once; the same address is looked at once. Decoding happens in `workers` processes (None: as many
    as there are cores, at most eight; 0: in this process, where a decoder that hangs or crashes is not survived).
    Never raises for what is in a file: that is what `code` is for.
    """
    if modality not in ("image", "audio") or check not in ("decode", "header", "none"):
        raise InputError(
            f"probe({modality!r}, {check!r}): expected image or audio, and decode, header or none"
        )
    coded = pc.dictionary_encode(uris if not isinstance(uris, pa.ChunkedArray) else uris.combine_chunks())
    names: list[str] = coded.dictionary.to_pylist()
    records, failures = _examine_all(names, _How(modality, check, policy, workers))
    code: list[str | None] = [None] * len(names)
    text: list[str | None] = [None] * len(names)
    for index, reason, message in failures:
        code[index], text[index] = reason, message
    facts = _to_table(np.frombuffer(records, _RECORD), modality)
    facts = facts.append_column("code", pa.array(code, pa.string()))
    facts = facts.append_column("error", pa.array(text, pa.string()))
    if len(names) == len(coded) and not coded.indices.null_count:
        return facts  # every address occurs once: already in order
    return facts.take(coded.indices)


def _to_table(records: npt.NDArray[np.void], modality: str) -> pa.Table:
    read, known = (records["flags"] & 1) == 0, (records["flags"] & 2) == 0  # masks: true = null
    raw = pa.py_buffer(records["sha"].tobytes())
    valid = pa.array(~read).buffers()[1]
    sha = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(records), [valid, raw])
    columns = {"sha256": sha, "bytes": pa.array(records["bytes"], mask=read)}
    if modality == "image":
        columns["width"] = pa.array(records["a"], pa.int32(), mask=known)
        columns["height"] = pa.array(records["b"], pa.int32(), mask=known)
    else:
        columns["seconds"] = pa.array(records["c"], pa.float32(), mask=known)
        columns["rate"] = pa.array(records["a"], pa.int32(), mask=known)
        columns["channels"] = pa.array(records["b"].astype(np.int8), pa.int8(), mask=known)
    return pa.table(columns)


def _examine_all(uris: list[str], how: _How) -> tuple[bytes, list[Failure]]:
    if not any(map(is_remote, uris)):
        return _examine(uris, how)
    records: list[bytes] = []
    failures: list[Failure] = []
    for start in range(0, len(uris), _SPOOL):  # what is spooled lies on disk: bound it
        some, bad = _examine_fetched(uris[start : start + _SPOOL], how)
        records.append(some)
        failures += [(start + index, code, message) for index, code, message in bad]
    return b"".join(records), failures


def _examine_fetched(uris: list[str], how: _How) -> tuple[bytes, list[Failure]]:
    """Fetch what is remote by many threads (they wait), then decode the copies by few processes (they compute)."""
    with tempfile.TemporaryDirectory(prefix="curate-fetch-") as folder:

        def copy(task: tuple[int, str]) -> str | MediaError:
            index, uri = task
            if not is_remote(uri):
                return uri
            try:
                data = read_bytes(uri, how.policy)
            except MediaError as error:
                return error
            place = Path(folder, str(index))
            place.write_bytes(data)
            return str(place)

        with ThreadPoolExecutor(_FETCHERS) as threads:
            local = list(threads.map(copy, enumerate(uris)))
        # A failed fetch leaves no copy; its own error then takes the place of "no such file".
        paths = [str(Path(folder, "absent")) if isinstance(p, MediaError) else p for p in local]
        records, failures = _examine(paths, how)
    errors = {i: p for i, p in enumerate(local) if isinstance(p, MediaError)}
    kept = [failure for failure in failures if failure[0] not in errors]
    return records, kept + [(i, error.code, str(error)) for i, error in errors.items()]


def _examine(uris: list[str], how: _How) -> tuple[bytes, list[Failure]]:
    if how.workers == 0:
        return examine(uris, how.modality, how.check, how.policy, enter=lambda index: None)
    if not uris:
        return b"", []
    from curate.media.pool import shared_pool

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return shared_pool(how.policy, how.workers or min(cores, 8)).run(how.modality, how.check, uris)
