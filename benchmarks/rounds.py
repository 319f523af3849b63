"""Rounds: what asking again buys on real ratings and labels, beside the same number of answers at random.

    python benchmarks/rounds.py              # two minutes
    python benchmarks/rounds.py --out FILE   # the tables as Markdown

Real answers are read from $CURATE_DATA (default ../shared/data): 145 pictures rated by 22 people (three questions), and the
crowds of `crowd.py`. People are asked from those who really answered; what is held out judges.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from crowd import DATA, load

HELD_BACK = 9
"""Of each picture's raters so many may be asked; the mean of the others is the truth."""


def ratings(question: str) -> Any:
    """(pictures, raters) of whole numbers 1 to 5, NaN where somebody did not rate."""
    import polars as pl

    rows = pl.read_csv(DATA / "avt_ai_images" / "ratings_raw_2022_12_02.csv", infer_schema_length=None)
    rows = rows.filter(pl.col("rating_type") == f"range_{question}")
    wide = rows.group_by("stimuli_file", "user_ID").agg(pl.col("rating").last())
    table = wide.pivot("user_ID", index="stimuli_file", values="rating").sort("stimuli_file")
    return table.drop("stimuli_file").to_numpy().astype(np.float64)


def shuffled(table: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """For each picture its ratings in a random order: (n, 9) to be asked, and the mean of the rest."""
    asked, truth = np.empty((len(table), HELD_BACK)), np.empty(len(table))
    for i, row in enumerate(table):
        there = rng.permutation(row[~np.isnan(row)])
        asked[i], truth[i] = there[:HELD_BACK], there[HELD_BACK:].mean()
    return asked, truth


def votes(asked: Any, counts: Any) -> Any:
    """The first `counts` ratings of each picture, three a round."""
    import polars as pl

    rows = [
        (f"i{i:03d}", f"r{k}", 1 + k // 3, str(int(asked[i, k])))
        for i in range(len(asked))
        for k in range(int(counts[i]))
    ]
    return pl.DataFrame(rows, ["item", "annotator", "round", "value"], orient="row")


def rule_of_evalmuse(repeats: int) -> Iterator[tuple[object, ...]]:
    """Three ratings; where they lie 2 apart three more, twice. Error of the mean against raters who were not asked."""
    from curate.annotators.rounds import Rounds

    for question in ("prompt_matching", "realism", "image_appeal"):
        table = ratings(question)
        errors: dict[str, list[float]] = {"three": [], "newest": [], "all": [], "random": []}
        again, spent = [], []
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            asked, truth = shuffled(table, rng)
            counts = np.full(len(asked), 3)
            plans = {c: Rounds("overall", method="mean", most=3, count=c) for c in ("newest", "all")}  # type: ignore[arg-type]
            for _ in range(2):
                open_ = plans["all"].judge(votes(asked, counts)).ids("again")
                if len(again) == len(spent):
                    again.append(len(open_) / len(asked))
                counts[[int(item[1:]) for item in open_]] += 3
            spent.append(counts.sum() - 3 * len(asked))
            for how, plan in plans.items():
                units = plan.judge(votes(asked, counts)).units
                errors[how].append(rms(units["number"].to_numpy() - truth))
            errors["three"].append(rms(asked[:, :3].mean(1) - truth))
            more = np.full(len(asked), 3)
            for _ in range(int(spent[-1])):  # as many answers, wherever there is somebody left to ask
                more[rng.choice(np.flatnonzero(more < HELD_BACK))] += 1
            errors["random"].append(rms([asked[i, : more[i]].mean() - truth[i] for i in range(len(asked))]))
        yield (
            question.replace("_", " "),
            f"{np.mean(again):.0%}",
            f"{np.mean(spent):.0f}",
            *(f"{np.mean(errors[how]):.3f}" for how in ("three", "newest", "all", "random")),
        )


def promised_ratings(repeats: int) -> Iterator[tuple[object, ...]]:
    """Three ratings each, then 100 where `worth_of_rating` puts them: its error beside what was measured."""
    import polars as pl

    from curate.annotators.rounds import worth_of_rating

    for question in ("prompt_matching", "realism", "image_appeal"):
        table = ratings(question)
        seen: dict[str, list[float]] = {
            k: [] for k in ("now", "then", "random", "said now", "said then", "said random")
        }
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            asked, truth = shuffled(table, rng)
            rest = np.array([(~np.isnan(row)).sum() - HELD_BACK for row in table])
            frame = votes(asked, np.full(len(asked), 3)).with_columns(pl.col("value").cast(pl.Float64))
            worth = worth_of_rating(frame, 100)
            noise = asked.var(1, ddof=1) / rest  # the truth is a mean too
            best, by_chance = np.full(len(asked), 3), np.full(len(asked), 3)
            best[[int(item[1:]) for item in worth.where["item"]]] += worth.where["more"].to_numpy()
            by_chance[rng.choice(len(asked), 100, replace=False)] += 1
            for how, counts in (("now", np.full(len(asked), 3)), ("then", best), ("random", by_chance)):
                off = np.array([asked[i, : counts[i]].mean() - truth[i] for i in range(len(asked))])
                seen[how].append(float(np.sqrt(max((off**2 - noise).mean(), 0))))
            for how, value in (("now", worth.now), ("then", worth.then), ("random", worth.random)):
                seen[f"said {how}"].append(value)
        mean = {how: f"{np.mean(values):.3f}" for how, values in seen.items()}
        yield (
            question.replace("_", " "),
            *(mean[k] for k in ("said now", "now", "said then", "then", "said random", "random")),
        )


def promised_labels(repeats: int) -> Iterator[tuple[object, ...]]:
    """Three answers each, then 100 where `ask_again` puts them: expected share right beside what was measured."""
    import polars as pl
    from crowd import accuracy, add

    from curate.annotators.consensus import ask_again
    from curate.annotators.rounds import worth_of_asking

    for name in ("rte", "bluebird", "face"):
        answers, truth = load(name)
        seen: dict[str, list[float]] = {
            k: [] for k in ("now", "then", "random", "said now", "said then", "said random")
        }
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            rows = answers.sample(fraction=1, shuffle=True, seed=seed)
            rows = rows.with_columns(turn=pl.int_range(pl.len()).over("item"))
            have = pl.DataFrame({"item": truth["item"], "have": [3] * truth.height})
            known = rows.filter(pl.col("turn") < 3).select("item", "annotator", "value")
            worth = worth_of_asking(known, 100)
            plan = ask_again(known, target=1 - 1e-9, budget=100.0)
            chosen = dict(zip(plan["item"], plan["more"], strict=True))
            drawn = dict.fromkeys(
                rng.choice(truth["item"].to_numpy(), min(100, truth.height), replace=False).tolist(), 1
            )
            for how, counts in (("now", have), ("then", add(have, chosen)), ("random", add(have, drawn))):
                seen[how].append(accuracy(rows, counts, truth))
            for how, value in (("now", worth.now), ("then", worth.then), ("random", worth.random)):
                seen[f"said {how}"].append(value)
        mean = {how: f"{np.mean(values):.3f}" for how, values in seen.items()}
        yield (name, *(mean[k] for k in ("said now", "now", "said then", "then", "said random", "random")))


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    from _measure import markdown

    promised = ("said now", "now", "said after 100", "after 100", "said at random", "at random")
    tables = [
        "Error (RMS) of the mean rating, against raters who were not asked, scale 1 to 5\n",
        markdown(
            (
                "question",
                "asked again",
                "more answers",
                "three only",
                "newest round",
                "all rounds",
                "as many at random",
            ),
            rule_of_evalmuse(asked.repeats),
        ),
        "\nWhat 100 more ratings do to the error, said and seen\n",
        markdown(("question", *promised), promised_ratings(asked.repeats)),
        "\nWhat 100 more labels do to the share that is right, said and seen\n",
        markdown(("set", *promised), promised_labels(asked.repeats)),
    ]
    text = "\n".join(tables) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
