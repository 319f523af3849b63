"""`label-studio`: items to a Label Studio server, every answer back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any, ClassVar

from curate.annotators.label_studio.ledger import Ledger, exclusive
from curate.annotators.label_studio.server import Server
from curate.annotators.label_studio.serving import Media, check_way
from curate.annotators.label_studio.wire import Wire
from curate.annotators.tasks import PreAnnotations, PullReceipt, PushReceipt, Template
from curate.annotators.tasks.guesses import check_question, check_round, read_question
from curate.annotators.tasks.items import chosen_items
from curate.contracts import Scorer
from curate.errors import InputError, require

__all__ = ["LabelStudio"]

URL, TOKEN = "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"


@dataclass(frozen=True)
class LabelStudio:
    """Sends items to a Label Studio server as tasks and brings every answer back.

    `url` of the server and `token` (a legacy token or a personal access token) come from LABEL_STUDIO_URL and
    LABEL_STUDIO_API_KEY where they are not given; a token is kept in no recipe, no store and no message.
    `annotators`: how many people see each task; `blind`: pre-annotations are sent but not shown.
    `media`: how pictures and sounds get there: "url", "local" (files below `files`, the folder that the server was told to
    show files of, which it finds at `files_there` if that is elsewhere for it), "upload", "data", or "auto".
    `chunk`: tasks in one import; `patience`: seconds until an import that was cut off is taken for lost.
    """

    url: str = ""
    token: InitVar[str] = ""
    annotators: int = 1
    blind: bool = False
    media: Media = "auto"
    files: str = ""
    files_there: str = ""
    chunk: int = 2000
    patience: float = 30.0

    name: ClassVar[str] = "label-studio"

    def __post_init__(self, token: str) -> None:
        object.__setattr__(self, "_token", token)
        if self.annotators < 1 or self.chunk < 1 or self.patience < 0:
            raise InputError(
                f"annotators={self.annotators} and chunk={self.chunk} are 1 or more, patience={self.patience} is 0 or more "
                "seconds"
            )

    def push(
        self,
        store: Any,
        where: Any = None,
        *,
        template: str | Template,
        params: Mapping[str, Any] | None = None,
        within: Any = None,
        ids: Iterable[Any] | None = None,
        round: int = 1,
        guesses: PreAnnotations | Mapping[str, Any] | None = None,
        dry_run: bool = False,
        recreate: bool = False,
    ) -> PushReceipt:
        """Bring a task for each item meant onto the server that has none there in this round.

        `where` is an expression, a selection (or its name), or a list of ids; `ids` a list, or a frame with a column
        `item` or `id` such as `ask_again` gives. `guesses` are pre-annotations. Each round has a project of its own. Items
        that are there are left as they are, also after a kill at any moment. `dry_run` only says what would be created;
        `recreate` makes tasks and projects again that were deleted over there.
        Raises InputError where no item is meant or the round asks something else, BusyError where another push is under
        way, AnnotatorError where the server cannot be reached or refuses, saying what is there.
        """
        from curate.annotators.label_studio.pushing import Asked, push

        check_round(round)
        view = _meant(store, where, within, ids)
        asked, given = read_question(view, template, params, guesses)
        whole = Asked(
            view,
            asked,
            round=round,
            guesses=given,
            annotators=self.annotators,
            blind=self.blind,
            media=self.media,
            files=self.files,
            there=self.files_there,
            chunk=self.chunk,
            patience=self.patience,
            dry_run=dry_run,
            recreate=recreate,
        )
        with exclusive(Path(store.path), "push"), self._open(store) as (server, ledger):
            return push(server, ledger, store.id, whole)

    def pull(self, store: Any, *, template: Template | None = None, full: bool = False) -> PullReceipt:
        """Record every answer of all rounds that the store does not hold yet. Nothing is ever overwritten.

        Only tasks that changed since the last pull are read, all of them with `full`. `template` is needed only where tasks
        were made by one that is not registered. Raises InputError where nothing was pushed, BusyError where another
        pull is under way, AnnotatorError where the server cannot be reached; what was recorded stays, run it again.
        """
        from curate.annotators.label_studio.pulling import pull

        with exclusive(Path(store.path), "pull"), self._open(store) as (server, ledger):
            return pull(server, ledger, store, template, full=full)

    def status(self, store: Any) -> Any:
        """A row for each round: tasks, how many are answered, by whom, what became of the answers. Drawn in a notebook."""
        from curate.annotators.label_studio.status import status

        with self._open(store) as (server, ledger):
            return status(server, ledger, store)

    def follow(
        self,
        store: Any,
        *,
        seconds: float | None = None,
        every: float = 60.0,
        listen: str = "127.0.0.1:0",
        reach: str = "",
        told: Callable[[PullReceipt], None] = print,
    ) -> int:
        """Pull whenever the server hints that somebody answered, and every `every` seconds, for a hint may be lost.

        We listen at `listen` (host:port, 0 is any free port), which the server reaches as `reach` (default: the same).
        `told` is called with each receipt that brought something. Ends after `seconds`, or with Ctrl-C; how many pulls
        brought something. Where the server may send no webhooks there, it is asked every `every` seconds alone.
        """
        from curate.annotators.label_studio import hints as live
        from curate.annotators.label_studio.listening import Listener
        from curate.annotators.label_studio.places import Places

        until = None if seconds is None else time.monotonic() + seconds
        hints = live.Hints()
        host, _, port = listen.rpartition(":")
        path = f"/curate/{store.id}"
        with (
            exclusive(Path(store.path), "follow"),
            self._open(store) as (server, ledger),
            Listener({("POST", path): hints.take}, host or "127.0.0.1", int(port)) as listener,
        ):
            there = [p for p in Places(server, ledger, store.id).known() if not p.gone]
            with live.webhooks(server, there, hints, (reach or listener.url).rstrip("/") + path):
                return live.follow(lambda: self.pull(store), hints, every=every, until=until, told=told)

    @contextmanager
    def serve(
        self,
        store: Any,
        *,
        template: str | Template,
        guesses: PreAnnotations | Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        scorer: Scorer | None = None,
        round: int = 1,
        listen: str = "127.0.0.1:0",
        reach: str = "",
    ) -> Iterator[str]:
        """While the block runs, be the ML backend of a round: tasks that are opened without a pre-annotation get one of what
        `scorer` says of the item (without one: of the columns of the store). Gives the address.

        Raises InputError where the round was not pushed, AnnotatorError where the server may not reach us.
        """
        from curate.annotators.label_studio.backend import Backend
        from curate.annotators.label_studio.listening import Listener
        from curate.annotators.label_studio.places import Places

        asked, read = read_question(store.items, template, params, guesses)
        assert read is not None
        host, _, port = listen.rpartition(":")
        with (
            self._open(store) as (server, ledger),
            Listener(Backend(store, asked, read, scorer).routes, host or "127.0.0.1", int(port)) as listener,
        ):
            project = Places(server, ledger, store.id).find(round, asked)
            if project is None:
                raise InputError(f"round {round} was not pushed to {server.url} yet")
            url = (reach or listener.url).rstrip("/")
            for number, old in server.models(project.id).items():
                if old == url:
                    server.remove_model(number)
            number = server.add_model(project.id, url)
            server.change_project(project.id, {"evaluate_predictions_automatically": True})
            try:
                yield url
            finally:
                server.remove_model(number)

    def ready(self) -> None:
        """Raises InputError where address or token are missing or can be none, or media cannot be shown as asked; the server
        is not asked."""
        check_way(self.media, self.files)
        self.wire().close()

    def check(
        self,
        dataset: str,
        columns: Sequence[str] | None,
        *,
        template: str | Template,
        params: Mapping[str, Any] | None = None,
        round: int = 1,
        guesses: PreAnnotations | Mapping[str, Any] | None = None,
    ) -> None:
        """Raises what `push` will raise for items with these columns (None: nobody knows them yet), whatever they hold; the
        server is not asked."""
        check_round(round)
        check_question(columns, template, params, guesses)

    @property
    def _secret(self) -> str:
        token: str = self._token  # type: ignore[attr-defined]
        return token

    @contextmanager
    def _open(self, store: Any) -> Iterator[tuple[Server, Ledger]]:
        wire, ledger = self.wire(), Ledger(Path(store.path))
        try:
            yield Server(wire), ledger
        finally:
            wire.close()
            ledger.close()

    def sdk(self) -> Any:
        """Label Studio's own client for this server, for what is not ours to do: members, storages, views, exports.

        It sends again what writes where an answer got lost, which may do it twice: give it
        `request_options={"max_retries": 0}`. Raises InputError as `wire` does, MissingExtraError without the extra
        `label-studio`.
        """
        client: Any = require("label_studio_sdk", "label-studio")
        url, token = self._address()
        return client.LabelStudio(base_url=url, api_key=token)

    def wire(self) -> Wire:
        """A connection to the server. Raises InputError where address or token are missing."""
        return Wire(*self._address())

    def _address(self) -> tuple[str, str]:
        url, token = self.url or os.environ.get(URL, ""), self._secret or os.environ.get(TOKEN, "")
        if not url or not token:
            lacking = [(n, what) for n, v, what in ((URL, url, "address"), (TOKEN, token, "token")) if not v]
            raise InputError(
                f"no {' and no '.join(what for _, what in lacking)} of a Label Studio server: set "
                f"{' and '.join(name for name, _ in lacking)} in the environment (the token is in its account settings)"
            )
        return url, token


def _meant(store: Any, where: Any, within: Any, ids: Any) -> Any:
    if isinstance(where, str) and within is None and where in store.items.snapshot.selections:
        where, within = None, where
    elif where is not None and not isinstance(where, str):
        if hasattr(where, "stats") and hasattr(where, "name"):
            where, within = None, where
        elif ids is None:
            where, ids = None, where
    for name in ("item", "id"):
        columns = getattr(ids, "column_names", None) or getattr(ids, "columns", None)
        if columns is not None and name in list(columns):
            ids = ids[name]
    if hasattr(ids, "to_pylist"):
        ids = ids.to_pylist()
    return chosen_items(store, where=where, within=within, ids=ids)
