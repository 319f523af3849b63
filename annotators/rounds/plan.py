"""`Rounds`: how one question is asked again until people agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from curate.annotators.consensus.aggregation import NUMERIC, Method
from curate.annotators.rounds.rules import Rule, Spread
from curate.annotators.rounds.status import RoundStatus, status_of
from curate.annotators.tasks import PreAnnotations, PushReceipt, Template
from curate.errors import InputError

__all__ = ["Rounds"]


@dataclass(frozen=True)
class Rounds:
    """One question, asked again of more people where they do not agree, at most so often, then of an expert.

    The defaults are the rule of EvalMuse: three people; where their ratings lie 2 or more apart, three more.

    `control` is the question; with `*` (`element_*`) each of several is decided by itself, and an item is asked again if
    any of them is open. `rules` must all agree. `first` and `more` answers are wanted in the first and in each further
    round, `most` rounds there are before `experts` (names of annotators; answers that the source marks as ground
    truth are theirs too) decide; without experts what is left is undecided.
    `method` of the aggregators makes the consensus ("mean", "auto", "ordinal-dawid-skene", ...; `values` is the order,
    lowest first; where answers are sets of labels it decides each label by itself), out of the votes of "all" rounds (of one person the newest) or of the "newest" alone: `count`.
    `gold` are items whose value is known: who is right in less than `trust` of at least `gold_least` of them does not
    count (`tolerance`: how far off a number is still right). `aside` names another control and its value by which people
    say that the question makes no sense: `{"problem": "prompt makes no sense"}`; half of them are enough.
    `price` of an answer and `wage` of an hour, in any currency, add up to the cost.
    """

    control: str
    rules: tuple[Rule, ...] = (Spread(2.0),)
    first: int = 3
    more: int = 3
    most: int = 3
    experts: tuple[str, ...] = ()
    method: Method = "auto"
    values: tuple[str, ...] = ()
    count: Literal["newest", "all"] = "all"
    gold: Mapping[str, str] = field(default_factory=dict)
    trust: float = 0.0
    gold_least: int = 5
    tolerance: float = 0.0
    aside: Mapping[str, str] = field(default_factory=dict)
    price: float = 0.0
    wage: float = 0.0

    def __post_init__(self) -> None:
        for name in ("first", "more", "most", "gold_least"):
            if getattr(self, name) < 1:
                raise InputError(f"Rounds: {name}={getattr(self, name)}: at least 1 is meant")
        if not 0 <= self.trust <= 1:
            raise InputError(f"Rounds: trust={self.trust}: a share from 0 to 1 is meant")
        if self.price < 0 or self.wage < 0:
            raise InputError(f"Rounds: price={self.price}, wage={self.wage}: nobody pays for answering")
        if not self.rules:
            raise InputError("Rounds: no rules: nothing would ever be asked again")

    @property
    def numeric(self) -> bool:
        """Whether answers are numbers by what is done with them: labels that look like numbers are labels."""
        ordered = self.method.startswith("ordinal") and not self.values
        return self.method in NUMERIC or ordered or any(isinstance(rule, Spread) for rule in self.rules)

    def judge(self, answers: Any, items: Any = None) -> RoundStatus:
        """Where every item stands; `answers` is `store.answers` or a frame (see `read_votes`), `items` those that were
        asked, answered or not."""
        return status_of(self, answers, items)

    def advance(
        self,
        store: Any,
        annotator: Any,
        *,
        template: str | Template,
        params: Mapping[str, Any] | None = None,
        guesses: PreAnnotations | Mapping[str, Any] | None = None,
        expert: Any = None,
        **more: Any,
    ) -> list[PushReceipt]:
        """Push what is open into its next round: items to be asked again, and (after the last round) those for experts.

        Pushing what was pushed changes nothing, so this may be called as often as one likes. Returns a receipt for each
        round. `expert` is the annotator through which experts are asked, where that is another one (one answer suffices);
        `more` goes to the annotator's `push` as it is.
        """
        receipts = []
        for round, ids in self.judge(store.answers).next().items():
            through = expert if expert is not None and round > self.most else annotator
            asked = {"template": template, "params": params, "ids": ids, "round": round, "guesses": guesses}
            receipts.append(through.push(store, **asked, **more))
        return receipts

    def settle(self, store: Any, name: str, items: Iterable[Any] | None = None) -> Any:
        """Write what is decided into the store, as columns: `name` (the label, a number where all are, a list where answers are
        sets of labels), and
        `<name>_probability`, `<name>_answers` (how many it is made of), `<name>_rounds`, `<name>_state`, `<name>_why`.

        What is not decided has a state and a null label. The columns know which rules, method and answers they come from.
        Settling again after more answers replaces them; `store.at` shows the earlier. Returns the step's record.
        """
        from curate.annotators.rounds.settling import settle

        return settle(self, store, name, items)
