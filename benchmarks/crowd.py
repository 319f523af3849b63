"""Crowds: our aggregators beside crowd-kit's, CROWDLAB beside cleanlab's, asking again beside asking at random.

    python benchmarks/crowd.py                          # ours, and cleanlab's CROWDLAB: a minute
    python benchmarks/crowd.py --crowdkit PYTHON        # also crowd-kit's fast methods, by an interpreter that has it
    python benchmarks/crowd.py --crowdkit PYTHON --slow # and GLAD, MACE, M-MSR: a quarter of an hour
    python benchmarks/crowd.py --out FILE               # the tables as Markdown

Real crowds are read from $CURATE_DATA (default ../shared/data). Each contestant reads prepared CSV and runs in a process of
its own; CPU seconds are of the method alone, memory of the process. No method sees the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = ("rte", "bluebird", "face", "product", "pos")
OURS = ("auto", "majority", "one-coin", "dawid-skene", "dawid-skene-flat", "mace", "glad")
THEIRS = ("MajorityVote", "Wawa", "ZeroBasedSkill", "DawidSkene", "OneCoinDawidSkene", "KOS")
SLOW = ("GLAD", "MACE", "MMSR")
RANDOM = "one answer at random"


# --- Data -----------------------------------------------------------------------------------------------------------


def load(name: str) -> tuple[Any, Any]:
    """Answers (item, annotator, value) and truth (item, truth), all as strings."""
    import polars as pl

    if name == "rte":
        path = DATA / "crowd_snow2008" / "all_collected_data" / "rte.standardized.tsv"
        rows = pl.read_csv(path, separator="\t", infer_schema=False)
        answers = rows.select(item="orig_id", annotator="!amt_worker_ids", value="response")
        return answers, rows.select(item="orig_id", truth="gold").unique()
    if name == "pos":
        lines = (DATA / "crowd_pos" / "gimpel_crowdsourced-tf.tsv").read_text().splitlines()
        cells = [line.split("\t") for line in lines if line.count("\t") >= 3]
        said = [(str(i), f"w{w}", v) for i, c in enumerate(cells) for w, v in enumerate(c[2].split(",")) if v]
        truth = {"item": [str(i) for i in range(len(cells))], "truth": [c[3] for c in cells]}
        return pl.DataFrame(said, ["item", "annotator", "value"], orient="row"), pl.DataFrame(truth)
    if name == "synthetic":
        return synthetic()
    folder = DATA / "crowd_truth_infer" / name
    answers = pl.read_csv(folder / "answer.csv", infer_schema=False)
    truth = pl.read_csv(folder / "truth.csv", infer_schema=False).rename({"question": "item"})
    return answers.select(item="question", annotator="worker", value="answer"), truth


def synthetic(items: int = 20_000, each: int = 5, people: int = 200, k: int = 5) -> tuple[Any, Any]:
    """Annotators right with chance Beta(4, 2), wrong answers spread evenly."""
    import polars as pl

    rng = np.random.default_rng(0)
    truth, skill = rng.integers(0, k, items), rng.beta(4, 2, people)
    item = np.repeat(np.arange(items), each)
    who = np.concatenate([rng.choice(people, each, replace=False) for _ in range(items)])
    right = rng.random(len(item)) < skill[who]
    value = np.where(right, truth[item], (truth[item] + rng.integers(1, k, len(item))) % k)
    names = [np.char.add("t", np.arange(items).astype(str))[item], np.char.add("w", who.astype(str))]
    answers = pl.DataFrame({"item": names[0], "annotator": names[1], "value": value.astype(str)})
    return answers, pl.DataFrame({"item": [f"t{i}" for i in range(items)], "truth": truth.astype(str)})


def prepare(folder: Path) -> None:
    for name in (*SETS, "synthetic"):
        answers, truth = load(name)
        answers.write_csv(folder / f"{name}.csv")
        truth.write_csv(folder / f"{name}.truth.csv")


# --- Contestants: each prints accuracy, and CPU seconds of the method -----------------------------------------------


def run_ours(folder: Path, name: str, method: str) -> None:
    import polars as pl

    from curate.annotators.consensus import aggregate

    answers = pl.read_csv(folder / f"{name}.csv", infer_schema=False)
    truth = pl.read_csv(folder / f"{name}.truth.csv", infer_schema=False)
    start = time.process_time()
    if method == RANDOM:
        settled = answers.sample(fraction=1, shuffle=True, seed=0).unique("item", keep="first")
    else:
        settled = aggregate(answers, method)
    seconds = time.process_time() - start
    joined = truth.join(settled, "item", "left")
    print(json.dumps({"accuracy": float((joined["value"] == joined["truth"]).mean()), "cpu": seconds}))


def run_crowdkit(folder: Path, name: str, method: str) -> None:
    import warnings

    warnings.filterwarnings("ignore")
    import crowdkit.aggregation as crowdkit
    import pandas as pd

    answers = pd.read_csv(folder / f"{name}.csv", dtype=str)
    answers.columns = ["task", "worker", "label"]
    truth = pd.read_csv(folder / f"{name}.truth.csv", dtype=str).set_index("item")["truth"]
    options = {"DawidSkene": {"n_iter": 100}, "OneCoinDawidSkene": {"n_iter": 100}}.get(method, {})
    start = time.process_time()
    try:
        labels = getattr(crowdkit, method)(**options).fit_predict(answers)
    except Exception as error:  # binary only, out of its depth ...: part of the result
        print(json.dumps({"error": f"{type(error).__name__}: {str(error)[:60]}"}))
        return
    seconds = time.process_time() - start
    print(json.dumps({"accuracy": float((labels.reindex(truth.index) == truth).mean()), "cpu": seconds}))


# --- Tables ---------------------------------------------------------------------------------------------------------


def compare(folder: Path, crowdkit: str, slow: bool) -> Iterator[tuple[object, ...]]:
    """A row for each method: accuracy on each set, CPU seconds and memory on the synthetic one."""
    from _measure import measure  # not at the top: a child under another interpreter may lack what it needs

    contestants = [(sys.executable, "ours", m) for m in (*OURS, RANDOM)]
    if crowdkit:
        contestants += [(crowdkit, "crowdkit", m) for m in (*THEIRS, *(SLOW if slow else ()))]
    for python, who, method in contestants:
        scores, last = [], None
        for name in (*SETS, "synthetic"):
            if (method, name) == ("MMSR", "synthetic"):
                scores.append(None)  # takes 8 GB
                continue
            last = measure([python, __file__, "--child", who, name, method, str(folder)], timeout=3600)
            scores.append(last.result.get("accuracy"))
        real = [s for s in scores[:-1] if s is not None]
        assert last is not None
        yield (
            method if method == RANDOM else f"{'curate' if who == 'ours' else 'crowd-kit'} {method}",
            *("–" if s is None else f"{s:.4f}" for s in scores[:-1]),
            f"{np.mean(real):.4f}" if len(real) == len(SETS) else "–",
            *(
                ("–",) * 3
                if scores[-1] is None
                else (f"{scores[-1]:.4f}", f"{last.result['cpu']:.2f}", f"{last.rss:.0f}")
            ),
        )


def with_a_model() -> Iterator[tuple[object, ...]]:
    """CIFAR-10N: three human labels an image (no annotator ids: three columns), ResNet-18 probabilities."""
    import polars as pl

    from curate.annotators.consensus import aggregate

    with np.load(DATA / "cifar_n" / "cifar10n.npz") as data:
        given = np.stack([data[f"random_label{i}"] for i in (1, 2, 3)], axis=1).astype(np.int64)
        truth = data["clean_label"].astype(np.int64)
    with np.load(DATA / "led_pred_probs" / "cifar10n_aggregate_resnet18.npz") as data:
        probs = data["pred_probs"].astype(np.float64)
    n = len(truth)
    answers = pl.DataFrame(
        {"item": np.repeat(np.arange(n), 3), "annotator": np.tile(np.arange(3), n), "value": given.ravel()}
    )
    runs: dict[str, Callable[[], Any]] = {
        RANDOM: lambda: given[np.arange(n), np.random.default_rng(0).integers(0, 3, n)],
        "curate majority": lambda: aggregate(answers, "majority")["value"].to_numpy(),
        "curate auto (no model)": lambda: aggregate(answers)["value"].to_numpy(),
        "the model alone": lambda: probs.argmax(1),
        "curate crowdlab": lambda: aggregate(answers, "crowdlab", model=probs)["value"].to_numpy(),
        "cleanlab crowdlab": lambda: cleanlab_crowdlab(given, probs),
    }
    for name, run in runs.items():
        start = time.process_time()
        value = run()
        yield name, f"{(value == truth).mean():.4f}", f"{time.process_time() - start:.2f}"


def cleanlab_crowdlab(given: Any, probs: Any) -> Any:
    from cleanlab.multiannotator import get_label_quality_multiannotator

    found = get_label_quality_multiannotator(given, probs, verbose=False)
    return found["label_quality"].sort_index()["consensus_label"].to_numpy()


def asking(repeats: int = 10) -> Iterator[tuple[object, ...]]:
    """Three answers an item to begin with; the same number more, in three rounds, by `ask_again` or at random."""
    import polars as pl

    from curate.annotators.consensus import aggregate, ask_again

    for name in ("rte", "face", "bluebird"):
        answers, truth = load(name)
        n = truth.height
        for share in (0.25, 0.5, 1.0):
            scores: dict[str, list[float]] = {"start": [], "ask_again": [], "random": []}
            for seed in range(repeats):
                rows = answers.sample(fraction=1, shuffle=True, seed=seed)
                rows = rows.with_columns(turn=pl.int_range(pl.len()).over("item"))
                have = {
                    how: pl.DataFrame({"item": truth["item"], "have": [3] * n})
                    for how in ("ask_again", "random")
                }
                scores["start"].append(accuracy(rows, have["random"], truth))
                rng = np.random.default_rng(seed)
                limit = dict(rows.group_by("item").len().iter_rows())
                for _ in range(3):
                    step = round(n * share / 3)
                    known = visible(rows, have["ask_again"])
                    open_ = [item for item, count in have["ask_again"].iter_rows() if count < limit[item]]
                    plan = ask_again(known, target=0.999).filter(pl.col("item").is_in(open_))
                    more = dict.fromkeys(plan["item"].to_list()[:step], 1)
                    have["ask_again"] = add(have["ask_again"], more)
                    open_ = [item for item, count in have["random"].iter_rows() if count < limit[item]]
                    more = dict.fromkeys(
                        rng.choice(open_, min(len(more), len(open_)), replace=False).tolist(), 1
                    )
                    have["random"] = add(have["random"], more)
                for how in ("ask_again", "random"):
                    scores[how].append(accuracy(rows, have[how], truth))
            everything = aggregate(answers).join(truth, "item")
            full = float((everything["value"] == everything["truth"]).mean())
            bought = int(have["ask_again"]["have"].sum() - 3 * n)
            mean = {how: f"{np.mean(values):.4f}" for how, values in scores.items()}
            yield name, bought, mean["start"], mean["ask_again"], mean["random"], f"{full:.4f}"


def visible(rows: Any, have: Any) -> Any:
    import polars as pl

    return (
        rows.join(have, "item").filter(pl.col("turn") < pl.col("have")).select("item", "annotator", "value")
    )


def accuracy(rows: Any, have: Any, truth: Any) -> float:
    from curate.annotators.consensus import aggregate

    joined = truth.join(aggregate(visible(rows, have)), "item")
    return float((joined["value"] == joined["truth"]).mean())


def add(have: Any, more: dict[str, int]) -> Any:
    import polars as pl

    extra = pl.DataFrame(
        {"item": list(more), "more": list(more.values())}, schema={"item": pl.String, "more": pl.Int64}
    )
    joined = have.join(extra, "item", "left")
    return joined.select("item", have=pl.col("have") + pl.col("more").fill_null(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--crowdkit", default="", help="a Python that can import crowd-kit")
    parser.add_argument("--slow", action="store_true", help="also crowd-kit's GLAD, MACE and M-MSR")
    parser.add_argument("--repeats", type=int, default=10, help="of asking again")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        who, name, method, folder = asked.child
        (run_ours if who == "ours" else run_crowdkit)(Path(folder), name, method)
        return
    from _measure import markdown

    tables = []
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch))
        head = ("method", *SETS, "mean", "synthetic", "CPU s there", "peak MB")
        tables.append("Accuracy; 100,000 synthetic answers (20,000 x 5, 200 annotators, 5 values) for time\n")
        tables.append(markdown(head, compare(Path(scratch), asked.crowdkit, asked.slow)))
    tables.append("\nCIFAR-10N, 50,000 x 3 answers, with a model\n")
    tables.append(markdown(("method", "accuracy", "CPU s"), with_a_model()))
    tables.append("\nThree answers an item, then more one at a time in three rounds: accuracy\n")
    tables.append(
        markdown(
            ("set", "more answers", "before", "ask_again", "at random", "with all answers"),
            asking(asked.repeats),
        )
    )
    text = "\n".join(tables) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
