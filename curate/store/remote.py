"""Places where a store is published: a local folder, an object store, or whatever fsspec opens.

All that publishing asks of them is that an object appears whole or not at all, and that one can be created only where
there is none (`create`): S3, Google Cloud and Azure do that by If-None-Match (through obstore), a folder by a hard
link. Credentials come from the environment, as the clients of each service read them, and are kept nowhere.
"""

from __future__ import annotations

import inspect
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from curate.errors import InputError, StoreError, StoreNotFoundError, require
from curate.store import filesystem

OBJECT_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|KEY|SAS|CREDENTIAL")
_NO_CREDENTIALS = ("latest/api/token", "169.254.169.254", "metadata.google.internal", "latest/meta-data")


class Remote(Protocol):
    """Objects by key ("parts/items/ab.parquet"), under one address."""

    url: str

    def listed(self, prefix: str) -> dict[str, int]:
        """Key -> bytes of every object whose key begins so."""

    def read(self, key: str) -> bytes:
        """A small object. Raises FileNotFoundError."""

    def chunks(self, key: str) -> Iterator[Any]:
        """A large object piece by piece. Raises FileNotFoundError."""

    def put(self, key: str, data: bytes) -> None:
        """Write a small object, in place of what is there."""

    def upload(self, key: str, path: Path) -> None:
        """Write a file, in place of what is there."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object if there is none; whether there was none."""


def open_remote(url: str) -> Remote:
    """The place at `url`: a path, file://, s3://, gs://, az://, or any fsspec address. Reads nothing yet.

    Raises InputError for an address with credentials in it, MissingExtraError without obstore.
    """
    scheme, there, rest = url.partition("://")
    if not there:
        return FolderRemote(url, Path(url).expanduser().absolute())
    if scheme == "file":
        return FolderRemote(url, Path(rest))
    _refuse_credentials(url)
    if scheme in OBJECT_SCHEMES:
        return ObjectRemote(url)
    return FsspecRemote(url)


def _refuse_credentials(url: str) -> None:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    if ":" in user or parts.query or (user and parts.scheme in ("s3", "s3a", "gs")):
        raise InputError(
            f"the address {parts.scheme}://...{parts.path} carries credentials: they would end up in logs. Put them into "
            "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, "
            "AZURE_STORAGE_ACCOUNT_KEY)"
        )


def cleaned(error: BaseException) -> str:
    """The first line of an error, without query strings, and without any secret of the environment."""
    text = re.sub(r"\?[^\s'\")]+", "", str(error).strip().split("\n", 1)[0])
    secrets = {v for k, v in os.environ.items() if _SECRET.search(k.upper()) and len(v) >= 6}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what clients raise into our errors. FileNotFoundError and FileExistsError pass."""
    try:
        yield
    except (StoreError, FileExistsError):
        raise
    except Exception as error:
        name, text = type(error).__name__, str(error)
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            raise StoreNotFoundError(
                f"{url}: there is no such bucket. Make it, or mend the address"
            ) from None
        if isinstance(error, FileNotFoundError):
            raise
        if any(sign in text for sign in _NO_CREDENTIALS):
            raise StoreError(
                f"{url}: there are no credentials. Put them into the environment, for S3 as AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_REGION (AWS_ENDPOINT_URL for another service); they are kept nowhere"
            ) from None
        if name in ("PermissionDeniedError", "UnauthenticatedError") or isinstance(error, PermissionError):
            raise StoreError(
                f"{url}: access was refused ({cleaned(error)}). Check the credentials in the environment, and what they may do"
            ) from None
        raise StoreError(f"{url}: {cleaned(error)}. Run it again: it goes on where it stopped") from None


class ObjectRemote:
    """S3 and what speaks like it, Google Cloud Storage, Azure: through obstore."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._obs: Any = require("obstore", "remote")
        stores: Any = require("obstore.store", "remote")
        client: dict[str, Any] = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=300)}
        if any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS):
            client["allow_http"] = True  # a service on this machine or network, as its owner has written it
        retry = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
        with translated(url):
            self._store = stores.from_url(url, client_options=client, retry_config=retry)

    def listed(self, prefix: str) -> dict[str, int]:
        """See `Remote`."""
        with translated(self.url):
            return {o["path"]: int(o["size"]) for page in self._obs.list(self._store, prefix) for o in page}

    def read(self, key: str) -> bytes:
        """See `Remote`."""
        with translated(self.url):
            return bytes(self._obs.get(self._store, key).bytes())

    def chunks(self, key: str) -> Iterator[Any]:
        """See `Remote`."""
        with translated(self.url):
            yield from self._obs.get(self._store, key).stream()

    def put(self, key: str, data: bytes) -> None:
        """See `Remote`."""
        with translated(self.url):
            self._obs.put(self._store, key, data, use_multipart=False)

    def upload(self, key: str, path: Path) -> None:
        """See `Remote`."""
        with translated(self.url), path.open("rb") as file:
            self._obs.put(self._store, key, file)

    def create(self, key: str, data: bytes) -> bool:
        """See `Remote`."""
        with translated(self.url):
            try:
                self._obs.put(self._store, key, data, mode="create", use_multipart=False)
            except self._obs.exceptions.AlreadyExistsError:
                return False
        return True


class FolderRemote:
    """A folder on this machine, or one that is mounted here. Everything is synced before it is named."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self._root = url, root

    def listed(self, prefix: str) -> dict[str, int]:
        """See `Remote`."""
        found = {}
        for place, _, names in os.walk(self._root / prefix):
            for name in names:
                path = Path(place, name)
                if not name.startswith("."):
                    found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found

    def read(self, key: str) -> bytes:
        """See `Remote`."""
        return (self._root / key).read_bytes()

    def chunks(self, key: str) -> Iterator[Any]:
        """See `Remote`."""
        with (self._root / key).open("rb") as file:
            while data := file.read(1 << 20):
                yield data

    def put(self, key: str, data: bytes) -> None:
        """See `Remote`."""
        self._write(key, [data], replace=True)

    def upload(self, key: str, path: Path) -> None:
        """See `Remote`."""
        with path.open("rb") as file:
            self._write(key, iter(lambda: file.read(1 << 20), b""), replace=True)

    def create(self, key: str, data: bytes) -> bool:
        """See `Remote`."""
        return self._write(key, [data], replace=False)

    def _write(self, key: str, chunks: Any, *, replace: bool) -> bool:
        target = self._root / key
        scratch = target.with_name(f".{uuid.uuid4().hex}")
        try:
            filesystem.make_folder(target.parent)
            fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                for chunk in chunks:
                    filesystem.write_all(fd, chunk, "publish")
                filesystem.sync_file(fd, "publish")
            finally:
                os.close(fd)
            if replace:
                scratch.replace(target)
            else:
                try:
                    os.link(scratch, target)
                except FileExistsError:
                    return False
            filesystem.sync_folder(target.parent)
        except OSError as error:
            raise StoreError(
                f"cannot write {target}: {error.strerror or error}. Run it again: it goes on"
            ) from error
        finally:
            scratch.unlink(missing_ok=True)
        return True


class FsspecRemote:
    """Any other address that fsspec opens. Publishing needs one whose `pipe_file` can create without replacing."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url
        with translated(url):
            self._fs, self._root = url_to_fs(url)

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"

    def listed(self, prefix: str) -> dict[str, int]:
        """See `Remote`."""
        with translated(self.url):
            self._fs.invalidate_cache()
            found = self._fs.find(self._path(prefix), detail=True)
        start = len(self._path(""))
        return {name[start:]: int(info["size"]) for name, info in found.items()}

    def read(self, key: str) -> bytes:
        """See `Remote`."""
        with translated(self.url):
            return bytes(self._fs.cat_file(self._path(key)))

    def chunks(self, key: str) -> Iterator[Any]:
        """See `Remote`."""
        with translated(self.url), self._fs.open(self._path(key), "rb") as file:
            while data := file.read(1 << 22):
                yield data

    def put(self, key: str, data: bytes) -> None:
        """See `Remote`."""
        with translated(self.url):
            self._make_parent(key)
            self._fs.pipe_file(self._path(key), data)

    def upload(self, key: str, path: Path) -> None:
        """See `Remote`."""
        with translated(self.url):
            self._make_parent(key)
            self._fs.put_file(str(path), self._path(key))

    def create(self, key: str, data: bytes) -> bool:
        """See `Remote`. Raises InputError where the file system cannot do it."""
        if not _creates(self._fs):
            raise InputError(
                f"{self.url}: this file system cannot create an object only where there is none, so two publishers could "
                "replace each other's versions. Publish to a folder, s3://, gs:// or az://"
            )
        with translated(self.url):
            self._make_parent(key)
            try:
                self._fs.pipe_file(self._path(key), data, mode="create")
            except FileExistsError:
                return False
        return True

    def _make_parent(self, key: str) -> None:
        self._fs.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)


def _creates(fs: Any) -> bool:
    """Whether `pipe_file(mode="create")` is the file system's own: fsspec's default looks first and writes then."""
    from fsspec.spec import AbstractFileSystem

    if type(fs).pipe_file is not AbstractFileSystem.pipe_file and not hasattr(fs, "_pipe_file"):
        return "mode" in inspect.signature(fs.pipe_file).parameters
    own = getattr(fs, "_pipe_file", None)
    return own is not None and "mode" in inspect.signature(own).parameters
