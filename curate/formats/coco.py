"""COCO annotations as rows: an image each, with the names of the categories that its annotations have."""

from __future__ import annotations

import re
from typing import Any

from curate.errors import SchemaError

__all__ = ["begins_coco", "image_rows"]

_BEGINS = re.compile(rb'\{\s*"(info|licenses|images|annotations|categories)"\s*:')
_LISTS = ("images", "annotations", "categories")


def begins_coco(start: bytes) -> bool:
    """Whether a file that starts so may be COCO's one document, which often has no line breaks."""
    return _BEGINS.match(start) is not None


def image_rows(document: Any) -> list[dict[str, Any]] | None:
    """`id`, `image` (its `file_name`), `labels` in the order of the categories; None for what is no COCO document.

    An image without annotations has no labels. Annotations of images that are not listed are passed over.
    Raises SchemaError for a category that is not listed, annotations without one (COCO's captions), and entries that lack
    what COCO's have.
    """
    if not isinstance(document, dict) or not all(isinstance(document.get(name), list) for name in _LISTS):
        return None
    try:
        return _rows(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise SchemaError(
            f"an entry of {', '.join(_LISTS)} is none of COCO's ({type(error).__name__}: {error}): images have id and file_name, "
            "annotations image_id and category_id, categories id and name"
        ) from error


def _rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    names = {one["id"]: str(one["name"]) for one in document["categories"]}
    place = {category: number for number, category in enumerate(names)}
    held: dict[Any, set[Any]] = {one["id"]: set() for one in document["images"]}
    for one in document["annotations"]:
        category = one.get("category_id")
        if category not in names:
            raise SchemaError(
                f"annotation {one.get('id')!r} has the category {category!r}, which the file does not list "
                f"(it lists {len(names)}): annotations of objects are meant"
            )
        if one["image_id"] in held:
            held[one["image_id"]].add(category)
    return [
        {
            "id": str(one["id"]),
            "image": one["file_name"],
            "labels": [names[c] for c in sorted(held[one["id"]], key=place.__getitem__)],
        }
        for one in document["images"]
    ]
