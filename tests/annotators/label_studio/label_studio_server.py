"""A real Label Studio that a test owns: started in seconds from a database that was migrated once, and stopped for good.

The server lives in a virtual environment of its own (`make label-studio`); LABEL_STUDIO_BIN names another. The first
start of a version takes a minute or two (its migrations); what that leaves is kept in that environment and copied.
"""

from __future__ import annotations

import fcntl
import http.cookiejar
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
ADMIN = "admin@example.com"
PASSWORD = "adminpass123"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
PEOPLE = ("ada@example.com", "ben@example.com", "cleo@example.com")
READY_SECONDS = 300
STOP_SECONDS = 30


class ServerUnavailable(Exception):
    """There is no server to test against; the message says how to get one."""


@dataclass
class LabelStudioServer:
    """One server process with a data folder of its own. `people` are annotators (e-mail to legacy token)."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    people: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return TOKEN

    @property
    def files(self) -> Path:
        """The folder from which the server serves local files."""
        return self.folder / "files"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> LabelStudioServer:
        """Start from the template, or again from what an earlier start left."""
        if not (self.folder / "data").exists():
            template = make_template()
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(template / "data", self.folder / "data")
            self.people = json.loads((template / "people.json").read_text())
        self._launch()
        return self

    def _launch(self) -> None:
        self.port = self.port or free_port()
        for name in ("home", "files"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        command = [str(binary()), "start", "--no-browser", "--internal-host", "127.0.0.1"]
        command += ["--port", str(self.port), "--log-level", "WARNING"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment(self.folder, self.url),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        assert self.process is not None
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"label-studio ended with {self.process.returncode}:\n{self.log()}")
            if "Trying to start at" in self.log():
                self.kill()
                raise RuntimeError(f"port {self.port} was taken:\n{self.log()}")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
                    if answer.status == 200:
                        return
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
        self.kill()
        raise RuntimeError(f"label-studio was not ready within {READY_SECONDS} s:\n{self.log()}")

    def log(self) -> str:
        """The end of what the server wrote."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End it as a person would; if it does not listen, for good."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to its process group, as when the machine loses power."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def call(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> Any:
        """One request as a person's script would make it, independent of the code under test."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            data = answer.read()
        return json.loads(data) if data else None


def binary() -> Path:
    """The server's command. Raises ServerUnavailable."""
    given = os.environ.get("LABEL_STUDIO_BIN")
    path = Path(given) if given else ROOT / ".venv-label-studio" / "bin" / "label-studio"
    if not path.is_file():
        raise ServerUnavailable(
            f"no Label Studio at {path}: `make label-studio` installs it in an environment of its own, or "
            "LABEL_STUDIO_BIN names the command of one"
        )
    return path


def version() -> str:
    """The installed version, without starting it."""
    found = sorted(binary().parents[1].glob("lib/python*/site-packages/label_studio-*.dist-info"))
    return found[-1].name.removeprefix("label_studio-").removesuffix(".dist-info") if found else "unknown"


def make_template() -> Path:
    """A folder with a migrated database, the administrator and three annotators; made once per version."""
    home = Path(os.environ.get("LABEL_STUDIO_CACHE", binary().parents[1] / "curate-templates"))
    home.mkdir(parents=True, exist_ok=True)
    template = home / version()
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes one makes it
        if not (template / "people.json").exists():
            unfinished = home / f"unfinished-{os.getpid()}"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.rmtree(template, ignore_errors=True)
            server = LabelStudioServer(unfinished)
            (unfinished / "data").mkdir(parents=True)
            server._launch()
            try:
                people = {email: sign_up(server.url, email) for email in PEOPLE}
            finally:
                server.stop()
            template.mkdir()
            shutil.move(unfinished / "data", template / "data")
            (template / "people.json").write_text(json.dumps(people))
            shutil.rmtree(unfinished, ignore_errors=True)
    return template


def sign_up(url: str, email: str) -> str:
    """Make a user by the form that people use (one made by the API belongs to no organization); their legacy token."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(f"{url}/user/signup/", timeout=120).read()
    crumb = next(c.value for c in jar if c.name == "csrftoken")
    fields = {
        "email": email,
        "password": PASSWORD,
        "csrfmiddlewaretoken": crumb,
        "allow_newsletters": "false",
    }
    opener.open(f"{url}/user/signup/", urllib.parse.urlencode(fields).encode(), timeout=120).read()
    with opener.open(f"{url}/api/current-user/token", timeout=120) as answer:
        return str(json.load(answer)["token"])


def environment(folder: Path, url: str) -> dict[str, str]:
    """Nothing of ours leaks in: the server reads names as common as HOST, DEBUG and USERNAME."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {
        "HOME": str(folder / "home"),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "DJANGO_DB": "sqlite",
        "LABEL_STUDIO_USERNAME": ADMIN,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_HOST": url,
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(folder / "files"),
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
        "USE_DEFAULT_BANNED_SUBNETS": "false",  # webhooks and ML backends of the tests are on this machine
        "ML_BLOCK_LOCAL_IP": "false",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":  # `make label-studio` makes the template while nothing else runs
    print(make_template())
