"""Choosing one row after the other, each the best of all by its product with one direction: rows stay where they lie.

A round sends the direction to whoever holds rows, with a bit for each row whether it may be chosen, and gets one row back from
each. A product is the same wherever its row lies, so the same rows come out however they are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from curate.choosing import Account, Terms
from curate.contracts import Held, View
from curate.fitting import by_piece, numbers, order_by_id, piece_rows
from curate.vectors.rows import Floats, Ints
from curate.vectors.sources import (
    Change,
    Column,
    Source,
    Where,
    along,
    flags,
    read_rows,
    squares,
)

__all__ = ["Contest", "Key", "Rivals", "contest"]

R = TypeVar("R")
Bits = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Key = Callable[["Rivals", Floats], npt.NDArray[np.floating]]
"""How good each of some rivals is, higher = better, by their products with the direction."""
Best = tuple[float, int, Floats]


class Rivals:
    """Some rows that compete: a state of `contracts.Held`.

    `z` (m, d) in the order in which equal ones go; `rows` (m,) their numbers among all rows, of which those that lie here are
    `size` from `first` on; `cost` (m,).
    """

    def __init__(self, z: Floats, rows: Ints, span: tuple[int, int], cost: Doubles) -> None:
        self.rows, self.span, self.cost = rows, span, cost
        self.own = rows - span[0]
        self.plain = bool((cost == 1).all())
        self._place = np.full(span[1], -1, np.int64)
        self._place[self.own] = np.arange(len(rows))
        self.noted = np.empty(0)
        self.z, self.squares = z, squares(z)[:, 0]

    def say(self, function: Callable[[Floats], Any]) -> Any:
        """What a function says of the rows."""
        return function(self.z)

    def bring(self, change: Change) -> None:
        """Let the rows be what `change` makes of them."""
        if len(self.z):
            self.z = change(self.z)
            self.squares = squares(self.z)[:, 0]

    def note(self, function: Callable[[Floats], Doubles]) -> None:
        """Keep what a function says of each row, (m,), as `noted`."""
        self.noted = function(self.z)

    def best(self, key: Key, direction: Floats, free: Bits, limit: float) -> Best | None:
        """The best of those that are free and cost no more than `limit`: how good it is, its number and its vector."""
        able = flags(free, *self.span)[self.own]
        if not self.plain:
            able &= self.cost <= limit
        if not able.any():
            return None
        keys = np.where(able, key(self, along(self.z, direction)), -np.inf)
        place = int(keys.argmax())
        return float(keys[place]), int(self.rows[place]), self.z[place]

    def at(self, rows: Ints) -> Floats:
        """Copies of these rows, by their numbers."""
        return self.z[self._place[rows - self.span[0]]]


class Contest:
    """All rivals, wherever they are held, and what may still be chosen.

    `rows` (n,) are the numbers of the rows that one chooses from, in the order in which equal ones go; `first` is mandatory.
    """

    def __init__(self, held: Held, rows: Ints, whole: int, terms: Terms) -> None:
        self.held, self.rows, self.terms = held, rows, terms
        self.account = Account(terms)
        self._places = np.full(whole, -1, np.int64)
        self._places[rows] = np.arange(len(rows))
        mask = np.zeros(whole, bool)
        mask[rows[terms.open]] = True
        self._free = np.packbits(mask)
        self._banned: list[int] = []
        self._slack, self._plain = 1e-9 * max(terms.spend, 1.0), terms.plain

    def best(self, key: Key, direction: Doubles) -> tuple[int, float, Floats] | None:
        """The best row that fits, how good it is, and its vector; None if nothing fits."""
        limit = float(self.account.left[0]) + self._slack
        if limit < 1 and self._plain:
            return None
        found = self.held.ask("best", key, direction.astype(np.float32), self._free, limit)
        ranked = [(-good, int(self._places[row]), z) for good, row, z in filter(None, found)]
        if not ranked:
            return None
        good, row, z = min(ranked, key=lambda one: one[:2])
        return row, -good, z

    def take(self, row: int) -> None:
        """This row is chosen."""
        self.account.take(row)
        self._set(row, False)

    def give_back(self, row: int) -> None:
        """It is not, after all."""
        self.account.give_back(row)
        self._set(row, True)

    def ban(self, row: int) -> None:
        """Leave this row aside until `lift`."""
        self._banned.append(row)
        self._set(row, False)

    def lift(self) -> None:
        """Let rows that were left aside compete again."""
        for row in self._banned:
            self._set(row, True)
        self._banned = []

    def __len__(self) -> int:
        return len(self.rows)

    def spread(self, function: Callable[[Floats], R]) -> Iterator[R]:
        """What a function says of the rows, as `Source.spread`."""
        return iter(self.held.ask("say", function))

    def bring(self, change: Change) -> None:
        """Let the rows be what `change`, a partial of a module-level function, makes of them."""
        self.held.tell("bring", change)

    def note(self, function: Callable[[Floats], Doubles]) -> None:
        """Have what a function, a partial of a module-level one, says of each row noted, for keys to use."""
        self.held.tell("note", function)

    def at(self, rows: Ints) -> Floats:
        """Copies of these rows, (m, d)."""
        asked = self.rows[rows]
        own = by_piece(self.held.firsts, asked)
        parts = self.held.ask_some("at", {piece: (asked[at],) for piece, at in own.items()})
        out = np.empty((len(rows), max((part.shape[1] for part in parts.values()), default=0)), np.float32)
        for piece, found in parts.items():
            out[own[piece]] = found
        return out

    def _set(self, row: int, free: bool) -> None:
        number = int(self.rows[row])
        bit = 0x80 >> (number & 7)
        self._free[number >> 3] = self._free[number >> 3] & (255 - bit) | (bit if free else 0)


@contextmanager
def contest(source: Source, terms: Terms) -> Iterator[Contest]:
    """A contest among the rows of a source, while the block lasts."""
    if isinstance(source, Column):
        view = source.view
        make = partial(_of_piece, source.where, source.cost)
        with view.resident(make, piece_rows(view, source.column)) as held:
            yield Contest(held, source.rows, len(view), terms)
        return
    x = source.take(slice(None))
    n = len(x)
    yield Contest(_Alone(Rivals(x, np.arange(n), (0, n), terms.cost)), np.arange(n), n, terms)


def _of_piece(where: Where, cost: str | None, piece: View, first: int) -> Rivals:
    """The rivals of one piece of a view, in the order of their ids."""
    order = order_by_id(piece)
    order = order[flags(where.bits, first, len(piece))[order]]
    costs = np.ones(len(order)) if cost is None else numbers(piece.compute(cost), cost)[order].astype(float)
    return Rivals(read_rows(piece, where, order), order + first, (first, len(piece)), costs)


class _Alone:
    """One state in this process: `contracts.Held`."""

    firsts = (0,)

    def __init__(self, state: Any) -> None:
        self.state = state

    def ask(self, method: str, *args: Any) -> list[Any]:
        return [getattr(self.state, method)(*args)]

    def ask_some(self, method: str, given: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        return {number: getattr(self.state, method)(*args) for number, args in given.items()}

    tell = ask
