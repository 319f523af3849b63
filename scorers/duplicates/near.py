"""Items that look, read or embed nearly like another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import Scorer, View, detail, flag
from curate.errors import InputError, SchemaError
from curate.kinds import KINDS
from curate.scorers.duplicates.cosines import ColumnWork, whole
from curate.scorers.duplicates.hamming import Look, choose_images
from curate.scorers.duplicates.jaccard import Alike, choose_texts
from curate.scorers.duplicates.leaders import Leaders, Rows
from curate.scorers.duplicates.semdedup import Asked, choose_rows, usable_rows
from curate.scorers.duplicates.shingles import Unit
from curate.scorers.duplicates.signed import SignedPiece, ViewTexts
from curate.scorers.duplicates.verdicts import answer, reasons, rows_of

__all__ = ["NearDuplicate"]

_THUMB = "phash_thumb"
_MISSING = {
    "image": "no fingerprint: the image could not be opened",
    "text": "no text to compare",
    "embedding": "no vector to compare",
}
_BELONGS = {
    "distance": "image",
    "tolerance": "image",
    "similarity": "text",
    "unit": "text",
    "size": "text",
    "normalise": "text",
    "embedding": "embedding",
    "cosine": "embedding",
}
_BY_ROLE: dict[str, Literal["image", "text"]] = {"image": "image", "text": "text"}


@dataclass(frozen=True)
class NearDuplicate:
    """Flags items nearly like another that is kept, by image, text or embedding.

    Greedy, in the order of ids (or of `prefer`): an item is kept unless it is within the threshold of an item kept
    before it. So every dropped item is like a kept one, and no chain of small steps joins what is not alike. The order
    of the rows plays no part.

    `by`          "image": perceptual hashes within `distance` bits whose 4 x 4 colours differ by at most `tolerance`
                  grey levels on average. "text": Jaccard similarity of shingles of at least `similarity`. "embedding":
                  cosine of at least `cosine` in the column `embedding` (SemDeDup).
                  "auto": the embedding if one is named, else what the kind is: image before text.
    `unit`, `size`, `normalise`  what a shingle is; as for `minhash`, which proposes the candidates.
    `prefer`      a numeric column; the higher of two near-duplicates is kept, ties by id.

    Gives the flag; `near_duplicate_score`, 1 for kept items and 1 - similarity to the kept one for the others;
    `near_duplicate_of`, its id, the nearest of the kept; `near_duplicate_group`, a number shared by a kept item and
    all that are nearest to it, counted from 0 in the order of preference, null for items alone; and
    `near_duplicate_similarity`, null for kept items (image: 1 - bits / 64; text: Jaccard; embedding: cosine).
    """

    by: Literal["auto", "image", "text", "embedding"] = "auto"
    embedding: str = ""
    distance: int = 4
    tolerance: float = 32.0
    similarity: float = 0.7
    cosine: float = 0.95
    unit: Unit = "char"
    size: int = 5
    normalise: bool = True
    prefer: str | None = None

    name: ClassVar[str] = "near-duplicate"
    version: ClassVar[int] = 1

    def resolve(self, columns: Sequence[str], kind: str) -> NearDuplicate:
        """A copy with `by` decided for a kind of item and the columns there are.

        Raises InputError if an embedding is asked for and none is named, or there is neither image nor text to compare
        (two people may well read one sentence, so what has a sound and no image is not compared by its text unasked).
        """
        if self.by == "embedding" and not self.embedding:
            raise InputError(
                "near-duplicate by embedding: name its column, as embedding='pixel_embedding'. "
                f"Columns: {', '.join(columns)}"
            )
        if self.by != "auto":
            return self._checked()
        if self.embedding:
            return replace(self, by="embedding")._checked()
        roles = KINDS[kind].roles if kind in KINDS else {"image": ("image",), "text": ("text",)}
        ready = {"image": {"phash"}, "text": {"minhash"}}
        spoken = bool(set(roles.get("audio", ())) & set(columns)) and "image" not in columns
        for role, by in _BY_ROLE.items():
            if not spoken and (ready[role] | set(roles.get(role, ()))) & set(columns):
                return replace(self, by=by)._checked()
        if spoken:
            raise InputError(
                "near-duplicate: sounds are compared by an embedding: score sound-embedding and name its column, "
                "embedding='sound_embedding'. By their text alone, as if nothing were said twice: by='text'. "
                f"Columns: {', '.join(columns)}"
            )
        raise InputError(
            f"near-duplicate: items of kind {kind!r} have neither image nor text to compare. Score an encoder and name "
            f"its column: embedding=... Columns: {', '.join(columns)}"
        )

    def _checked(self) -> NearDuplicate:
        """Refuse a parameter that this way of comparing has no use for: it would be ignored without a word."""
        for field in fields(self):
            owner = _BELONGS.get(field.name, self.by)
            if owner != self.by and getattr(self, field.name) != field.default:
                own = ", ".join(name for name, way in _BELONGS.items() if way == self.by)
                raise InputError(
                    f"near-duplicate by {self.by} has no use for {field.name}={getattr(self, field.name)!r}, which "
                    f"belongs to by={owner!r}. Its own: {own}"
                )
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        by: dict[str, tuple[str, ...]] = {
            "auto": (),
            "image": ("phash",),
            "text": ("minhash", "text"),
            "embedding": (self.embedding,) if self.embedding else (),
        }
        return (*by[self.by], *((self.prefer,) if self.prefer else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            flag("near_duplicate"),
            detail("near_duplicate_score", pa.float32()),
            detail("near_duplicate_of", pa.string()),
            detail("near_duplicate_group", pa.int32()),
            detail("near_duplicate_similarity", pa.float32()),
        )

    def fit(self, view: View) -> Scorer:
        chosen = self.resolve(view.columns, "")
        order = _preference(view, self.prefer)
        find = {"image": chosen._by_image, "text": chosen._by_text, "embedding": chosen._by_embedding}
        leaders, usable = find[chosen.by](view, order)
        followers = np.flatnonzero(~leaders.kept)
        ids = view.take(leaders.leader[followers], ["id"]).column("id").combine_chunks().cast(pa.string())
        groups = _groups(leaders, order)
        return _Fitted(leaders, followers, ids, groups, usable, _MISSING[chosen.by], self.gives)

    def _by_image(self, view: View, order: Rows) -> tuple[Leaders, npt.NDArray[np.bool_]]:
        parts = list(view.spread(_hashes))
        hashes = np.concatenate([np.empty(0, np.uint64), *(hashes for hashes, _ in parts)])
        usable = np.concatenate([np.zeros(0, np.bool_), *(usable for _, usable in parts)])
        ranked = order[usable[order]]
        colours = ColumnWork(view, _THUMB) if _THUMB in view.columns else None
        found = choose_images(hashes[ranked], Look(colours, ranked, self.distance, self.tolerance))
        return _unrank(found, ranked, len(view)), usable

    def _by_text(self, view: View, order: Rows) -> tuple[Leaders, npt.NDArray[np.bool_]]:
        alike = Alike(self.similarity, self.unit, self.size, self.normalise)
        with view.resident(SignedPiece) as held:
            usable = np.concatenate([np.zeros(0, np.bool_), *held.ask("usable")])
            ranked = order[usable[order]]
            widths: list[int] = held.ask("width") or [1]
            found = choose_texts(ViewTexts(view, held, widths[0]), ranked, alike)
        return _unrank(found, ranked, len(view)), usable

    def _by_embedding(self, view: View, order: Rows) -> tuple[Leaders, npt.NDArray[np.bool_]]:
        work = ColumnWork(view, self.embedding)
        usable = np.concatenate([np.zeros(0, np.bool_), *(rows for rows, _ in work.spread(usable_rows))])
        vectors = whole(view.vectors(self.embedding))
        return choose_rows(work, vectors, usable, order, Asked(self.cosine)), usable


def _preference(view: View, prefer: str | None) -> Rows:
    """Rows from the best to the worst: by `prefer` descending, nulls last, then by id."""
    names = ["id", *([prefer] if prefer else [])]
    keys = [(prefer, "descending"), ("id", "ascending")] if prefer else [("id", "ascending")]
    order = pc.sort_indices(view.to_arrow(names), sort_keys=keys)  # nulls come last by default
    return np.asarray(order.to_numpy(), np.int64)


def _hashes(piece: View, first: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """The perceptual hashes of a piece, 0 where null, and where it is not."""
    column = piece.to_arrow(["phash"]).column(0).combine_chunks()
    if not pa.types.is_integer(column.type):
        raise SchemaError(f"column 'phash' is {column.type}, not a 64-bit hash. Score phash anew")
    return pc.fill_null(column, 0).to_numpy().astype(np.uint64), pc.is_valid(column).to_numpy(
        zero_copy_only=False
    )


def _unrank(found: Leaders, ranked: Rows, n: int) -> Leaders:
    """The choice among ranked rows, as a choice among all; rows that were not ranked are like nothing."""
    leader, similarity = np.arange(n, dtype=np.int64), np.full(n, np.nan, np.float32)
    leader[ranked], similarity[ranked] = ranked[found.leader], found.similarity
    return Leaders(leader, similarity)


def _groups(leaders: Leaders, order: Rows) -> npt.NDArray[np.int32]:
    """(n,) the number of each item's group, -1 for items alone."""
    followed = np.zeros(len(order), np.bool_)
    followed[leaders.leader[~leaders.kept]] = True
    number = np.full(len(order), -1, np.int32)
    heads = order[followed[order]]
    number[heads] = np.arange(len(heads))
    return np.asarray(number[leaders.leader], np.int32)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The choice among all rows of the view, and the ids of the leaders of `followers` (ascending rows)."""

    leaders: Leaders
    followers: Rows
    ids: pa.StringArray
    groups: npt.NDArray[np.int32]
    usable: npt.NDArray[np.bool_]
    missing: str
    gives: tuple[pa.Field, ...]

    name: ClassVar[str] = NearDuplicate.name
    version: ClassVar[int] = NearDuplicate.version
    processes: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = rows_of(batch)
        kept, missing = self.leaders.leader[rows] == rows, ~self.usable[rows]
        similarity, groups = self.leaders.similarity[rows], self.groups[rows]
        score = np.where(kept, np.float32(1), 1 - similarity).astype(np.float32)
        columns = [
            pa.array(~kept, mask=missing),
            pa.array(score, mask=missing),
            self.ids.take(pa.array(np.searchsorted(self.followers, rows), mask=kept)),
            pa.array(groups, mask=groups < 0),
            pa.array(similarity, mask=kept),
            reasons(missing, self.missing),
        ]
        return answer(self.name, self.gives, columns)
