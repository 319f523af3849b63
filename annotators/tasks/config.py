"""A labelling configuration read and checked: the server accepts almost anything, and fails in front of the annotator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from xml.etree import ElementTree

from curate.annotators.tasks.control import Control, Form
from curate.annotators.tasks.tags import CONTROLS, ENTRIES, OBJECTS, VISUALS
from curate.counting import counted
from curate.errors import InputError, UnknownNameError

__all__ = ["Config", "config_problems", "read_config"]

LONGEST = 1 << 20
"""No configuration is longer than this, in characters."""
MEDIA = frozenset(("Audio", "AudioPlus", "Image", "Pdf", "Video"))
"""Tags that show what lies at an address."""
_FIELD = re.compile(r"\$([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Config:
    """A configuration that was checked: `controls` by name, `objects` (name to tag), and the `fields` of a task's data that
    it shows, and which of these are `media`: addresses of pictures, sounds and films."""

    xml: str
    controls: Mapping[str, Control]
    objects: Mapping[str, str]
    fields: tuple[str, ...]
    media: tuple[str, ...]

    def find(self, name: str) -> tuple[Control, int]:
        """The control of that name, and which repetition of it the name means. Raises UnknownNameError."""
        if name in self.controls and not self.controls[name].repeats:
            return self.controls[name], 0
        for control in self.controls.values():
            index = control.index(name)
            if index is not None:
                return control, index
        raise UnknownNameError("control", name, self.controls)


@dataclass
class _Reading:
    """What is found on the way through a configuration."""

    problems: list[str] = field(default_factory=list)
    controls: dict[str, Control] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    fields: dict[str, None] = field(default_factory=dict)
    media: dict[str, None] = field(default_factory=dict)


@lru_cache(maxsize=64)
def read_config(xml: str) -> Config:
    """A configuration, checked. Raises InputError that lists everything that is wrong with it."""
    reading = _read(xml)
    if reading.problems:
        raise InputError("the labelling configuration cannot be used: " + "; ".join(reading.problems))
    return Config(xml, reading.controls, reading.objects, tuple(reading.fields), tuple(reading.media))


def config_problems(xml: str) -> list[str]:
    """Everything that is wrong with a configuration, in words; empty where nothing is.

    Malformed XML, unknown tags, controls without a name or an object, a `toName` that leads nowhere, two tags of one name,
    choices without any or with one twice, no control at all, fields that are no names.
    """
    return _read(xml).problems


def _read(xml: str) -> _Reading:
    reading = _Reading()
    if len(xml) > LONGEST:
        reading.problems.append(f"it is {counted(len(xml), 'character')} long, {LONGEST:,} at most")
    elif "<!" in re.sub(r"<!--.*?-->", "", xml, flags=re.DOTALL):
        reading.problems.append("it has a DOCTYPE or CDATA, which no configuration needs")
    else:
        try:
            root = ElementTree.fromstring(xml)
        except ElementTree.ParseError as error:
            reading.problems.append(f"it is no well-formed XML: {error}")
        else:
            _walk(root, (), reading)
            _check_whole(root, reading)
    return reading


def _walk(node: ElementTree.Element, repeats: tuple[tuple[str, str], ...], reading: _Reading) -> None:
    tag = node.tag
    if tag not in CONTROLS and tag not in OBJECTS and tag not in ENTRIES and tag not in VISUALS:
        known = ", ".join(sorted({*CONTROLS, *OBJECTS}))
        reading.problems.append(f"unknown tag <{tag}> (tags are spelt exactly; such as {known})")
    if tag == "Repeater":
        on = _FIELD.match(node.get("on", ""))
        if not on:
            reading.problems.append('a <Repeater> runs over a field: on="$field"')
        else:
            repeats = (*repeats, (node.get("indexFlag", "{{idx}}"), on[1]))
            if len(repeats) == 1:
                reading.fields.setdefault(on[1])
    elif tag in CONTROLS or tag in OBJECTS:
        _take(node, repeats, reading)
    for child in node:
        _walk(child, repeats, reading)


def _take(node: ElementTree.Element, repeats: tuple[tuple[str, str], ...], reading: _Reading) -> None:
    name = node.get("name", "")
    if not name:
        reading.problems.append(f"a <{node.tag}> has no name")
        return
    if name in reading.controls or name in reading.objects:
        reading.problems.append(f"two tags are named {name!r}")
        return
    if repeats and not all(flag in name for flag, _ in repeats):
        flags = " and ".join(flag for flag, _ in repeats)
        reading.problems.append(f"<{node.tag} name={name!r}> is repeated: its name must hold {flags}")
        return
    value = node.get("value") or node.get("valueList") or ""
    found = _FIELD.match(value)
    if found and not repeats:
        reading.fields.setdefault(found[1])
    if node.tag in OBJECTS:
        reading.objects[name] = node.tag
        if found and not repeats and node.tag in MEDIA:
            reading.media.setdefault(found[1])
        if not found:
            reading.problems.append(f'<{node.tag} name={name!r}> shows no field: value="$field" is meant')
        return
    reading.controls[name] = _control(node, repeats, found[1] if found else "", reading)


def _control(
    node: ElementTree.Element, repeats: tuple[tuple[str, str], ...], listed: str, reading: _Reading
) -> Control:
    name, tag = node.get("name", ""), node.tag
    values = None
    if tag in ("Choices", "Taxonomy") or CONTROLS[tag].key.endswith("labels"):
        values = tuple(_options(node))
        what = f"<{tag} name={name!r}>"
        if not values and not listed:
            reading.problems.append(f"{what} has nothing to choose from")
        if twice := sorted({v for v in values if values.count(v) > 1}):
            reading.problems.append(f"{what} has {twice[0]!r} twice")
        if odd := [v for v in values if not v.strip() or v != v.strip() or v.startswith("$")]:
            reading.problems.append(
                f"{what} has {odd[0]!r}: a choice is not empty, has no space around it and does not begin with $ "
                "(which names a field)"
            )
        values = None if tag == "Taxonomy" else values
    return Control(
        name,
        tag,
        tuple(to.strip() for to in node.get("toName", "").split(",") if to.strip()),
        _form(node),
        None if listed else values,
        listed if tag not in ("TextArea", "Number") else "",
        _whole(node.get("maxRating"), 5) if tag == "Rating" else 0,
        _bound(node.get("min"), -float("inf")),
        _bound(node.get("max"), float("inf")),
        repeats,
    )


def _form(node: ElementTree.Element) -> Form:
    tag = node.tag
    if CONTROLS[tag].region or _true(node.get("perRegion")):
        return "regions"
    if tag == "Choices":
        return "choices" if node.get("choice") == "multiple" else "choice"
    if tag == "TextArea":
        return "text" if node.get("maxSubmissions") == "1" else "texts"
    return {"Rating": "rating", "Number": "number", "DateTime": "text"}.get(tag, "json")  # type: ignore[return-value]


def _options(node: ElementTree.Element) -> Iterator[str]:
    for inner in node.iter():
        if inner.tag in ("Choice", "Label"):
            yield inner.get("alias") or inner.get("value") or ""


def _check_whole(root: ElementTree.Element, reading: _Reading) -> None:
    if not reading.controls:
        reading.problems.append("there is no control: nobody can answer anything")
    for control in reading.controls.values():
        if not control.to:
            reading.problems.append(f"<{control.tag} name={control.name!r}> has no toName: what is it about?")
        for to in control.to:
            if to not in reading.objects:
                known = ", ".join(reading.objects) or "none"
                reading.problems.append(
                    f"<{control.tag} name={control.name!r}> is about {to!r}, which is shown nowhere ({known} are)"
                )
        if control.limit < 0 or (control.tag == "Rating" and control.limit < 2):
            reading.problems.append(f"<Rating name={control.name!r}> needs maxRating of 2 or more")


def _true(text: str | None) -> bool:
    return (text or "").lower() == "true"


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default if not text else -1


def _bound(text: str | None, default: float) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        return default
