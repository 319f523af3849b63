"""Looking at many media: facts in order, faults beside them, and decoders that hang, crash or eat memory."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from curate.errors import InputError, RunError
from curate.media import MediaPolicy, encode_png, pool, probe, remote
from curate.media.worker import IDLE_SECONDS

HOOKED = """
import os, time
import curate.media.worker as w
read = w.read_bytes
def hooked(uri, policy):
    uri_name = os.path.basename(uri)
    if "crash" in uri_name: os.kill(os.getpid(), 11)
    if "hang" in uri_name: time.sleep(60)
    if "eat" in uri_name: bytearray(1 << 40)
    return read(uri, policy)
w.read_bytes = hooked
w.main()
"""


def picture(path: Path, width: int = 4, height: int = 2) -> str:
    Image.new("RGB", (width, height), (255, 0, 0)).save(path, "PNG")
    return str(path)


def test_facts_are_aligned_and_equal_to_what_hashlib_and_pillow_say(tmp_path: Path) -> None:
    uris = [picture(tmp_path / f"{i}.png", 3 + i, 7) for i in range(5)]
    (tmp_path / "empty.png").write_bytes(b"")
    given = pa.array(
        [uris[3], None, str(tmp_path / "none.png"), uris[0], uris[3], str(tmp_path / "empty.png")]
    )
    table = probe(given, "image")
    assert table.schema == pa.schema(
        [
            ("sha256", pa.binary(32)), ("bytes", pa.int64()), ("width", pa.int32()), ("height", pa.int32()),
            ("code", pa.string()), ("error", pa.string()),
        ]
    )  # fmt: skip
    assert table["code"].to_pylist() == [None, None, "missing", None, None, "empty"]
    assert table["width"].to_pylist() == [6, None, None, 3, 6, None]
    assert table["height"].to_pylist() == [7, None, None, 7, 7, None]
    data = Path(uris[3]).read_bytes()
    empty = hashlib.sha256(b"").digest()
    sha = hashlib.sha256(data).digest()
    other = hashlib.sha256(Path(uris[0]).read_bytes()).digest()
    assert table["sha256"].to_pylist() == [sha, None, None, other, sha, empty]
    assert table["bytes"].to_pylist()[0] == len(data)
    assert table["error"].to_pylist()[5] == "the file has zero bytes"


@pytest.mark.parametrize("workers", [0, 1, 2, None])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, workers: int | None) -> None:
    uris = pa.array([picture(tmp_path / f"{i}.png", i + 1) for i in range(40)])
    table = probe(uris, "image", workers=workers)
    assert table["width"].to_pylist() == list(range(1, 41))
    assert table["code"].null_count == 40


def test_how_deep_to_look(tmp_path: Path) -> None:
    """The pixels of this file are cut off; its header and its bytes are fine."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = encode_png(noise)[:6000]
    (tmp_path / "x.png").write_bytes(data)
    uris = pa.array([str(tmp_path / "x.png")])
    decoded, opened, read = (
        probe(uris, "image", check, workers=0).to_pylist()[0] for check in ("decode", "header", "none")
    )
    sha = hashlib.sha256(data).digest()
    assert (decoded["code"], decoded["width"], decoded["sha256"]) == ("truncated", None, sha)
    assert (opened["code"], opened["width"], opened["sha256"]) == (None, 64, sha)
    assert (read["code"], read["width"], read["sha256"], read["bytes"]) == (None, None, sha, 6000)


def test_sounds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros((4000, 2)), 8000)
    row = probe(pa.array([str(tmp_path / "x.wav")]), "audio").to_pylist()[0]
    assert (row["seconds"], row["rate"], row["channels"], row["code"]) == (0.5, 8000, 2, None)


def test_nothing_to_look_at() -> None:
    assert probe(pa.array([], pa.string()), "image").num_rows == 0
    nulls = probe(pa.array([None, None], pa.string()), "audio")
    assert nulls["code"].null_count == nulls["sha256"].null_count == 2
    with pytest.raises(InputError, match="video"):
        probe(pa.array(["x"]), "video")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="deep"):
        probe(pa.array(["x"]), "image", "deep")  # type: ignore[arg-type]


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers whose reading can be made to crash, hang, or eat memory by the name of the file."""
    monkeypatch.setattr(pool, "_START", HOOKED)


@pytest.mark.usefixtures("hooked")
def test_a_decoder_that_hangs_or_dies_costs_one_item(tmp_path: Path) -> None:
    names = [f"{i:02d}.png" for i in range(60)]
    for at, name in {5: "hang.png", 6: "crash.png", 20: "eat.png", 59: "crash2.png", 40: "hang2.png"}.items():
        names[at] = name
    uris = pa.array([picture(tmp_path / name) for name in names])
    policy = MediaPolicy(timeout=0.4)
    started = time.monotonic()
    for workers in (1, 2):
        table = probe(uris, "image", policy=policy, workers=workers)
        expected: list[str | None] = [None] * 60
        expected[5] = expected[40] = "timeout"
        expected[6] = expected[59] = "crashed"
        expected[20] = "too-large"
        assert table["code"].to_pylist() == expected
        assert table["width"].null_count == 5
        assert "SIGSEGV" in table["error"][6].as_py()
    assert time.monotonic() - started < 20


def test_a_real_decoder_is_stopped_in_the_middle(tmp_path: Path) -> None:
    """Decoding 49 megapixels takes a fifth of a second; the file is small."""
    Image.new("RGB", (7000, 7000), "white").save(tmp_path / "large.png", compress_level=9)
    uris = pa.array([picture(tmp_path / "a.png"), str(tmp_path / "large.png"), picture(tmp_path / "b.png")])
    table = probe(uris, "image", policy=MediaPolicy(timeout=0.02), workers=1)
    assert table["code"].to_pylist() == [None, "timeout", None]
    assert probe(uris, "image", workers=1)["code"].null_count == 3


def test_a_worker_that_was_idle_and_ended_is_replaced(tmp_path: Path) -> None:
    uris = pa.array([picture(tmp_path / "a.png")])
    policy = MediaPolicy(max_seconds=17)  # a pool of our own
    assert probe(uris, "image", policy=policy, workers=1)["width"].to_pylist() == [4]
    process = pool.shared_pool(policy, 1)._workers[0]._process
    assert process is not None
    os.kill(process.pid, signal.SIGTERM)
    process.wait()
    assert probe(uris, "image", policy=policy, workers=1)["width"].to_pylist() == [4]
    assert IDLE_SECONDS >= 10  # shorter, and every batch would pay for a start


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, pyarrow as pa\n"
        "from curate.media import probe, pool, DEFAULT\n"
        "probe(pa.array([sys.argv[1]]), 'image', workers=1)\n"
        "print(pool.shared_pool(DEFAULT, 1)._workers[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, picture(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    worker = int(done.stdout)
    for _ in range(100):
        if not _runs(worker):
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its parent")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_worker_that_cannot_start_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_START", "raise SystemExit('no such module: curate')")
    with pytest.raises(RunError, match="no such module"):
        probe(pa.array([picture(tmp_path / "a.png")]), "image", policy=MediaPolicy(max_seconds=18), workers=1)


def test_remote_media_are_fetched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that are not named are refused row by row, and what is local goes on."""
    local = picture(tmp_path / "a.png")
    uris = pa.array(["https://example.org/x.jpg", local, "http://127.0.0.1/x.jpg", "s3://bucket/x.jpg"])
    table = probe(uris, "image", policy=MediaPolicy(hosts=frozenset({"127.0.0.1"})))
    assert table["code"].to_pylist() == [
        "remote-not-allowed",
        None,
        "remote-not-allowed",
        "remote-not-allowed",
    ]
    assert "example.org" in table["error"][0].as_py()
    data = Path(local).read_bytes()
    monkeypatch.setattr(remote, "fetch", lambda url, policy, **window: data)
    table = probe(uris.slice(0, 2), "image")
    assert table["width"].to_pylist() == [4, 4]
    assert table["sha256"][0] == table["sha256"][1]


def test_no_connection_is_made_for_hosts_that_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert probe(pa.array(["https://example.org/x.jpg"]), "image")["code"].to_pylist() == [
        "remote-not-allowed"
    ]


def test_real_images_agree_with_pillow(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "flickr8k_1k" / "images.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        archive.extractall(tmp_path, names)
    table = probe(pa.array([str(tmp_path / name) for name in names]), "image")
    assert table.num_rows == 700
    assert table["code"].null_count == 700
    for row in range(0, 700, 100):
        with Image.open(tmp_path / names[row]) as image:
            assert (table["width"][row].as_py(), table["height"][row].as_py()) == image.size
