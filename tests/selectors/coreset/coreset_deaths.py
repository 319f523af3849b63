"""Work that takes its worker with it once, and a crew that forgets: a module of its own, for workers of a cluster to find."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.pieces import Piece, put
from curate.selectors.coreset import neighbours, rounds

_in_clusters, _of_piece = neighbours._in_clusters, rounds._of_piece


def die_in_clusters(*args: Any) -> Any:
    """Looks for neighbours, at the second try."""
    _die_once("clusters")
    return _in_clusters(*args)


class Rivals(rounds.Rivals):
    """Dies in the fifth round."""

    asked = 0

    def best(self, *args: Any) -> Any:
        self.asked += 1
        if self.asked == 5 and self.span[0] == 40:
            _die_once("rounds")
        return super().best(*args)


def deadly_piece(*args: Any) -> Any:
    """The rivals of a piece, of which some die."""
    made = _of_piece(*args)
    return Rivals(made.z, made.rows, made.span, made.cost)


def _die_once(name: str) -> None:
    mark = Path(os.environ["CURATE_TEST_MARK"]) / name
    if not mark.exists():
        mark.touch()
        os._exit(1)


class Afar:
    """A crew to which everything is sent, and from which all comes back, as bytes. Before every third question to what it holds
    it has forgotten one state, as if its worker had died."""

    def each(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        there = _sent(function)
        return (_sent(there(_sent(task))) for task in tasks)

    @contextmanager
    def hold(self, make: Callable[..., Any], pieces: Sequence[Piece]) -> Iterator[Forgetful]:
        yield Forgetful(make, pieces)


class Forgetful:
    """`contracts.Held`."""

    def __init__(self, make: Callable[..., Any], pieces: Sequence[Piece]) -> None:
        self.make, self.pieces, self.asked = _sent(make), pieces, 0
        self.told: list[tuple[str, Any]] = []
        self.states = [self._made(piece) for piece in pieces]

    @property
    def firsts(self) -> Sequence[int]:
        return [piece.first for piece in self.pieces]

    def ask(self, method: str, *args: Any) -> list[Any]:
        return list(self.ask_some(method, dict.fromkeys(range(len(self.pieces)), args)).values())

    def ask_some(self, method: str, given: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        self.asked += 1
        if self.asked % 3 == 0:
            place = self.asked % len(self.pieces)
            self.states[place] = self._made(self.pieces[place])
        return {n: _sent(getattr(self.states[n], method)(*_sent(args))) for n, args in given.items()}

    def tell(self, method: str, *args: Any) -> list[Any]:
        answers = self.ask(method, *args)
        self.told.append((method, args))
        return answers

    def _made(self, piece: Piece) -> Any:
        state = put(self.make, _sent(piece))
        for method, args in self.told:
            getattr(state, method)(*args)
        return state


def _sent(what: Any) -> Any:
    return pickle.loads(pickle.dumps(what))  # noqa: S301
