"""The CLIP score as a mapper of Data-Juicer, for `on_ray_peers.py`."""

from __future__ import annotations

from typing import Any

from _peer_pairs import Clip
from data_juicer.ops.base_op import OPERATORS, Mapper


@OPERATORS.register_module("peer_clip_mapper")
class PeerClipMapper(Mapper):
    """Adds `clip_score`; the model is loaded by the actor that uses it."""

    _batched_op = True

    def __init__(self, folder: str = "", *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.folder = folder
        self.model: Clip | None = None

    def process_batched(self, samples: dict[str, Any]) -> dict[str, Any]:
        """See `Mapper`."""
        self.model = self.model or Clip(self.folder)
        scores = self.model.score(list(samples["image"]), list(samples["text"]))
        return {**samples, "clip_score": scores.tolist()}
