"""Faulty questions, contamination and preference pairs: quality beside random and beside simpler scores, and speed.

    python benchmarks/text_noise.py                # all, about five minutes on two cores
    python benchmarks/text_noise.py questions      # mmlu_redux: any fault, by type, and the suggested keys
    python benchmarks/text_noise.py speed          # Min-K per token beside a bare forward pass, and from columns
    python benchmarks/text_noise.py members        # a tiny model trained here: members against texts it has not seen
    python benchmarks/text_noise.py pairs          # CHES on hh_rlhf with a random model: does it run, and nothing more

Data: the folder in CURATE_DATA, or ../shared/data. Each score has one fixed configuration, its default, and sees no truth. But
mmlu_redux is the only such data at hand: that groups matter, and that richer models (classes of difficulty, a class of
questions without an answer, accuracies by subject) gain nothing, was seen on it. The discount for models that err together
was chosen so that copies of a model count as one; others would have given a higher AP.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _measure import markdown

DATA = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def quality(truth: Mask, score: Floats) -> str:
    """AP / AUROC of a score that is high where the truth is true."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return f"{average_precision_score(truth, score):.3f} / {roc_auc_score(truth, score):.3f}"


# --- Faulty questions -----------------------------------------------------------------------------------------------


def read_questions() -> dict[str, npt.NDArray[Any]]:
    """MMLU-Redux joined with the answers of ten models; "expert" (nobody decided) is left out."""
    asked: dict[tuple[str, str], list[dict[str, str]]] = {}
    folder = DATA / "mmlu_redux"
    with zipfile.ZipFile(folder / "original_helm_combined.zip") as archive:
        for name in sorted(archive.namelist()):
            for row in csv.DictReader(io.TextIOWrapper(archive.open(name), "utf-8")):
                asked.setdefault((Path(name).stem, plain(row["question"])), []).append(row)
    found: dict[str, list[Any]] = {n: [] for n in ("answers", "key", "subject", "type", "correct")}
    for path in sorted((folder / "mmlu_redux").glob("*.csv")):
        text = path.read_text("utf-8", errors="replace")
        separator = ";" if text.partition("\n")[0].count(";") > 3 else ","
        subject = path.stem.removeprefix("mmlu_")
        for row in csv.DictReader(io.StringIO(text), delimiter=separator):
            same = asked.get((subject, plain(row["question"])), [])
            kind = re.sub("[^a-z]+", " ", row["error_type"].lower()).strip()
            if not same or kind == "expert":
                continue
            best = max(same, key=lambda r: plain(r["choices"]) == plain(row["choices"]))
            letters = [v.strip() for k, v in best.items() if k not in ("question", "choices")]
            found["answers"].append(["ABCD".find(a) if len(a) == 1 else -1 for a in letters])
            found["key"].append(int(row["answer"]))
            found["subject"].append(subject)
            found["type"].append(kind)
            right = row["correct_answer"].strip()
            place = "ABCD".find(right) if len(right) == 1 and right.isalpha() else -1
            found["correct"].append(int(right) if right in ("0", "1", "2", "3") else place)
    return {name: np.array(values) for name, values in found.items()}


def plain(text: str) -> str:
    return re.sub("[^a-z0-9]+", "", text.lower())


def questions() -> None:
    from curate.scorers.text import faulty_questions

    data = read_questions()
    groups = np.unique(data["subject"], return_inverse=True)[1]
    start = time.process_time()
    alone = faulty_questions(data["answers"], data["key"], options=4)
    grouped = faulty_questions(data["answers"], data["key"], options=4, groups=groups)
    seconds = (time.process_time() - start) / 2
    in_group = np.bincount(groups, grouped.against) / np.bincount(groups)
    scores = {
        "random": np.random.default_rng(0).random(len(groups)),
        "share of models against the key": grouped.against,
        "the same + its mean in the subject (no scorer of ours)": grouped.against + in_group[groups],
        "entropy of the answers": grouped.entropy,
        "- discrimination (point-biserial)": np.nan_to_num(-grouped.discrimination, nan=0.0),
        "faulty-questions": -alone.score,
        "faulty-questions, group=subject": -grouped.score,
    }
    flags = {
        "most models chose one other option": majority(data["answers"], data["key"]),
        "faulty-questions": (alone.flagged, alone.suggested),
        "faulty-questions, group=subject": (grouped.flagged, grouped.suggested),
    }
    print(f"\n{len(groups)} questions of {groups.max() + 1} subjects; ours {seconds:.2f} CPU s\n")
    print_scores(data["type"], groups, scores)
    print_flags(data, flags)


def print_scores(kinds: npt.NDArray[Any], groups: npt.NDArray[np.int64], scores: dict[str, Floats]) -> None:
    """AP / AUROC for any fault, on both halves of the subjects, and for each type of fault against sound questions."""
    faulty = kinds != "ok"
    names = sorted(set(kinds) - {"ok"}, key=lambda k: -int((kinds == k).sum()))
    odd = np.isin(groups, np.unique(groups)[::2])
    parts = {"any fault": faulty | ~faulty, "subjects 1, 3, ...": odd, "subjects 2, 4, ...": ~odd}
    parts |= {name: np.isin(kinds, ["ok", name]) for name in names}
    head = ["AP / AUROC", *(f"{name} ({faulty[part].sum()})" for name, part in parts.items())]
    rows = [[name, *(quality(faulty[p], score[p]) for p in parts.values())] for name, score in scores.items()]
    print(markdown(head, rows))


def print_flags(
    data: dict[str, npt.NDArray[Any]], flags: dict[str, tuple[Mask, npt.NDArray[np.int64]]]
) -> None:
    """What is flagged, and how often the suggested key is the right one where the truth names one."""
    faulty = data["type"] != "ok"
    wrong = (data["type"] == "wrong groundtruth") & (data["correct"] >= 0)
    rows = []
    for name, (flag, suggested) in flags.items():
        hits, right = (flag & faulty).sum(), suggested == data["correct"]
        rows.append(
            [
                name,
                flag.sum(),
                f"{hits / max(1, flag.sum()):.3f}",
                f"{hits / faulty.sum():.3f}",
                f"{2 * hits / (flag.sum() + faulty.sum()):.3f}",
                f"{flag[wrong].mean():.3f}",
                f"{right[wrong].mean():.3f} of {wrong.sum()}",
                f"{right[wrong & flag].mean():.3f} of {(wrong & flag).sum()}",
            ]
        )
    head = ["flag", "flagged", "precision", "recall", "F1", "recall of wrong keys"]
    print("\n" + markdown([*head, "suggested key right", "of those flagged"], rows))


def majority(
    answers: npt.NDArray[np.int64], key: npt.NDArray[np.int64]
) -> tuple[Mask, npt.NDArray[np.int64]]:
    """Flag where more than half of the models that answered chose the same option, not the key."""
    counts = (answers[:, :, None] == np.arange(4)).sum(1)
    counts[np.arange(len(key)), key] = 0
    return counts.max(1) > 0.5 * (answers >= 0).sum(1), counts.argmax(1)


# --- Models made here -----------------------------------------------------------------------------------------------


def make_model(folder: Path, texts: Sequence[str], vocabulary: int, **sizes: int) -> str:
    """A GPT-2 with random weights and a byte-level BPE tokenizer learnt from `texts`."""
    import torch
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    tokens = ByteLevelBPETokenizer()
    tokens.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=["<s>"], show_progress=False)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokens._tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=vocabulary, bos_token_id=0, eos_token_id=0, **sizes)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)


def read_gsm8k() -> list[str]:
    lines = (DATA / "gsm8k" / "train.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]


# --- Speed ----------------------------------------------------------------------------------------------------------


def speed() -> None:
    import torch

    from curate.scorers.text import min_k
    from curate.scorers.text.language_model import load_language_model

    texts = read_gsm8k()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"n_positions": 512, "n_embd": 256, "n_layer": 6, "n_head": 4}
        name = make_model(Path(folder), texts[:2000], 16000, **sizes)
        model = load_language_model(name, "cpu", "fp32")
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 16000, 512) for _ in range(16)]
    batch = torch.from_numpy(np.stack(ids[:8]))

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(2):
                model.net(input_ids=batch, use_cache=False)

    ways: dict[str, Callable[[], object]] = {
        "bare forward pass": bare,
        "min-k": lambda: model.token_statistics(ids, moments=False),
        "min-k++": lambda: model.token_statistics(ids, moments=True),
    }
    times = dict.fromkeys(ways, np.inf)
    for _ in range(4):  # in turns, so that a noisy neighbour hits all alike
        for way, call in ways.items():
            start = time.process_time()
            call()
            times[way] = min(times[way], time.process_time() - start)
    count = 16 * 512
    rows = [[w, f"{t / count * 1e6:.0f}", f"{t / times['bare forward pass']:.2f}"] for w, t in times.items()]
    print(
        "\nGPT-2 of 6 layers, 256 wide, 16,000 tokens of vocabulary; 16 texts of 512 tokens, 8 at a time, CPU\n"
    )
    print(markdown(["", "CPU microseconds a token", "of a bare pass"], rows))
    lengths = rng.integers(20, 400, 50_000)
    flat = -rng.exponential(2.0, int(lengths.sum())).astype(np.float32)
    offsets = np.append(0, np.cumsum(lengths))
    start = time.process_time()
    min_k(flat, offsets)
    vectorised = time.process_time() - start
    start = time.process_time()
    for low, high in pairwise(offsets[:1001]):
        np.sort(flat[low:high])[: max(int(0.2 * (high - low)), 1)].mean()
    loop = (time.process_time() - start) / offsets[1000] * len(flat)
    print(
        f"\nFrom columns, {len(flat) / 1e6:.1f}M tokens of 50,000 texts: {vectorised:.2f} CPU s; text by text {loop:.2f} CPU s"
    )


# --- Members --------------------------------------------------------------------------------------------------------


HALF = 500


def members() -> None:
    """500 questions of gsm8k in training, 500 not, the tokenizer learnt from neither."""
    import torch

    from curate.scorers.text import mean_log_prob, min_k, min_k_plus_plus, zlib_ratio
    from curate.scorers.text.language_model import load_language_model

    known = read_gsm8k()
    texts = [known[i] for i in np.random.default_rng(0).permutation(len(known))[:5000]]
    train, held, rest = texts[:HALF], texts[HALF : 2 * HALF], texts[2 * HALF :]
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"n_positions": 256, "n_embd": 128, "n_layer": 2, "n_head": 4}
        model = load_language_model(make_model(Path(folder), rest, 2000, **sizes), "cpu", "fp32")
    asked = [*train, *held]
    ids, member = model.encode(asked), np.arange(2 * HALF) < HALF
    lengths = np.array([len(one) for one in ids])
    weights = sum(p.numel() for p in model.net.parameters())
    print(f"\n{weights / 1e6:.1f}M weights; {HALF} members of {lengths[:HALF].mean():.0f} tokens, ", end="")
    print(f"{HALF} others of {lengths[HALF:].mean():.0f}\n", flush=True)
    optimiser = torch.optim.AdamW(model.net.parameters(), lr=2e-3)
    rng, rows, start = np.random.default_rng(0), [], time.process_time()
    for epoch in range(1, 17):
        train_once(model, [ids[i] for i in rng.permutation(HALF)], optimiser)
        if epoch not in (1, 2, 4, 8, 12, 16):
            continue
        model.net.eval()
        seconds = time.process_time() - start
        found = model.token_statistics(ids, batch_size=32)
        loss = mean_log_prob(found.log_probs, found.offsets)
        moments = (found.means, found.deviations, found.offsets)
        scores = {
            "random": rng.random(2 * HALF),
            "loss": loss,
            "zlib": zlib_ratio(loss, asked),
            "min-k": min_k(found.log_probs, found.offsets),
            "min-k++": min_k_plus_plus(found.log_probs, *moments),
            "min-k++ 60 %": min_k_plus_plus(found.log_probs, *moments, k=0.6),
        }
        gap = loss[:HALF].mean() - loss[HALF:].mean()
        areas = [quality(member, score).split(" / ")[1] for score in scores.values()]
        rows.append([epoch, f"{-loss[:HALF].mean():.2f}", f"{gap:.2f}", *areas])
        start += time.process_time() - start - seconds
    print(markdown(["epochs", "loss of members", "less than of others by", *scores], rows))
    print(f"\nTraining: {seconds:.0f} CPU s")


def train_once(model: Any, ids: Sequence[npt.NDArray[np.int64]], optimiser: Any) -> None:
    import torch

    model.net.train()
    for low in range(0, len(ids), 16):
        tokens, mask = model._pad([one[:256] for one in ids[low : low + 16]])
        labels = torch.where(mask == 1, tokens, -100)
        loss = model.net(input_ids=tokens, attention_mask=mask, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


# --- Preference pairs -----------------------------------------------------------------------------------------------


def pairs() -> None:
    """hh_rlhf holds whole conversations: the prompt ends with the last "Assistant:" they share."""
    import pyarrow as pa

    from curate.memory import ArrayView
    from curate.scorers.text.preference import Ches
    from curate.testing import score_all

    with gzip.open(DATA / "hh_rlhf" / "harmless-base" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    split: dict[str, list[str]] = {"prompt": [], "chosen": [], "rejected": []}
    for row in rows[:500]:
        shared = os.path.commonprefix([row["chosen"], row["rejected"]])  # noqa: RUF071 - of strings, as meant
        end = shared.rfind("\n\nAssistant:") + len("\n\nAssistant:")
        split["prompt"].append(shared[:end])
        for name in ("chosen", "rejected"):
            split[name].append(row[name][end:])
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"n_positions": 512, "n_embd": 64, "n_layer": 2, "n_head": 2}
        name = make_model(Path(folder), split["chosen"], 4000, **sizes)
        start = time.process_time()
        scored = score_all(Ches(name, device="cpu"), ArrayView(pa.table(split)))
        seconds = time.process_time() - start
    score = scored["ches"].to_numpy()
    why = [r for r in scored["ches_reason"].to_pylist() if r]
    print(
        f"\n{len(score)} pairs in {seconds:.1f} CPU s, {len(why)} not scored ({sorted(set(why))[:2]}), random weights"
    )
    print(f"ches from {np.nanmin(score):.3f} to {np.nanmax(score):.3f}, median {np.nanmedian(score):.3f}")


PARTS = {"questions": questions, "speed": speed, "members": members, "pairs": pairs}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument(
        "part", nargs="?", choices=[*PARTS, "all"], default="all", help="by default all of them"
    )
    asked = parser.parse_args().part
    for part in PARTS if asked == "all" else [asked]:
        print(f"\n### {part}")
        PARTS[part]()
