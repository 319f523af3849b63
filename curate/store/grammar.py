"""What an expression may be made of: an allow-list over sqlglot's tree of DuckDB's SQL.

Everything here is a pure function of one row. What is not named is refused: sub-selects, table functions,
aggregates, windows, lambdas, parameters, stars, lists, structs, and every function that is not listed.
"""

from __future__ import annotations

from typing import Any

from curate.counting import counted
from curate.errors import ExpressionError

NODES = frozenset(
    [
        "Column",
        "Identifier",
        "Literal",
        "Boolean",
        "Null",
        "Paren",
        "And",
        "Or",
        "Not",
        "EQ",
        "NEQ",
        "GT",
        "GTE",
        "LT",
        "LTE",
        "NullSafeEQ",
        "NullSafeNEQ",
        "Is",
        "In",
        "Between",
        "Like",
        "ILike",
        "Escape",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "IntDiv",
        "Mod",
        "Neg",
        "Pow",
        "DPipe",
        "Case",
        "If",
        "Cast",
        "TryCast",
        "DataType",
        "DataTypeParam",
    ]
)
"""Syntax, by the name of sqlglot's class."""

FUNCTIONS = {
    "Abs": "abs", "Ceil": "ceil", "Coalesce": "coalesce", "Contains": "contains", "EndsWith": "ends_with",
    "Exp": "exp", "Floor": "floor", "Greatest": "greatest", "IsInf": "isinf", "IsNan": "isnan", "Least": "least",
    "Length": "length", "Ln": "ln", "Lower": "lower", "Nullif": "nullif", "RegexpLike": "regexp_matches",
    "Replace": "replace", "Round": "round", "Sign": "sign", "Sqrt": "sqrt", "StartsWith": "starts_with",
    "Substring": "substring", "Trim": "trim", "Upper": "upper",
}  # fmt: skip
"""Functions that sqlglot has a class for -> their name in DuckDB."""

OTHER_FUNCTIONS = frozenset({"strlen", "isfinite", "prefix", "suffix"})
"""Functions that sqlglot leaves as a name (older versions leave some of the above, too)."""

TYPES = frozenset(
    [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINT",
        "UBIGINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL",
        "TEXT",
        "VARCHAR",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMPTZ",
    ]
)
"""Types that may be cast to."""

REFUSED = {
    "Subquery": "a sub-select", "Select": "a sub-select", "Exists": "a sub-select", "Window": "a window function",
    "Star": "a star", "Columns": "a star", "Placeholder": "a parameter", "Parameter": "a parameter",
    "Lambda": "a lambda", "Bracket": "a subscript", "Dot": "a field of a struct", "Struct": "a struct",
    "Array": "a list", "Tuple": "a tuple", "Interval": "an interval", "AggFunc": "an aggregate",
}  # fmt: skip


def known_functions() -> list[str]:
    """Names of the functions an expression may call."""
    return sorted([*FUNCTIONS.values(), *OTHER_FUNCTIONS])


def parse(text: str, limit: int) -> Any:
    """The checked sqlglot tree of `text`. Raises ExpressionError naming the offending part."""
    _check_text(text, limit)
    import sqlglot
    from sqlglot import errors, exp

    dialect = sqlglot.Dialect.get_or_raise("duckdb")
    try:
        tokens = dialect.tokenize(text)
        trees = [t for t in dialect.parse_into(exp.Condition, text) if t is not None]
    except (errors.ParseError, errors.TokenError) as error:
        raise ExpressionError(_syntax_message(text, error)) from None
    except RecursionError:
        raise ExpressionError(f"the expression {_short(text)} is nested too deeply") from None
    if any(token.comments for token in tokens):
        raise ExpressionError(f"the expression {_short(text)} holds a comment: leave it out")
    if any(token.token_type.name == "SEMICOLON" for token in tokens):
        raise ExpressionError(f"the expression {_short(text)} holds a semicolon: write one condition only")
    if len(trees) != 1:
        raise ExpressionError(
            f"{_short(text)} is not one expression, such as: clip_score > 0.2 and not near_duplicate"
        )
    for node in trees[0].walk():
        _check_node(node)
    return trees[0]


def _check_text(text: str, limit: int) -> None:
    if not isinstance(text, str):
        raise ExpressionError(
            f"an expression is a text such as 'clip_score > 0.2', not {type(text).__name__}"
        )
    if not text.strip():
        raise ExpressionError("the expression is empty; write a condition such as: clip_score > 0.2")
    if len(text) > limit:
        raise ExpressionError(
            f"the expression is {counted(len(text), 'character')} long; at most {limit} are read"
        )
    if "\x00" in text:
        raise ExpressionError("the expression holds a NUL character")


def _check_node(node: Any) -> None:
    name = type(node).__name__
    if name in FUNCTIONS:
        return
    if name == "Anonymous":
        if str(node.this).lower() not in known_functions():
            raise _unknown_function(str(node.this))
    elif name not in NODES:
        raise _refuse(node)
    elif name == "Column" and node.args.get("table") is not None:
        raise ExpressionError(
            f"{node.sql('duckdb')!r}: a column is written without a table; a name with a dot goes in double quotes"
        )
    elif name == "DataType" and (node.this.name not in TYPES or node.args.get("nested")):
        raise ExpressionError(
            f"cannot cast to {node.sql('duckdb')}; possible: {', '.join(sorted(TYPES)).lower()}"
        )
    elif name == "Literal" and not node.is_string:
        _check_number(node)


def _check_number(node: Any) -> None:
    try:
        float(node.this)
    except ValueError:
        raise ExpressionError(f"{node.this!r} is not a number") from None


def _refuse(node: Any) -> ExpressionError:
    from sqlglot import exp

    text = _short(node.sql("duckdb"))
    what = next((REFUSED[c.__name__] for c in type(node).__mro__ if c.__name__ in REFUSED), None)
    if what is None and isinstance(node, exp.Func):
        return _unknown_function(node.sql_name())
    reason = f"is {what}" if what else "is not part of it"
    return ExpressionError(
        f"{text} {reason}; an expression is a plain condition over the columns of one row: comparisons, and/or/not, "
        "between, in (...), like, is null, arithmetic, case, and functions such as length(caption)"
    )


def _unknown_function(name: str) -> ExpressionError:
    return ExpressionError(
        f"the function {name.lower()}() cannot be used; possible: {', '.join(known_functions())}"
    )


def _syntax_message(text: str, error: Any) -> str:
    details = next((e for e in getattr(error, "errors", []) if e.get("highlight") or e.get("col")), None)
    where = f" near {details['highlight']!r} (character {details['col']})" if details else ""
    return (
        f"cannot read the expression {_short(text)}{where}. Text goes in single quotes, and a column named like an "
        'SQL keyword, or holding spaces, in double quotes: "from" > 3'
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "...")
