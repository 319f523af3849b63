"""The types inside an expression, found by DuckDB's own binder on a table without rows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.errors import ExpressionError
from curate.store.engine import blank_cursor, empty_table
from curate.store.layout import holds_texts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_COMPARISONS = frozenset(
    {"EQ", "NEQ", "GT", "GTE", "LT", "LTE", "NullSafeEQ", "NullSafeNEQ", "Between", "In"}
)
_LOGIC = frozenset({"And", "Or", "Not"})
_OF_LISTS = frozenset({"Contains", "Length", "Is"})
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


def is_number(type_: str) -> bool:
    """Whether a DuckDB type is numeric."""
    return type_.removeprefix("U").startswith(_NUMBERS)


def noun(type_: str) -> str:
    """A DuckDB type as a reader would call it."""
    if is_number(type_):
        return "a number"
    return {"VARCHAR": "text", "BOOLEAN": "true or false", '"NULL"': "nothing but null"}.get(
        type_, type_.lower()
    )


def infer(text: str, tree: Any, schema: pa.Schema) -> str:
    """DuckDB's type of a checked tree over columns of `schema`. Raises ExpressionError where operands do not fit."""
    return _infer(text, tree, schema.serialize().to_pybytes())


@lru_cache(maxsize=512)
def _infer(text: str, tree: Any, serialised: bytes) -> str:
    schema = pa.ipc.read_schema(pa.py_buffer(serialised))
    for field in schema:
        if pa.types.is_nested(field.type):
            _check_list(text, tree, field)
    if len({name.lower() for name in schema.names}) < len(schema):
        raise ExpressionError(f"{text!r} reads columns that differ by case alone: {', '.join(schema.names)}")
    with blank_cursor() as cursor:
        # A table needs a column; an expression such as `1 = 1` reads none.
        fields = [pa.field("_", pa.null()), *schema] if "_" not in schema.names else list(schema)
        cursor.register("_rows", empty_table(pa.schema(fields)))
        for node in tree.walk():
            _check(cursor, text, node)
        return _type(cursor, text, tree)


def _check_list(text: str, tree: Any, field: pa.Field) -> None:
    """Of a list of texts an expression may ask what it contains, how long it is, and whether it is there."""
    texts = holds_texts(field.type)
    uses = [node for node in tree.walk() if type(node).__name__ == "Column" and node.name == field.name]
    if not texts or any(type(use.parent).__name__ not in _OF_LISTS or use.arg_key != "this" for use in uses):
        may = "contains({0}, 'a'), length({0}) or {0} is null" if texts else "plain values only"
        raise ExpressionError(
            f"{text!r} reads {field.name!r}, which is a {field.type}; an expression reads {may.format(field.name)}"
        )


def _type(cursor: DuckDBPyConnection, text: str, node: Any) -> str:
    import duckdb

    part = node.sql("duckdb", identify=True, comments=False)
    try:
        row = cursor.execute(f"DESCRIBE SELECT {part} AS result FROM _rows").fetchone()
    except duckdb.Error as error:
        reason = str(error).strip().split("\n", 1)[0].partition(": ")[2].partition(" Candidate")[0]
        where = "" if node.parent is None else f", at {node.sql('duckdb', comments=False)!r}"
        raise ExpressionError(f"the expression {text!r} does not fit the columns{where}: {reason}") from None
    assert row is not None  # DESCRIBE gives one row per column
    return str(row[1])


def _check(cursor: DuckDBPyConnection, text: str, node: Any) -> None:
    name = type(node).__name__
    if name in _COMPARISONS:
        operands = [
            node.this,
            *(a for k in ("expression", "low", "high") if (a := node.args.get(k)) is not None),
        ]
        operands += node.expressions if name == "In" else []
        typed = [(o, _type(cursor, text, o)) for o in operands]
        texts = [o for o, t in typed if t == "VARCHAR"]
        numbers = [o for o, t in typed if is_number(t)]
        if texts and numbers:
            raise ExpressionError(
                f"{text!r} compares {_show(texts[0])} (text) with {_show(numbers[0])} (a number). Write texts in single "
                "quotes and numbers without; cast(... as double) reads a text as a number"
            )
    elif name in _LOGIC:
        for operand in (node.this, node.args.get("expression")):
            if operand is not None and (type_ := _type(cursor, text, operand)) not in ("BOOLEAN", '"NULL"'):
                raise ExpressionError(
                    f"{text!r} uses {_show(operand)} ({noun(type_)}) as a condition; compare it with something"
                )


def _show(node: Any) -> str:
    return str(node.sql("duckdb", comments=False))
