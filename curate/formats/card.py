"""`README.md`: the dataset card, in the form Hugging Face reads, made of what the manifest says.

Whatever comes from data or recipes is escaped: it can neither add HTML, links or headings nor break a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from curate.counting import counted
from curate.formats.writers.text import GUARDED, guard_name

__all__ = ["CARD", "compose_card", "escape"]

CARD = "README.md"

_SPECIAL = re.compile(r"[&<>\"'`*\[\]()|\\~#!{}$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=:)//|(?<=www)\.")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LEADING = re.compile(r"^([-+=]|[0-9]+[.)])")

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGE = ((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))
_TASKS = {
    "image-text": ["image-to-text", "text-to-image"],
    "speech": ["automatic-speech-recognition"],
    "instruction": ["text-generation"],
    "preference": ["text-generation"],
}
_LABEL_TASKS = {
    "image": "image-classification",
    "audio": "audio-classification",
    "text": "text-classification",
}
_SEVERAL = {
    "image-classification": "multi-label-image-classification",
    "text-classification": "multi-label-classification",
}
"""What a task is called where an item has several labels, as far as there is a name for it."""
_DATA_FILES = {
    "parquet": "data/train-*.parquet",
    "jsonl": "data/train-*.jsonl",
    "csv": "data/train-*.csv",
    "datasets": "data/train-*.arrow",
    "webdataset": "shard-*.tar",
}


def escape(text: object, limit: int = 300) -> str:
    """Text as Markdown that shows as that text and nothing else, on one line, cut after `limit` characters."""
    line = _SPECIAL.sub(lambda match: "".join(f"&#{ord(c)};" for c in match.group()), _one_line(text, limit))
    return _LEADING.sub(lambda match: "".join(f"&#{ord(c)};" for c in match.group()), line)


def _one_line(text: object, limit: int = 300) -> str:
    line = _CONTROL.sub(" ", str(text)).strip()
    return line[:limit] + "…" if len(line) > limit else line


def compose_card(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of `README.md`."""
    sections = [
        f"# {escape(manifest['title'])}",
        _intro(manifest),
        "## How it was curated",
        _curation(manifest),
        "## Columns",
        _table(
            ("column", "type", "meaning"),
            ((_code(c["name"]), _code(c["type"]), _meaning(c)) for c in manifest["columns"]),
        ),
        "## Counts",
        _counts(manifest["counts"]),
        *(["An item counts for each of its labels."] if _sets(manifest) else []),
        "## Known limits",
        _limits(manifest),
        "## How to load it",
        f"```python\n{_loading(manifest)}\n```",
        "`manifest.json` lists every file with its checksum; `curate verify` on this folder compares them.",
    ]
    return (f"---\n{_front_matter(manifest)}---\n\n" + "\n\n".join(sections) + "\n").encode("utf-8")


def _front_matter(manifest: Mapping[str, Any]) -> str:
    kind = manifest["kind"]
    tasks = _TASKS.get(kind, [])
    if kind == "label":
        names = [c["name"] for c in manifest["columns"]]
        tasks = [task for column, task in _LABEL_TASKS.items() if column in names]
    several = [_SEVERAL[task] for task in tasks if task in _SEVERAL] if _sets(manifest) else []
    config = {
        "config_name": "default",
        "data_files": [{"split": "train", "path": _DATA_FILES[manifest["format"]]}],
    }
    front = {
        "pretty_name": _one_line(manifest["title"]),
        "license": _one_line(manifest["license"]),
        "size_categories": [_size(manifest["counts"]["rows"])],
        "task_categories": tasks,
        **({"task_ids": several} if several else {}),
        "tags": ["curate", kind],
        "configs": [config],
    }
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)


def _sets(manifest: Mapping[str, Any]) -> bool:
    """Whether items of kind label have sets of labels."""
    columns = {c["name"]: c["type"] for c in manifest["columns"]}
    return bool(manifest["kind"] == "label" and columns.get("labels", "").startswith("list"))


def _size(rows: int) -> str:
    return next(
        (name for bound, name in (*_SIZES, *_LARGE) if rows < bound), "n>1T" if rows >= 10**12 else "1B<n<10B"
    )


def _intro(manifest: Mapping[str, Any]) -> str:
    counts, selection = manifest["counts"], manifest.get("selection")
    name = selection.get("name") if isinstance(selection, Mapping) else selection
    text = escape(manifest["description"], 2000)
    lines = [text] if text else []
    named = f", the selection {_code(name)}" if name else ""
    lines.append(
        f"{counted(counts['rows'], 'item')} of kind `{manifest['kind']}`{named}, as {_FORMAT[manifest['format']]}."
    )
    if counts["failed"]:
        lines.append(
            f"**{counted(counts['failed'], 'more item is', 'more items are')} missing here because media could "
            "not be read** when this was exported; `failed.jsonl` lists each with the reason."
        )
    return "\n\n".join(lines)


_FORMAT = {
    "parquet": "Parquet",
    "jsonl": "JSON Lines",
    "csv": "CSV",
    "datasets": "a saved `datasets.Dataset`",
    "webdataset": "WebDataset shards",
}


def _curation(manifest: Mapping[str, Any]) -> str:
    steps = manifest.get("steps") or []
    facts = [
        f"{label}: {_code(manifest[key])}."
        for key, label in (("recipe_digest", "Recipe"), ("store_version", "Store version"), ("seed", "Seed"))
        if manifest.get(key) not in (None, "")
    ]
    if not steps:
        return "\n\n".join(["No steps were recorded.", *facts])
    table = _table(("step", "what", "items before", "items after"), map(_step, steps))
    dropped = [
        f"- {escape(_title(step))}: {escape(reason)}: {count:,}"
        for step in steps
        if isinstance(step, Mapping)
        for reason, count in (step.get("reasons") or {}).items()
        if isinstance(count, int)
    ]
    return "\n\n".join(
        [
            table,
            *(["Dropped, rejected or not scored, by reason:", "\n".join(dropped)] if dropped else []),
            *facts,
        ]
    )


def _title(step: Mapping[str, Any]) -> str:
    return str(step.get("title") or step.get("step") or step.get("name") or "")


def _step(step: Mapping[str, Any]) -> tuple[str, str, str, str]:
    what = _code(step["expression"]) if step.get("expression") else escape(_title(step))
    params = ", ".join(
        f"{key}={value!r}" for key, value in (step.get("params") or {}).items() if value is not None
    )
    name = " ".join(str(step.get(key, "")) for key in ("kind", "name")).strip()
    shown = f"{what} {_code(params)}" if params and not step.get("expression") else what
    return escape(name), shown, *_sizes(step)


def _sizes(step: Mapping[str, Any]) -> tuple[str, str]:
    """How many items there were before and after; of a select, which leaves the run's items as they are, the chosen."""
    counts = step.get("counts") or {}
    if step.get("kind") == "select" and {"kept", "dropped"} <= counts.keys():
        return f"{counts['kept'] + counts['dropped']:,}", f"{counts['kept']:,}"
    before, after = (f"{step[key]:,}" if key in step else "" for key in ("before", "after"))
    return before, after


_MEANINGS = {
    "id": "identifies the item",
    "rank": "place in the selection, 0 is best",
    "weight": "training weight",
    "gain": "what the item added when it was selected",
    "reason": "why it was selected",
}
_ROLES = {
    "score": "score, higher = keep",
    "flag": "true = what the name says",
    "vector": "vector, one length for all",
}


def _meaning(column: Mapping[str, str]) -> str:
    return _MEANINGS.get(column["name"]) or _ROLES.get(column["role"], "")


def _counts(counts: Mapping[str, Any]) -> str:
    flat: list[tuple[str, str]] = []
    for name, value in counts.items():
        if isinstance(value, Mapping):
            flat += [(f"{escape(name)}: {escape(inner)}", _number(count)) for inner, count in value.items()]
        else:
            flat.append((escape(name), _number(value)))
    return _table(("what", "count"), flat)


def _limits(manifest: Mapping[str, Any]) -> str:
    limits = [escape(note, 600) for note in manifest["notes"]]
    if manifest["license"] == "unknown":
        limits.append(
            "No licence was given: find out under which terms the sources may be used before publishing this."
        )
    if manifest["media"] == "reference" and any(c["name"] in ("image", "audio") for c in manifest["columns"]):
        limits.append("Images and sounds are not in here: the columns hold their addresses.")
    limits.append(
        "Scores and selections are made by models and rules; they carry the errors and biases of those."
    )
    return "\n".join(f"- {limit}" for limit in limits)


def _loading(manifest: Mapping[str, Any]) -> str:
    return {
        "parquet": _PARQUET,
        "jsonl": 'import polars\n\ndata = polars.read_ndjson("data/*.jsonl")',
        "csv": _csv(manifest),
        "datasets": 'import datasets\n\ndata = datasets.load_from_disk(".")',
        "webdataset": _TARS,
    }[manifest["format"]]


_PARQUET = """import datasets

data = datasets.load_dataset("parquet", data_files="data/*.parquet", split="train")"""
_TARS = """import glob, webdataset

data = webdataset.WebDataset(sorted(glob.glob("shard-*.tar")), shardshuffle=False).decode("pil")"""
_NUMBERS = ("bool", "float", "double", *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)))


def _csv(manifest: Mapping[str, Any]) -> str:
    """pandas, told to leave texts such as `007`, `NA` and `` alone and to take the guard off formulas."""
    numbers = sorted(guard_name(c["name"]) for c in manifest["columns"] if c["type"] in _NUMBERS)
    texts = sorted(guard_name(c["name"]) for c in manifest["columns"] if c["type"] not in _NUMBERS)
    return f"""import glob, pandas

texts = {texts!a}
options = {{"dtype": dict.fromkeys(texts, str), "keep_default_na": False}}
options["na_values"] = dict.fromkeys({numbers!a}, "")
data = pandas.concat(pandas.read_csv(file, **options) for file in sorted(glob.glob("data/*.csv")))
data[texts] = data[texts].replace(r"{GUARDED}", "", regex=True)"""


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, (int, float)) else escape(value)


def _code(text: object) -> str:
    return f"<code>{escape(text)}</code>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
