"""Do image and text, speech and text, answer and question belong together, and where do they not.

Names are imported when they are used, so that what needs torch costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.alignment.blip2 import itc_score, itm_score
    from curate.scorers.alignment.elements.rules import Element, ask_elements, split_elements
    from curate.scorers.alignment.fga.lavis import convert_lavis_state_dict
    from curate.scorers.alignment.fga.scorer import FgaBlip2
    from curate.scorers.alignment.generators import rank_generators
    from curate.scorers.alignment.judges.editing import load_questions, save_questions
    from curate.scorers.alignment.judges.measures import expected_rating, hard_negatives, pairwise_verdict
    from curate.scorers.alignment.metrics import element_accuracy, krcc, plcc, srcc
    from curate.scorers.alignment.pairs.captions import choose_caption, rank_captions, train_reward
    from curate.scorers.alignment.pairs.crossfit import pair_filter
    from curate.scorers.alignment.pairs.embedder import JointEmbedder, train_joint
    from curate.scorers.alignment.pairs.preferring import caption_reward
    from curate.scorers.alignment.ratings import needs_more_ratings
    from curate.scorers.alignment.reward import load_reward_head, reward_score
    from curate.scorers.alignment.similarity import clip_score, ref_clip_score
    from curate.scorers.alignment.vqa.measures import dsg_score, pn_vqa_score, tifa_score, yes_probability

_HOMES = {
    "Element": "elements.rules",
    "FgaBlip2": "fga.scorer",
    "JointEmbedder": "pairs.embedder",
    "ask_elements": "elements.rules",
    "caption_reward": "pairs.preferring",
    "choose_caption": "pairs.captions",
    "clip_score": "similarity",
    "convert_lavis_state_dict": "fga.lavis",
    "dsg_score": "vqa.measures",
    "element_accuracy": "metrics",
    "expected_rating": "judges.measures",
    "hard_negatives": "judges.measures",
    "itc_score": "blip2",
    "itm_score": "blip2",
    "krcc": "metrics",
    "load_questions": "judges.editing",
    "load_reward_head": "reward",
    "needs_more_ratings": "ratings",
    "pair_filter": "pairs.crossfit",
    "pairwise_verdict": "judges.measures",
    "plcc": "metrics",
    "pn_vqa_score": "vqa.measures",
    "rank_captions": "pairs.captions",
    "rank_generators": "generators",
    "ref_clip_score": "similarity",
    "reward_score": "reward",
    "save_questions": "judges.editing",
    "split_elements": "elements.rules",
    "srcc": "metrics",
    "tifa_score": "vqa.measures",
    "train_joint": "pairs.embedder",
    "train_reward": "pairs.captions",
    "yes_probability": "vqa.measures",
}
"""Public function -> the module it lies in."""

__all__ = [
    "Element",
    "FgaBlip2",
    "JointEmbedder",
    "ask_elements",
    "caption_reward",
    "choose_caption",
    "clip_score",
    "convert_lavis_state_dict",
    "dsg_score",
    "element_accuracy",
    "expected_rating",
    "hard_negatives",
    "itc_score",
    "itm_score",
    "krcc",
    "load_questions",
    "load_reward_head",
    "needs_more_ratings",
    "pair_filter",
    "pairwise_verdict",
    "plcc",
    "pn_vqa_score",
    "rank_captions",
    "rank_generators",
    "ref_clip_score",
    "reward_score",
    "save_questions",
    "split_elements",
    "srcc",
    "tifa_score",
    "train_joint",
    "train_reward",
    "yes_probability",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
