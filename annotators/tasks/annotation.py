"""An annotation of Label Studio (from its API or from an export file) as rows of answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from curate.annotators.tasks.template import Template
from curate.errors import InputError

__all__ = ["annotator_of", "read_annotation", "read_time"]


def read_annotation(
    annotation: Mapping[str, Any],
    template: Template,
    data: Mapping[str, Any],
    *,
    source: str,
    predictions: Mapping[Any, Mapping[str, Any]] | None = None,
    people: Mapping[str, str] | None = None,
    status: str = "ok",
    reason: str | None = None,
) -> list[dict[str, Any]]:
    """Rows for `answer_table`, at least one: a row for each control answered, one for a skip.

    `data` is the task's, with our marks. `predictions` are the task's by id, to say which was shown; `people` names
    annotators known by number. `status` and `reason`, where not ok, are of the whole annotation.
    A skip answers nothing, whatever result it drags along. What nobody could have answered is a row of status
    `rejected` with what was said and why; so is an answer that says nothing at all.
    Raises InputError for an annotation without id, person or time.
    """
    shown = _shown(annotation, predictions or {})
    base = _base(annotation, data, people) | {
        "model_version": (shown or {}).get("model_version") or None,
        "status": status,
        "reason": reason,
        "source": source,
    }
    if base["skipped"]:
        return [base]
    parsed = template.answers(annotation.get("result") or [], data)
    guessed = {str(e.get("from_name")) for e in (shown or {}).get("result") or [] if isinstance(e, Mapping)}
    rows = [
        {
            **base,
            "control": name,
            "value": value,
            "touched": _touched(parsed.origins[name], name, shown, guessed),
        }
        for name, value in parsed.values.items()
    ]
    for name, (said, why) in parsed.rejected.items():
        rows.append({**base, "control": name, "value": said, **_worse(status, reason, why)})
    return rows or [{**base, **_worse(status, reason, "it answers nothing")}]


def _base(
    annotation: Mapping[str, Any], data: Mapping[str, Any], people: Mapping[str, str] | None
) -> dict[str, Any]:
    """What all rows of an annotation have in common."""
    if annotation.get("id") is None:
        raise InputError(f"an annotation without an id: {str(annotation)[:200]}")
    return {
        "item": str(data["cur_item"]),
        "annotator": annotator_of(annotation.get("completed_by"), people),
        "round": int(data["cur_round"]),
        "control": "",
        "value": None,
        "skipped": bool(annotation.get("was_cancelled")),
        "created_at": read_time(annotation.get("created_at")),
        "touched": None,
        "updated_at": read_time(annotation.get("updated_at") or annotation.get("created_at")),
        "seconds": annotation.get("lead_time"),
        "key": str(data["cur_key"]),
        "answer_id": str(annotation["id"]),
        "gold": bool(annotation.get("ground_truth")),
        "hash": str(data["cur_hash"]),
    }


def _worse(status: str, reason: str | None, why: str) -> dict[str, Any]:
    """What keeps the whole annotation from counting says more than what is wrong with one value."""
    return {"status": "rejected", "reason": why} if status == "ok" else {"status": status, "reason": reason}


def _shown(annotation: Mapping[str, Any], predictions: Mapping[Any, Mapping[str, Any]]) -> Any:
    """The pre-annotation that was shown, as far as is known: what the annotation was started from."""
    parent = annotation.get("parent_prediction")
    if isinstance(parent, Mapping):
        return parent
    if parent is not None and parent in predictions:
        return predictions[parent]
    seen = annotation.get("prediction")
    if isinstance(seen, Mapping) and seen.get("model_version"):
        return seen
    return {} if parent is not None else None


def _touched(origins: tuple[str, ...], name: str, shown: Any, guessed: set[str]) -> bool | None:
    if shown is None or not origins:
        return None
    if any(origin == "prediction-changed" for origin in origins):
        return True
    if "manual" in origins:  # made by hand: instead of the guess, or where there was none
        return True if name in guessed or "prediction" in origins else None
    return False


def annotator_of(who: Any, people: Mapping[str, str] | None = None) -> str:
    """A name for whoever completed an annotation: an e-mail address where one is known, else the number.

    `who` is a number, an e-mail address, or an object with either, depending on where the annotation was read.
    Raises InputError where there is nobody.
    """
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    if who is None or who == "":
        raise InputError("an annotation by nobody: `completed_by` is empty")
    return str((people or {}).get(str(who), who))


def read_time(text: Any) -> datetime:
    """A moment in UTC, from ISO 8601; one without a zone is in UTC. Raises InputError for anything else."""
    if isinstance(text, datetime):
        moment = text
    else:
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            raise InputError(f"{text!r} is no time: 2026-01-31T12:00:00Z is meant") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
