"""Which of two captions of a photo do experts rate higher? A reward learned from their ratings, against cosine and chance.

    python benchmarks/caption_reward.py DATA [--cache FILE.npz] [--seeds 3]

DATA holds flickr8k_1k and weights_resnet_cifar10; features as in pair_filter.py, whose cache serves here. Every caption of a
photo that experts judged (1 to 4, mean of three) is a caption of that photo; those rated differently make the pairs. Five
folds over photos: no pair is judged by a model that has seen its photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _measure import markdown
from pair_filter import Set, judgements, load

from curate.scorers.alignment import caption_reward, train_joint, train_reward
from curate.scorers.alignment.pairs.captions import ranked_pairs

Array = npt.NDArray[Any]


def agreement(scores: Array, ranks: Array, photos: Array) -> float:
    """The share of pairs that people told apart which scores order alike."""
    pairs = ranked_pairs(ranks, photos)
    apart = (scores[pairs.better] - scores[pairs.worse])[~pairs.tied]
    return float(np.heaviside(apart, 0.5).mean())


def by_folds(x: Array, y: Array, ranks: Array, photos: Array, seed: int) -> dict[str, float]:
    """The cosine in a joint space learned from the best captions, and a reward on the text alone."""
    fold = (np.random.default_rng(seed).permutation(int(photos.max()) + 1) % 5)[photos]
    cosine, text = np.zeros(len(ranks)), np.zeros(len(ranks))
    best = np.array([rank == ranks[photos == photo].min() for rank, photo in zip(ranks, photos, strict=True)])
    for part in range(5):
        taught, judged = fold != part, fold == part
        lead = taught & best
        model = train_joint(x[lead], y[lead], groups=photos[lead], epochs=0)
        cosine[judged] = model.score(x[judged], y[judged])
        mean, spread = y[taught].mean(0), y[taught].std(0) + 1e-6
        reward = train_reward((y[taught] - mean) / spread, ranks[taught], photos[taught], penalty=1000)
        text[judged] = reward.score((y[judged] - mean) / spread)
    return {"cosine": agreement(cosine, ranks, photos), "reward on the text": agreement(text, ranks, photos)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    cached = arguments.cache is not None and arguments.cache.exists()
    found = dict(np.load(arguments.cache)) if cached else load(arguments.data)
    if arguments.cache and not cached:
        np.savez(arguments.cache, **found)
    data = Set(found, "one network, last stage")
    pairs, human = judgements(arguments.data / "flickr8k_1k")["experts"]
    known = [i for i, (photo, key) in enumerate(pairs) if photo in data.place and key in data.row]
    photos = np.array([data.place[pairs[i][0]] for i in known])
    x, y = data.images[photos], data.texts[[data.row[pairs[i][1]] for i in known]]
    ranks = -human[known]
    rows = []
    for seed in range(arguments.seeds):
        ours = caption_reward(x, y, ranks, photos, dim=64, seed=seed)
        others = by_folds(x, y, ranks, photos, seed)
        rows.append(
            [seed, ours.pairs, f"{ours.agreement:.3f}", *(f"{v:.3f}" for v in others.values()), "0.500"]
        )
    print(f"{len(known)} captions of {len(np.unique(photos))} photos\n")
    print(markdown(["seed", "pairs", "caption-reward", "cosine", "reward on the text", "random"], rows))


if __name__ == "__main__":
    main()
