"""What publishing and cloning refuse, and that no error or file holds a secret."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from object_store import SECRET
from store_workload import read_all

from curate.errors import (
    CorruptionError,
    InputError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
)
from curate.store import PartStore, failpoints, manifest
from curate.store import remote as remotes
from curate.store.remote import FolderRemote, Remote, open_remote


@pytest.fixture
def store(played: Path, tmp_path: Path) -> PartStore:
    """A store of one's own."""
    return PartStore.open(shutil.copytree(played, tmp_path / "store"))


def cloned(url: str, path: Path) -> PartStore:
    store, _ = PartStore.clone(url, path)
    assert store.verify() == []
    return store


# --- Not what it should be -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["parts/items", "parts/vector", "blobs"])
def test_damage_on_the_way_is_noticed(store: PartStore, folder: str, tmp_path: Path, what: str) -> None:
    store.publish(folder)
    path = sorted(Path(folder, what).iterdir())[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        CorruptionError, match=f"{path.name} at .* is not what was published. Delete it there"
    ):
        PartStore.clone(folder, tmp_path / "clone")
    path.unlink()
    store.publish(folder)
    assert read_all(cloned(folder, tmp_path / "clone")) == read_all(store)


def test_damaged_and_missing_manifests_are_told(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    path = Path(folder, "manifests/0000000003.json")
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"version":3', b'"version":4'))
    with pytest.raises(CorruptionError, match=r"0000000003\.json is damaged"):
        PartStore.clone(folder, tmp_path / "clone")
    path.unlink()
    for act in (lambda: PartStore.clone(folder, tmp_path / "clone"), lambda: store.publish(folder)):
        with pytest.raises(CorruptionError, match=r"0000000003\.json is missing"):
            act()


@pytest.mark.parametrize(
    "path", ["../../evil.parquet", "/etc/evil", "parts/items/../../../x.parquet", "parts/column/{}.parquet"]
)
def test_published_names_cannot_leave_the_store(
    store: PartStore, folder: str, tmp_path: Path, path: str
) -> None:
    store.publish(folder)
    first = Path(folder, "manifests/0000000001.json")
    content = manifest.decode(first.read_bytes(), first)
    content["added"][0]["path"] = path.format("0" * 32)
    first.write_bytes(manifest.encode(content))
    with pytest.raises(CorruptionError, match="where no part lies"):
        PartStore.clone(folder, tmp_path / "clone")


def test_packs_have_plain_names_too(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    first = Path(folder, "manifests/0000000001.json")
    content = manifest.decode(first.read_bytes(), first)
    content["added"][0]["stats"]["packs"] = ["../../../evil"]
    first.write_bytes(manifest.encode(content))
    with pytest.raises(CorruptionError, match="no name of a pack"):
        PartStore.clone(folder, tmp_path / "clone")


def test_a_damaged_store_is_not_published(store: PartStore, folder: str) -> None:
    path = store.path / store.snapshot().items[0].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptionError, match="so version 7 was not published"):
        store.publish(folder)
    assert not Path(folder, "manifests").exists()


def test_a_place_that_cannot_create_is_refused(
    store: PartStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Plain(fsspec.implementations.memory.MemoryFileSystem):
        protocol = "plainmem"
        store: dict[str, Any] = {}
        pseudo_dirs = [""]
        pipe_file = fsspec.spec.AbstractFileSystem.pipe_file

    fsspec.register_implementation("plainmem", Plain, clobber=True)
    with pytest.raises(InputError, match="cannot create an object only where there is none"):
        store.publish("plainmem://x")


# --- Credentials and addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"s3://id:{SECRET}@bucket/x",
        f"s3://{SECRET}@bucket",
        f"az://c/x?sig={SECRET}",
        f"ftp://u:{SECRET}@h/x",
    ],
)
def test_addresses_with_credentials_are_refused_unseen(store: PartStore, url: str) -> None:
    with pytest.raises(InputError, match="carries credentials") as caught:
        store.publish(url)
    assert SECRET not in str(caught.value)


def test_a_wrong_bucket_is_named(store: PartStore, bucket: str, tmp_path: Path) -> None:
    for act in (store.publish, lambda url: PartStore.clone(url, tmp_path / "clone")):
        with pytest.raises(StoreNotFoundError, match="s3://no-such-bucket/x: there is no such bucket"):
            act("s3://no-such-bucket/x")


def test_missing_credentials_are_asked_for(
    store: PartStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv(
        "AWS_METADATA_ENDPOINT", "http://127.0.0.1:9"
    )  # where a cloud machine would ask for them
    with pytest.raises(StoreError, match=r"there are no credentials.*AWS_ACCESS_KEY_ID"):
        store.publish(bucket)


def test_a_service_that_is_not_there_is_named(
    store: PartStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"s3://.*Run it again: it goes on where it stopped") as caught:
        store.publish(bucket)
    assert "\n" not in str(caught.value) and caught.value.__cause__ is None


def test_credentials_are_kept_nowhere(
    store: PartStore,
    bucket: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = str(store.publish(bucket))
    clone = cloned(bucket, tmp_path / "clone")
    out, err = capfd.readouterr()
    texts = [said, repr(clone.history()), repr(clone.runs()), caplog.text, out, err]
    remote = open_remote(bucket)
    data = [remote.read(key) for key in remote.listed("")]
    data += [p.read_bytes() for root in (store.path, clone.path) for p in root.rglob("*") if p.is_file()]
    for canary in (SECRET, "canary-id-of-the-test"):
        assert not any(canary in text for text in texts) and not any(canary.encode() in each for each in data)


def test_errors_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    dirty = OSError(f"GET https://x/y?sig=abc&se=1 failed with {SECRET}\nDebug: {SECRET}")
    assert remotes.cleaned(dirty) == "GET https://x/y failed with ***"


def test_refused_access_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = r"access was refused \(not yours\).*credentials"
    with pytest.raises(StoreError, match=said), remotes.translated("s3://b"):
        raise PermissionError("not yours")


# --- Places ----------------------------------------------------------------------------------------------


def test_a_place_keeps_what_it_is_given(url: str, tmp_path: Path) -> None:
    place: Remote = open_remote(url)
    assert place.listed("a/") == {}
    with pytest.raises(FileNotFoundError):
        place.read("a/nothing")
    assert place.create("a/one", b"first") and not place.create("a/one", b"second")
    assert place.read("a/one") == b"first"
    place.put("a/one", b"third!")
    (tmp_path / "big").write_bytes(np.random.default_rng(0).bytes(6_000_000))
    place.upload("b/c/big", tmp_path / "big")
    assert b"".join(bytes(c) for c in place.chunks("b/c/big")) == (tmp_path / "big").read_bytes()
    assert place.listed("") == {"a/one": 6, "b/c/big": 6_000_000}
    assert place.listed("b/") == {"b/c/big": 6_000_000}


def test_a_folder_never_shows_half_a_file(tmp_path: Path) -> None:
    place = FolderRemote("x", tmp_path / "x")
    failpoints.arm("publish.write:1:short,publish.write:2:enospc")
    try:
        with pytest.raises(StoreError, match=r"cannot write .*a/one: No space left.*Run it again"):
            place.put("a/one", b"12345678")
    finally:
        failpoints.arm(None)
    assert place.listed("") == {} and list((tmp_path / "x/a").iterdir()) == []


def test_a_clone_wants_a_place_of_its_own(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match=r"holds thesis.txt: a store needs a new or empty folder"):
        PartStore.clone(folder, tmp_path / "mine")


def test_another_format_is_left_alone(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    for path in sorted(Path(folder, "manifests").glob("0*.json")):
        path.write_bytes(manifest.encode({**manifest.decode(path.read_bytes(), path), "format": 2}))
    with pytest.raises(StoreFormatError, match="format 2"):
        PartStore.clone(folder, tmp_path / "clone")
