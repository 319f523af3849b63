"""What a notebook shows of a store, a view, a selection and a run: fragments with their own style, no script.

Each is below `LARGEST` bytes: pictures are left out first, then items and charts. Nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from curate.contracts import Findings
from curate.counting import counted
from curate.report import words
from curate.report.cards import CardMaker, ChosenReasons, Layout, find_layout
from curate.report.decision import Decision, decide
from curate.report.evidence import FindingSet
from curate.report.excerpts import Excerpts
from curate.report.failures import count_rejected
from curate.report.findings import make_set
from curate.report.funnel import make_step
from curate.report.maps import MapOptions, collect_map
from curate.report.model import Card, Histogram, Section, Step
from curate.report.page import asset, environment
from curate.report.points import PointMap
from curate.report.scores import collect_histograms, score_columns
from curate.run.chosen import still_chosen
from curate.run.ledger import RunRecord
from curate.store import PartStore, Snapshot, StoreView

LARGEST = 300_000
MEDIA = 150_000
CARDS = 8
LINES = 40
CHARTS = 6
POINTS = 400


def store_html(store: PartStore) -> str:
    """What a store holds: items by kind, columns, selections, the first items, and the spread of each score."""
    snapshot, view = store.snapshot(), store.view()
    sections = [s for s in (_columns(snapshot), _selections(snapshot)) if s.rows]
    kinds = ", ".join(snapshot.kinds()) or "no kind yet"
    sentence = f"{words.items(snapshot.rows)} ({kinds}), version {snapshot.version}"
    rejected = count_rejected(store, snapshot)
    if rejected:
        sentence += (
            f"; {words.count(rejected)} {'row was' if rejected == 1 else 'rows were'} rejected at import"
        )
    decision = _undecided(view, snapshot)
    return _fit(store.path.name, f"{sentence}.", decision, sections=sections)


def view_html(view: StoreView) -> str:
    """The first rows of a view with thumbnails, and the spread of each score."""
    total = len(view)
    sentence = f"{words.items(total)}, {counted(len(view.columns), 'column')}."
    return _fit("View", sentence, _undecided(view, view.snapshot))


def selection_html(store: PartStore, name: str) -> str:
    """A stored selection: how it was made, its first items with rank and reason, where it lies among all items if these
    have vectors, and the scores in and out of it.

    Raises UnknownNameError if there is none of that name.
    """
    decision = decide(store, None, name)
    info = decision.snapshot.selections[name]
    total = len(decision.view)
    _, held = still_chosen(store, name, decision.view)
    sentence = f"{words.items(len(held))} of {words.count(total)} ({words.share(len(held), total)})."
    if len(held) < info.rows:
        sentence += f" {words.count(info.rows - len(held))} more were chosen, and deleted or replaced since."
    facts = [
        (key, words.plain(info.stats[key], 200))
        for key in ("selector", "budget", "params")
        if info.stats.get(key)
    ]
    facts += [("seed", str(info.seed))] if info.seed is not None else []
    random = info.stats.get("random") or {}
    facts += [(str(key), words.plain(value, 60)) for key, value in random.items()]
    sections = [Section("How it was made", ("", ""), tuple(facts))] if facts else []
    rows = held[:CARDS]
    badges = {int(row): f"rank {words.count(rank)}" for rank, row in enumerate(rows)}
    return _fit(
        f"Selection {name}", sentence, decision, store, sections=sections, rows=rows.tolist(), badges=badges
    )


def run_html(run: RunRecord) -> str:
    """The steps of a run with counts and reasons, and how long it took."""
    total = max((max(s.before, s.after) for s in run.steps), default=0)
    steps = tuple(make_step(step, total) for step in run.steps if step.kind != "report")
    reused = sum(step.reused for step in run.steps)
    sentence = f"{run.status}, {counted(len(run.steps), 'step')} ({reused} taken over) in {run.seconds:.1f} s, seed {run.seed}."
    return render_fragment(f"Run {run.run_id[:8]}", sentence, steps=steps)


def findings_html(name: str, found: Findings) -> str:
    """What an analysis found: the summary, then each finding with its chart and its table."""
    return render_fragment(name, "", findings=[make_set(name, found)])


def _columns(snapshot: Snapshot) -> Section:
    rows = tuple(
        (name, made.scorer, ", ".join(f for f in made.schema().names if f != f"{name}_reason"))
        for name, made in snapshot.sets.items()
    )
    return Section("Columns", ("name", "scorer", "columns"), _some(rows))


def _selections(snapshot: Snapshot) -> Section:
    rows = tuple(
        (name, words.count(info.rows), str(info.stats.get("selector", info.stats.get("kind", ""))))
        for name, info in snapshot.selections.items()
        if not name.startswith("keep-")
    )
    return Section("Selections", ("name", "items", "by"), _some(rows))


def _some(rows: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """The first rows of a table of three columns, and how many more there are."""
    more = len(rows) - LINES
    return rows if more <= 0 else (*rows[:LINES], (f"{more} more", "", ""))


def _undecided(view: StoreView, snapshot: Snapshot) -> Decision:
    return Decision(snapshot, view, view, view, np.zeros(len(view), dtype=np.int16))


def _fit(
    heading: str,
    sentence: str,
    decision: Decision,
    store: PartStore | None = None,
    *,
    sections: Sequence[Section] = (),
    rows: Sequence[int] | None = None,
    badges: dict[int, str] | None = None,
) -> str:
    """The fragment, made again with less in it until it is small enough."""
    columns = score_columns(decision)
    rows = list(range(min(CARDS, len(decision.view)))) if rows is None else rows
    charts = collect_histograms(decision, columns[:CHARTS]) if len(decision.view) else ()
    title = "Best items" if badges else "First items"
    reasons = ChosenReasons.of(store, decision) if store is not None else None
    mapped = _map(store, decision) if store is not None else None
    page = ""
    for media, cards, drawn in ((MEDIA, CARDS, CHARTS), (MEDIA // 3, CARDS, CHARTS), (0, 4, 3), (0, 0, 0)):
        excerpts = Excerpts(side=200, budget=media)
        maker = CardMaker(decision, _layout(decision), excerpts, reasons)
        made = maker.make(rows[:cards], columns[:3], badges)
        notes = (
            [f"{counted(len(columns) - drawn, 'more score is', 'more scores are')} not drawn."]
            if len(columns) > drawn
            else []
        )
        page = render_fragment(
            heading,
            sentence,
            sections=sections,
            cards=made,
            cards_title=title,
            histograms=charts[:drawn],
            notes=notes,
            mapped=mapped if drawn else None,
        )
        if len(page.encode("utf-8", "replace")) <= LARGEST:
            break
    return page


def _map(store: PartStore, decision: Decision) -> PointMap | None:
    """Where the kept items lie among all, without pictures."""
    bare = replace(_layout(decision), images=(), sounds=(), texts=())
    maker = CardMaker(decision, bare, Excerpts(budget=0), ChosenReasons.of(store, decision))
    return collect_map(store, maker, (), options=MapOptions(), most=POINTS)


def _layout(decision: Decision) -> Layout:
    return find_layout(decision.view, decision.snapshot.kinds())


def render_fragment(
    heading: str,
    sentence: str,
    *,
    sections: Sequence[Section] = (),
    steps: Sequence[Step] = (),
    cards: Sequence[Card] = (),
    cards_title: str = "",
    histograms: Sequence[Histogram] = (),
    notes: Sequence[str] = (),
    findings: Sequence[FindingSet] = (),
    pairs: Sequence[Card] = (),
    mapped: PointMap | None = None,
) -> str:
    """The fragment with its style; everything in it escaped."""
    return (
        environment()
        .get_template("notebook.html.j2")
        .render(
            css=Markup(asset("notebook.css")),
            heading=heading,
            sentence=sentence,
            sections=sections,
            steps=steps,
            cards=cards,
            cards_title=cards_title,
            histograms=histograms,
            notes=notes,
            findings=findings,
            pairs=pairs,
            mapped=mapped,
        )
    )
