"""Read a recipe from YAML: safely, with limits, and with errors that name the step, the key and the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from curate.counting import counted
from curate.errors import RecipeError
from curate.recipe.model import STEPS, Recipe, Step, first_problem, problems

MAX_BYTES = 1_000_000
MAX_DEPTH = 20


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe file. `overrides` are `key=value` texts as `--set` takes them (`seed=3`, `steps.2.budget=5%`).

    Raises RecipeError naming what is wrong and where.
    """
    file = Path(path)
    if not file.is_file():
        near = difflib.get_close_matches(file.name, [p.name for p in file.parent.glob("*.y*ml")], n=1)
        hint = f" Did you mean {str(file.parent / near[0])!r}?" if near else ""
        raise RecipeError(f"there is no recipe at {str(path)!r}.{hint}")
    if file.stat().st_size > MAX_BYTES:
        raise RecipeError(
            f"{path} is {counted(file.stat().st_size, 'byte')}; a recipe may have {MAX_BYTES:,}"
        )
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text (byte {error.start})") from None
    return parse_recipe(text, overrides=overrides, where=str(path))


def parse_recipe(text: str, *, overrides: Iterable[str] = (), where: str = "recipe") -> Recipe:
    """Read a recipe from YAML text; see `read_recipe`."""
    data = _load(text, where)
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: a recipe is a mapping with the keys store and steps, not {_shape(data)}")
    for override in overrides:
        _set(data, override)
    return build_recipe(data, where=where)


def build_recipe(data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """A checked recipe from plain values (what YAML or a notebook gives)."""
    _known_keys(data, set(Recipe.model_fields), where)
    for key in ("store", "steps"):
        if key not in data:
            raise RecipeError(f"{where}: the key {key!r} is missing")
    steps = data["steps"]
    if not isinstance(steps, (list, tuple)) or not steps:
        raise RecipeError(f"{where}: steps must be a list with at least one step, not {_shape(steps)}")
    built, faults = list[Step](), list[str]()
    for number, step in enumerate(steps, start=1):
        try:
            built.append(_step(step, f"{where}, step {number}"))
        except RecipeError as error:
            faults += str(error).splitlines()
    if faults:
        raise RecipeError(_all(faults))
    try:
        return Recipe(**{**data, "steps": built})
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_problem(error)}") from None


def _step(data: Any, where: str) -> Step:
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: a step is a mapping such as {{score: text-basics}}, not {_shape(data)}")
    verbs = [key for key in data if key in STEPS]
    if len(verbs) != 1:
        keys = [str(key) for key in data]
        near = [m for key in keys for m in difflib.get_close_matches(key, STEPS, n=1)]
        hint = f" Did you mean {near[0]!r}?" if near and not verbs else ""
        what = f"the verbs {', '.join(verbs)}" if verbs else f"only the keys {', '.join(keys)}"
        raise RecipeError(f"{where} has {what}; a step has exactly one of {', '.join(STEPS)}.{hint}")
    cls = STEPS[verbs[0]]
    names = {field.alias or name for name, field in cls.model_fields.items()}
    where = f"{where} ({verbs[0]})"
    faults = [f"{where}: {fault}" for fault in _unknown_keys(data, names)]
    try:
        made = cls.model_validate({key: value for key, value in data.items() if key in names})
    except ValidationError as error:
        faults += [f"{where}: {fault}" for fault in problems(error)]
    if faults:
        raise RecipeError("\n".join(faults))
    return made


def _known_keys(data: Mapping[Any, Any], known: set[str], where: str) -> None:
    if faults := _unknown_keys(data, known):
        raise RecipeError(_all([f"{where}: {fault}" for fault in faults]))


def _unknown_keys(data: Mapping[Any, Any], known: set[str]) -> list[str]:
    """What is to be said of each key that is none of these."""
    told = []
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            told.append(f"unknown key {key!r}.{hint} Known: {', '.join(sorted(known))}.")
    return told


def _all(faults: list[str]) -> str:
    return faults[0] if len(faults) == 1 else "\n".join([f"{len(faults)} faults:", *faults])


def _load(text: str, where: str) -> Any:
    """Parse YAML without running anything: no tags, no aliases (an alias bomb is 200 bytes), bounded depth."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else "?"
                raise RecipeError(f"{where}, line {line}: YAML aliases are not allowed")
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                depth += 1
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                depth -= 1
            if depth > MAX_DEPTH:
                raise RecipeError(f"{where}: nested deeper than {MAX_DEPTH} levels")
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is not YAML: {error}") from None


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (str, int)) and key in seen:
                raise RecipeError(f"line {key_node.start_mark.line + 1}: the key {key!r} is written twice")
            if isinstance(key, (str, int)):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _set(data: dict[str, Any], override: str) -> None:
    """Apply one `key=value`; the key may reach into steps by number (`steps.1.budget=0.1`)."""
    path, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set takes key=value, got {override!r}")
    target: Any = data
    *parents, last = path.strip().split(".")
    try:
        for part in parents:
            target = target[int(part) - 1] if isinstance(target, list) else target.setdefault(part, {})
        target[int(last) - 1 if isinstance(target, list) else last] = yaml.safe_load(value)
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        raise RecipeError(f"--set {override!r}: there is no {path!r} in the recipe ({error})") from None


def _shape(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
