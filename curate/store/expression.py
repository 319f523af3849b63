"""Expressions over columns: `clip_score > 0.2 and not near_duplicate`.

DuckDB's syntax and meaning, restricted to plain conditions over one row (`grammar.py`). In particular **a null is
neither above nor below anything**: an item without a `clip_score` is not kept by `clip_score > 0.2`, nor by
`clip_score <= 0.2`, nor by `not (clip_score > 0.2)`. Say `clip_score is null or ...` to keep what could not be
scored. NaN is greater than every number, as in DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

import pyarrow as pa

from curate.errors import ExpressionError, UnknownNameError
from curate.store import grammar, operands

Threshold = tuple[str, str, float]
"""(column, one of < <= > >=, value)"""

_FLIPPED = {"GT": "<", "GTE": "<=", "LT": ">", "LTE": ">="}
_STRAIGHT = {"GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}


class Expression:
    """A checked expression. Raises ExpressionError where `text` is anything but one.

    Two expressions are equal when they read the same but for spaces and the case of keywords.
    """

    def __init__(self, text: str, *, max_length: int = 10_000) -> None:
        self.text = text
        self._tree = _parsed(text, max_length)

    @cached_property
    def columns(self) -> frozenset[str]:
        """Names of the columns (or roles) that it reads."""
        return frozenset(node.name for node in _nodes(self._tree, "Column"))

    @cached_property
    def sql(self) -> str:
        """The same expression with every column name quoted."""
        return str(self._tree.sql("duckdb", identify=True, comments=False))

    @cached_property
    def conjuncts(self) -> list[str]:
        """What must all hold: the parts joined by AND at the top, as text."""
        return [str(part.sql("duckdb", comments=False)) for part in _conjuncts(self._tree)]

    @cached_property
    def thresholds(self) -> list[Threshold]:
        """Comparisons of one column with a number, anywhere inside, in order of appearance.

        `0.2 < x` reads as `x > 0.2`, `x between a and b` as two, and under NOT the opposite comparison is given.
        """
        return list(dict.fromkeys(_thresholds(self._tree, negated=False)))

    def render(self, names: Mapping[str, str]) -> str:
        """SQL in which each column is called by the identifier that `names` gives for it."""
        from sqlglot import exp

        def rename(node: Any) -> Any:
            if isinstance(node, exp.Column):
                return exp.Column(this=exp.Identifier(this=names[node.name], quoted=True))
            return node

        return str(self._tree.transform(rename).sql("duckdb", comments=False))

    def check(self, schema: pa.Schema, *, numeric: bool = False) -> None:
        """Find before running what running would stumble on: unknown columns, texts compared with numbers, ...

        The result must be true or false, or, with `numeric`, a number or a truth value.
        Raises UnknownNameError or ExpressionError.
        """
        type_ = self.type_in(schema)
        if type_ == "BOOLEAN" or (numeric and operands.is_number(type_)):
            return
        wanted = "a number" if numeric else "true or false"
        example = "clip_score * 2" if numeric else "clip_score > 0.2"
        raise ExpressionError(
            f"{self.text!r} gives {operands.noun(type_)}, not {wanted}; write for example: {example}"
        )

    def type_in(self, schema: pa.Schema) -> str:
        """DuckDB's name of the type it has over rows of `schema`; the other checks of `check` are made too."""
        for name in sorted(self.columns - set(schema.names)):
            hint = f"If {name!r} is a text and not a column, write it in single quotes: '{name}'."
            raise UnknownNameError("column", name, [n for n in schema.names if not n.startswith("_")], hint)
        fields = [schema.field(name) for name in sorted(self.columns)]
        return operands.infer(self.text, self._tree, pa.schema(fields))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.sql == other.sql

    def __hash__(self) -> int:
        return hash(self.sql)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


@lru_cache(maxsize=512)
def _parsed(text: str, max_length: int) -> Any:
    return grammar.parse(text, max_length)


def _nodes(tree: Any, *names: str) -> Iterator[Any]:
    return (node for node in tree.walk(bfs=False) if type(node).__name__ in names)


def _conjuncts(node: Any) -> Iterator[Any]:
    name = type(node).__name__
    if name == "And":
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    elif name == "Paren" and type(node.unnest()).__name__ == "And":
        yield from _conjuncts(node.unnest())
    else:
        yield node


def _thresholds(node: Any, negated: bool) -> Iterator[Threshold]:
    name = type(node).__name__
    if name in _STRAIGHT:
        for column, value, operators in (
            (node.this, node.expression, _STRAIGHT),
            (node.expression, node.this, _FLIPPED),
        ):
            yield from _threshold(column, operators[name], value, negated)
    elif name == "Between":
        yield from _threshold(node.this, ">=", node.args["low"], negated)
        yield from _threshold(node.this, "<=", node.args["high"], negated)
    for child in node.iter_expressions():
        yield from _thresholds(child, negated != (name == "Not"))


def _threshold(column: Any, operator: str, value: Any, negated: bool) -> Iterator[Threshold]:
    number = _number(value.unnest())
    column = column.unnest()
    if type(column).__name__ == "Column" and number is not None:
        yield column.name, _OPPOSITE[operator] if negated else operator, number


def _number(node: Any) -> float | None:
    if type(node).__name__ == "Neg":
        inner = _number(node.this.unnest())
        return None if inner is None else -inner
    if type(node).__name__ != "Literal" or node.is_string:
        return None
    value = float(node.this)
    return int(node.this) if node.this.isdigit() else value
