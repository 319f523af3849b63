"""The five kinds of item, as Arrow schemas, and the roles their columns play.

A scorer asks for a *role* (`text`, `image`, `audio`, `label`) or for a column by its own name; the kind says
which column, or which columns joined, plays the role. Columns that a kind does not know are kept as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from curate.errors import UnknownNameError

ROLES = ("text", "image", "audio", "label")
"""What a scorer may ask for without knowing the kind."""


@dataclass(frozen=True)
class Kind:
    """One kind of item.

    `fields` are the columns it knows (all nullable in Arrow; `required` names those a row must have).
    `roles` maps a role to the columns that play it; several text columns are joined by newlines.
    `one_of` names what else a row must have, and the columns of which at least one says it.
    """

    name: str
    fields: tuple[pa.Field, ...]
    required: tuple[str, ...]
    roles: Mapping[str, tuple[str, ...]]
    one_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def media(self) -> tuple[str, ...]:
        """Columns that hold the address of an image or a sound."""
        return tuple(c for role in ("image", "audio") for c in self.roles.get(role, ()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(f.name for f in self.fields)

    @property
    def content(self) -> tuple[str, ...]:
        """Columns that make an item what it is: ids are derived from them when none are given. Sets of labels do not:
        an item stays the same when one is added."""
        return tuple(name for name in self.columns if name not in self.sets)

    @property
    def sets(self) -> tuple[str, ...]:
        """Columns that hold several values for an item: lists of strings."""
        return tuple(f.name for f in self.fields if pa.types.is_list(f.type))

    @property
    def needed(self) -> Mapping[str, tuple[str, ...]]:
        """What a row must have, and the columns of which at least one says it."""
        return {**{name: (name,) for name in self.required}, **self.one_of}


def _strings(*names: str) -> tuple[pa.Field, ...]:
    return tuple(pa.field(name, pa.string()) for name in names)


_CAPTION = ("text", "caption_text", "alt", "alt_text", "title", "description", "prompt", "TEXT")
_IMAGE = (
    "url",
    "image_url",
    "image_path",
    "path",
    "file_name",
    "filename",
    "file",
    "uri",
    "URL",
    "jpg",
    "png",
)
_AUDIO = ("audio_path", "path", "file_name", "filename", "file", "uri", "wav", "flac", "mp3", "audio_url")
_LABEL = ("class", "target", "y", "category", "label_name", "given", "cls", "noisy_label")
_LABELS = (
    "label_set",
    "label_names",
    "tags",
    "classes",
    "categories",
    "tag_names",
    "keywords",
    "genres",
    "topics",
)

KINDS: dict[str, Kind] = {
    "image-text": Kind(
        "image-text",
        _strings("image", "caption"),
        required=("image", "caption"),
        roles={"image": ("image",), "text": ("caption",)},
        aliases={"image": _IMAGE, "caption": _CAPTION},
    ),
    "speech": Kind(
        "speech",
        _strings("audio", "text", "speaker"),
        required=("audio",),
        roles={"audio": ("audio",), "text": ("text",)},
        aliases={"audio": _AUDIO, "text": ("transcript", "transcription", "sentence", "normalized_text")},
    ),
    "label": Kind(
        "label",
        (*_strings("image", "audio", "text", "label"), pa.field("labels", pa.list_(pa.string()))),
        required=(),
        roles={"image": ("image",), "audio": ("audio",), "text": ("text",), "label": ("label",)},
        one_of={"label": ("label", "labels"), "content": ("image", "audio", "text")},
        aliases={
            "image": _IMAGE,
            "audio": _AUDIO,
            "text": ("sentence", "document", "review"),
            "label": _LABEL,
            "labels": _LABELS,
        },
    ),
    "instruction": Kind(
        "instruction",
        _strings("instruction", "input", "output"),
        required=("instruction", "output"),
        roles={"text": ("instruction", "input", "output")},
        aliases={
            "instruction": ("question", "prompt", "query"),
            "input": ("context",),
            "output": ("answer", "response", "completion", "target"),
        },
    ),
    "preference": Kind(
        "preference",
        _strings("prompt", "chosen", "rejected"),
        required=("chosen", "rejected"),
        roles={"text": ("prompt", "chosen", "rejected")},
        aliases={
            "prompt": ("question", "instruction"),
            "chosen": ("win", "better"),
            "rejected": ("lose", "worse"),
        },
    ),
}


def kind(name: str) -> Kind:
    """The kind of that name; UnknownNameError lists the five."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownNameError("kind of item", name, KINDS) from None
