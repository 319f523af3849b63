"""The models and weights that open_clip knows, read from its files: importing it would bring torch along."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["model_names", "weights_of"]


def model_names() -> list[str]:
    """The architectures; none where the package is not laid out as it was."""
    return sorted(path.stem for path in _folder().glob("model_configs/*.json"))


def weights_of(model: str) -> Mapping[str, str]:
    """Tag of the weights of an architecture -> where on the hub they are, empty where they are elsewhere."""
    return _table().get(model, {})


def _folder() -> Path:
    spec = find_spec("open_clip")
    return Path(spec.origin).parent if spec is not None and spec.origin else Path("nowhere")


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    """Architecture -> tag -> place, of `_PRETRAINED = {"RN50": _RN50, ...}` and `_RN50 = dict(openai=_pcfg(...), ...)`, where
    it is written so."""
    path = _folder() / "pretrained.py"
    if not path.is_file():
        return {}
    values: dict[str, ast.expr] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = node.value
    table = {}
    for model, named in _entries(values.get("_PRETRAINED")).items():
        tags = _entries(values.get(named.id) if isinstance(named, ast.Name) else named)
        table[model] = {tag: _place(given) for tag, given in tags.items()}
    return table


def _entries(node: ast.expr | None) -> dict[str, ast.expr]:
    """The entries of `dict(name=value)` or `{"name": value}`; none of anything else, or of what takes entries from elsewhere."""
    if isinstance(node, ast.Call) and not node.args:
        names: list[str | None] = [keyword.arg for keyword in node.keywords]
        values = [keyword.value for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        names = [str(key.value) if isinstance(key, ast.Constant) else None for key in node.keys]
        values = node.values
    else:
        return {}
    return (
        {name: value for name, value in zip(names, values, strict=True) if name} if None not in names else {}
    )


def _place(node: ast.expr) -> str:
    given = _entries(node).get("hf_hub")
    text = given.value if isinstance(given, ast.Constant) else ""
    return "/".join(str(text).split("/")[:2])
