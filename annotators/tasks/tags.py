"""The tags of Label Studio's configurations, and where the result of each control lies."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CONTROLS", "ENTRIES", "OBJECTS", "VISUALS", "Tag"]


class Tag(NamedTuple):
    """`type` of its results, `key` in their value, `region`: whether it marks a place in what is shown."""

    type: str
    key: str
    region: bool = False


def _labels(name: str) -> Tag:
    return Tag(name.lower(), name.lower(), True)


CONTROLS: dict[str, Tag] = {
    "Choices": Tag("choices", "choices"),
    "Rating": Tag("rating", "rating"),
    "TextArea": Tag("textarea", "text"),
    "Number": Tag("number", "number"),
    "DateTime": Tag("datetime", "datetime"),
    "Taxonomy": Tag("taxonomy", "taxonomy"),
    "Pairwise": Tag("pairwise", "selected"),
    "Ranker": Tag("ranker", "ranker"),
    **{
        name: _labels(name)
        for name in (
            "Labels",
            "HyperTextLabels",
            "ParagraphLabels",
            "TimeSeriesLabels",
            "TimelineLabels",
            "RectangleLabels",
            "EllipseLabels",
            "PolygonLabels",
            "KeyPointLabels",
            "BrushLabels",
            "BitmaskLabels",
            "VectorLabels",
            "VideoVectorLabels",
            "OcrLabels",
        )
    },
    **{
        name: Tag(name.lower(), "", True)
        for name in (
            "Rectangle",
            "Ellipse",
            "Polygon",
            "KeyPoint",
            "Brush",
            "Bitmask",
            "Vector",
            "VideoRectangle",
            "VideoVector",
            "MagicWand",
            "Magicwand",
        )
    },
}
"""Tags that take an answer."""

OBJECTS = frozenset(
    [
        "Audio",
        "AudioPlus",
        "Chat",
        "HyperText",
        "Image",
        "List",
        "Paragraphs",
        "Pdf",
        "Table",
        "Text",
        "TimeSeries",
        "Video",
    ]
)
"""Tags that show something, and that a control's `toName` may mean."""

ENTRIES = frozenset(
    ["Choice", "Label", "Channel", "MultiChannel", "Bucket", "Relation", "Shortcut", "Timeseries"]
)
"""Tags that belong inside another."""

VISUALS = frozenset(
    [
        "View",
        "Header",
        "Style",
        "Collapse",
        "Panel",
        "Repeater",
        "Relations",
        "Filter",
        "Markdown",
        "ReactCode",
    ]
)
"""Tags that only arrange."""
