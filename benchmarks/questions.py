"""Questions about images: what looking once saves, and what rules find in captions beside what people checked.

    python benchmarks/questions.py                  # 4 images, 12 questions each, a Qwen2-VL of random weights
    python benchmarks/questions.py --elements DIR   # DIR holds t2i_ratings/dsg/dsg-1k-anns.csv

The contestants of the first part run in processes of their own, on one thread: ours; ours with the image shown anew for
every question; and transformers alone, one question at a time. CPU seconds are those of asking; the memory is the process's.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _measure import markdown, measure

from curate.scorers.alignment.elements.rules import split_elements
from curate.scorers.alignment.elements.words import singular

IMAGES, QUESTIONS = 4, 12


# --- Looking once ---------------------------------------------------------------------------------------------------


def build(folder: str) -> None:
    """A Qwen2-VL of about 20 million random weights, half of them for looking."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    special = [
        "<pad>",
        "</s>",
        "<|image_pad|>",
        "<|video_pad|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "yes",
        "no",
    ]
    vocabulary = {t: i for i, t in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), *special])}
    bytes_ = Tokenizer(models.BPE(vocabulary, []))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_, pad_token="<pad>", eos_token="</s>", additional_special_tokens=special[2:6]
    )
    text = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 8, "num_attention_heads": 4}
    config = transformers.Qwen2VLConfig(
        text_config=text
        | {"vocab_size": len(vocabulary), "num_key_value_heads": 2, "max_position_embeddings": 4096}
        | {"rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]}},
        vision_config={"depth": 8, "embed_dim": 320, "hidden_size": 256, "num_heads": 4, "mlp_ratio": 4},
        **{
            f"{n}_token_id": vocabulary[f"<|{t}|>"]
            for n, t in (("image", "image_pad"), ("video", "video_pad"))
        },
        vision_start_token_id=vocabulary["<|vision_start|>"],
        vision_end_token_id=vocabulary["<|vision_end|>"],
    )
    transformers.Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
    )
    images = transformers.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=224 * 224)
    videos = transformers.Qwen2VLVideoProcessor()
    transformers.Qwen2VLProcessor(images, tokenizer, videos, chat_template=template).save_pretrained(folder)


def jobs() -> list[tuple[Any, list[str]]]:
    from PIL import Image

    rng = np.random.default_rng(0)
    things = ("dog", "red car", "wooden table", "house", "man on a horse", "tree")
    prompts = [f'Is the answer to "Is there a {t}?" {a}?' for t in things for a in ("yes", "no")]
    return [
        (Image.fromarray(rng.integers(0, 256, (224, 224, 3), np.uint8)), prompts[:QUESTIONS])
        for _ in range(IMAGES)
    ]


def ours(folder: str, once: bool = True) -> tuple[float, list[float]]:
    import torch

    from curate.scorers.alignment.vqa.loading import load_vision_language_model

    torch.set_num_threads(1)
    model = load_vision_language_model(folder, "cpu", "fp32")
    words = [model.find_words(("yes",)), model.find_words(("no",))]
    start = time.process_time()
    found = replace(model, reuse=once).ask(jobs(), words, batch_size=12)
    spent = time.process_time() - start
    return spent, [float(x) for one in found for x in np.ravel(np.asarray(one, np.float64))]


def anew(folder: str) -> tuple[float, list[float]]:
    return ours(folder, once=False)


def alone(folder: str) -> tuple[float, list[float]]:
    import torch
    import transformers

    torch.set_num_threads(1)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    net = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    ids = processor.tokenizer.convert_tokens_to_ids(["yes", "no"])
    values, start = [], time.process_time()
    for image, prompts in jobs():
        for prompt in prompts:
            content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
            inputs = processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                logs = net(**inputs).logits[0, -1].double().log_softmax(-1)
            values += [float(logs[i]) for i in ids]
    return time.process_time() - start, values


CONTESTANTS: dict[str, Callable[[str], tuple[float, list[float]]]] = {
    "ours": ours,
    "ours, the image anew with every question": anew,
    "transformers, one by one": alone,
}


def race() -> str:
    rows, answers = [], {}
    with tempfile.TemporaryDirectory() as folder:
        build(folder)
        for name in CONTESTANTS:
            measured = measure([sys.executable, __file__, "--run", name, "--folder", folder], **os.environ)
            spent, answers[name] = measured.result[0], np.array(measured.result[1])
            rows.append((name, f"{spent:.1f}", f"{measured.rss:.0f}"))
    worst = max(np.abs(answers["ours"] - other).max() for other in answers.values())
    table = markdown(("", "CPU s", "peak MB"), rows)
    return f"{IMAGES} images, {QUESTIONS} questions each\n\n{table}\n\nAnswers differ by at most {worst:.1e} in log p."


# --- Elements by rules ----------------------------------------------------------------------------------------------

THINGS = ("object", "animal/human", "food", "location")
LITTLE = frozenset(
    ["a", "an", "the", "of", "in", "on", "at", "is", "are", "and", "with", "to", "this", "that", "image"]
)
COUNTS = {
    w: str(i)
    for i, w in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
}


def words_of(text: str) -> list[str]:
    return [singular(w) for w in re.findall(r"[a-z0-9-]+", text.lower()) if w not in LITTLE]


def head(words: str) -> str:
    found = re.sub(r"[^a-z0-9 -]", "", words.lower()).split()
    return singular(found[-1]) if found else ""


def checked(row: dict[str, str]) -> tuple[str, Any]:
    """What a question that people checked is about: its sort, and the words that must be found."""
    inside = re.search(r"\((.*)\)", row["tuple"].replace("\n", " "))
    parts = [p.strip() for p in inside[1].split(",")] if inside else []
    sort = row["category_detailed"]
    if parts and row["category_broad"] == "entity":
        return "things", head(inside[1] if inside else "")
    if len(parts) == 2 and sort in ("color", "material"):
        return sort, (head(parts[0]), parts[1].lower())
    if len(parts) == 2 and sort == "count" and parts[1].startswith("=="):
        return "counting", (head(parts[0]), parts[1][2:])
    if len(parts) >= 3 and sort == "spatial":
        return "pairs of things", (head(parts[0]), head(parts[1]))
    return "", None


def found_by_rules(text: str) -> set[tuple[str, Any]]:
    elements, found = split_elements(text, limit=1000), set()
    for e in elements:
        first, _, rest = e.name.partition(" ")
        if e.type in THINGS:
            found.add(("things", head(e.name)))
        elif e.type in ("color", "material"):
            found.add((e.type, (head(rest), {"wooden": "wood"}.get(first, first))))
        elif e.type == "counting":
            found.add(("counting", (head(rest), COUNTS.get(first, first))))
        elif len(e.depends) == 2:
            found.add(("pairs of things", tuple(head(elements[i].name) for i in e.depends)))
    return found


def found_by_all_words(text: str) -> set[tuple[str, Any]]:
    """Every word a thing, every word before another its color, material and count, every two neighbours a pair."""
    words = words_of(text)
    found: set[tuple[str, Any]] = {("things", w) for w in words}
    for a, b in itertools.pairwise(words):
        found |= {("color", (b, a)), ("material", (b, a)), ("counting", (b, COUNTS.get(a, a)))}
        found.add(("pairs of things", (a, b)))
    return found


def compare(folder: str) -> str:
    wanted: dict[str, set[tuple[str, Any]]] = {}
    with (Path(folder) / "t2i_ratings" / "dsg" / "dsg-1k-anns.csv").open() as file:
        for row in csv.DictReader(file):
            sort, about = checked(row)
            wanted.setdefault(row["text"], set()).update({(sort, about)} if sort and about else set())
    rows = []
    for sort in ("things", "color", "material", "counting", "pairs of things"):
        cells = [sort, str(sum(s == sort for one in wanted.values() for s, _ in one))]
        for find in (found_by_rules, found_by_all_words):
            hit = got = want = 0
            for text, about in wanted.items():
                left, right = ({f for f in side if f[0] == sort} for side in (find(text), about))
                hit, got, want = hit + len(left & right), got + len(left), want + len(right)
            cells += [f"{hit / want:.2f}", f"{hit / max(got, 1):.2f}"]
        rows.append(tuple(cells))
    header = ("", "checked", "recall", "precision", "every word: recall", "precision")
    return f"{len(wanted)} prompts of DSG-1k\n\n{markdown(header, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", metavar="DIR")
    parser.add_argument("--run", choices=CONTESTANTS)
    parser.add_argument("--folder", default="")
    given = parser.parse_args()
    if given.run:
        print(json.dumps(CONTESTANTS[given.run](given.folder)))
    elif given.elements:
        print(compare(given.elements))
    else:
        print(race())


if __name__ == "__main__":
    main()
