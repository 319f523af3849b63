"""PartStore + RunRecord -> ReportData: asks each part of the report for its share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from curate.counting import counted
from curate.report import words
from curate.report.balance import collect_balances
from curate.report.cards import CardMaker, ChosenReasons, find_layout
from curate.report.contents import ReportData
from curate.report.decision import Decision, decide
from curate.report.disagreements import collect_disagreements
from curate.report.duplicates import collect_duplicates
from curate.report.elements import collect_elements
from curate.report.excerpts import Excerpts
from curate.report.failures import collect_failures, count_rejected, count_unscored
from curate.report.findings import collect_findings, serious
from curate.report.funnel import collect_steps, collect_timings
from curate.report.galleries import collect_galleries, main_scores
from curate.report.labels import collect_labels
from curate.report.maps import MapOptions, collect_map, quiet_maker
from curate.report.model import Tile
from curate.report.provenance import collect_provenance
from curate.report.rows import collect_table
from curate.report.scores import collect_flags, collect_histograms, score_columns
from curate.run.ledger import RunRecord
from curate.store import PartStore

MOST_HISTOGRAMS = 24


@dataclass(frozen=True)
class Limits:
    """How much of everything goes into a report. `thumbnail` is the side of a thumbnail on the page, in pixels."""

    table_rows: int = 2000
    gallery: int = 24
    groups: int = 12
    thumbnail: int = 160
    media_bytes: int = 12_000_000
    points: int = 1000

    def halve(self) -> Limits:
        """A smaller report."""
        return replace(
            self,
            table_rows=max(self.table_rows // 2, 10),
            gallery=self.gallery // 2,
            groups=self.groups // 2,
            media_bytes=self.media_bytes // 2,
            points=self.points // 2,
        )


def collect(
    store: PartStore,
    run: RunRecord | None = None,
    selection: str | None = None,
    title: str | None = None,
    *,
    limits: Limits | None = None,
    timings: bool = False,
    map_options: MapOptions | None = None,
) -> ReportData:
    """Everything the report says. Reads columns one at a time and, of the rows, only those that are shown."""
    limits = limits or Limits()
    decision = decide(store, run, selection)
    layout = find_layout(decision.view, decision.snapshot.kinds())
    excerpts = Excerpts(side=2 * limits.thumbnail, budget=limits.media_bytes)
    maker = CardMaker(decision, layout, excerpts, ChosenReasons.of(store, decision))
    small = quiet_maker(maker, limits.media_bytes // 2)
    columns = score_columns(decision)
    scores = main_scores(decision) if len(decision.view) else []
    cards = _collect_cards(maker, scores, limits)
    drawn = collect_map(store, small, scores, options=map_options or MapOptions(), most=limits.points)
    findings = collect_findings(store, run)
    unscored, rejected = count_unscored(decision), count_rejected(store, decision.snapshot)
    return ReportData(
        title=title or _name(store, run),
        sentence=write_sentence(decision, unscored, rejected),
        tiles=make_tiles(decision, unscored, rejected),
        notices=(
            *collect_notices(run, decision, excerpts.left_out + small.excerpts.left_out),
            *serious(findings),
        ),
        steps=collect_steps(run, decision),
        histograms=collect_histograms(decision, columns[:MOST_HISTOGRAMS]),
        histograms_left_out=max(0, len(columns) - MOST_HISTOGRAMS),
        flags=collect_flags(decision),
        map=drawn,
        findings=findings,
        **cards,
        balances=collect_balances(decision, layout),
        table=collect_table(decision, layout, limits.table_rows),
        failures=collect_failures(store, decision, run),
        provenance=collect_provenance(decision, run),
        timings=collect_timings(run, decision) if timings else None,
        thumbnail=limits.thumbnail,
        decided=decision.decided,
        kept_word=decision.kept_word,
    )


def _collect_cards(maker: CardMaker, scores: list[str], limits: Limits) -> dict[str, Any]:
    """The sections that show items one by one; in this order they use up the room for pictures and sounds."""
    return {
        "galleries": collect_galleries(maker, scores, limits.gallery),
        "elements": collect_elements(maker, limits.gallery),
        "disagreements": collect_disagreements(maker, scores, limits.gallery),
        "duplicates": collect_duplicates(maker, limits.groups) if limits.groups else (),
        "labels": collect_labels(maker, limits.gallery),
    }


def _name(store: PartStore, run: RunRecord | None) -> str:
    named = (run.recipe or {}).get("name") if run else None
    return str(named) if named else store.path.name


def write_sentence(decision: Decision, unscored: int, rejected: int) -> str:
    """What happened, in one or two sentences with exact counts."""
    total, dropped = len(decision.view), decision.count("dropped")
    if not total:
        text = "The store holds no items."
    elif not decision.decided:
        text = f"The store holds {words.items(total)}; nothing has been dropped or selected."
    else:
        text = f"{words.items(total)} went in, {words.count(dropped)} were dropped ({words.share(dropped, total)})"
        kept = f"{words.count(total - dropped)} kept"
        if decision.chosen:
            chosen = words.count(decision.count("selected"))
            text += f" and {kept}; of these, {chosen} are in the selection {decision.chosen}."
        else:
            text += f" and {kept}."
    also = [f"{words.items(unscored)} could not be scored by at least one scorer"] if unscored else []
    also += (
        [f"{words.count(rejected)} {'row was' if rejected == 1 else 'rows were'} rejected at import"]
        if rejected
        else []
    )
    return f"{text} {' and '.join(also)}." if also else text


def make_tiles(decision: Decision, unscored: int, rejected: int) -> tuple[Tile, ...]:
    """The headline numbers."""
    total, dropped = len(decision.view), decision.count("dropped")
    tiles = [Tile("Items in", total, ", ".join(decision.snapshot.kinds()))]
    if decision.decided:
        tiles.append(Tile("Dropped", dropped, words.share(dropped, total), "dropped"))
        tiles.append(
            Tile(
                "Kept",
                total - dropped,
                words.share(total - dropped, total),
                "passed" if decision.chosen else "kept",
            )
        )
    if decision.chosen:
        selected = decision.count("selected")
        tiles.append(Tile("Selected", selected, f"{decision.chosen}, {words.share(selected, total)}", "kept"))
    if decision.snapshot.sets:
        tiles.append(Tile("Not scored", unscored, "by at least one scorer", "bad" if unscored else "plain"))
    tiles.append(Tile("Rejected", rejected, "rows at import", "bad" if rejected else "plain"))
    return tuple(tiles)


def collect_notices(run: RunRecord | None, decision: Decision, left_out: int) -> tuple[str, ...]:
    """What a reader must know before believing the numbers."""
    notices = []
    keeps = [s for s in run.steps if s.kind == "keep" and not s.error] if run else []
    if keeps and keeps[-1].after != decision.passed:
        notices.append(
            f"The run recorded {words.items(keeps[-1].after)} after its last keep; the same conditions keep "
            f"{words.count(decision.passed)} of the items that the store holds now."
        )
    failed = [s for s in run.steps if s.error] if run else []
    if failed:
        notices.append(
            f"The run stopped at step {failed[0].ordinal} ({failed[0].title}): {words.shorten(str(failed[0].error), 400)}"
        )
    if left_out:
        notices.append(
            f"{counted(left_out, 'thumbnail or sound was', 'thumbnails or sounds were')} left out to keep the file "
            "small."
        )
    return tuple(notices)
