"""Filter, deduplication and CLIP score as Ray Data, Daft and Data-Juicer on Ray do them: for `on_ray_peers.py`.

Each function reads FOLDER/pairs.parquet (id, image, caption, width, height), keeps what `FILTER` says, then one row of each
caption, scores it with the same model, and writes Parquet under FOLDER/NAME. Runs in the peers' own environment: no curate here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "ViT-S-32-alt"
BATCH = 64
FILTER = "length(caption) >= 30 AND width >= 200 AND height >= 200"


class Clip:
    """The bare model: opens images one after another and runs both towers on a batch."""

    def __init__(self, folder: str, threads: int = 1) -> None:
        import open_clip
        import torch

        torch.set_num_threads(threads)
        checkpoint = f"{folder}/model.pt"
        self.net, _, self.prepare = open_clip.create_model_and_transforms(MODEL, pretrained=checkpoint)
        self.net.eval()
        self.tokenise = open_clip.get_tokenizer(MODEL)

    def score(self, images: list[str], captions: list[str]) -> np.ndarray:
        """Cosine of each image with its caption."""
        import torch
        from PIL import Image

        if not len(images):
            return np.empty(0, np.float32)
        pixels = torch.stack([self.prepare(Image.open(path).convert("RGB")) for path in images])
        with torch.inference_mode():
            one = self.net.encode_image(pixels, normalize=True)
            other = self.net.encode_text(self.tokenise(list(captions)), normalize=True)
            return (one * other).sum(1).float().numpy()


def bare(folder: Path, workers: int) -> None:
    """No engine at all: DuckDB and a loop in one process, whose model has as many threads as the others have workers."""
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = duckdb.sql(
        f"SELECT min(id) AS id, arg_min(image, id) AS image, caption FROM '{folder}/pairs.parquet'"
        f" WHERE {FILTER} GROUP BY caption ORDER BY 1"
    ).to_arrow_table()
    model = Clip(str(folder), workers)
    scores = [
        model.score(batch["image"].to_pylist(), batch["caption"].to_pylist())
        for batch in rows.to_batches(max_chunksize=BATCH)
    ]
    (folder / "bare").mkdir()
    table = rows.append_column("clip_score", pa.array(np.concatenate(scores)))
    pq.write_table(table, folder / "bare" / "0.parquet")


def start_ray(cpus: int) -> Any:
    """A cluster on this machine, with so many CPUs whether it has them or not; a busy one takes several attempts."""
    import ray

    for left in (3, 2, 1, 0):
        try:
            quiet = {"include_dashboard": False, "log_to_driver": False}
            ray.init(num_cpus=cpus, object_store_memory=512 << 20, **quiet)
            break
        except Exception:
            ray.shutdown()
            if not left:
                raise
    return ray


class _RayClip:
    """A batch of Ray Data."""

    def __init__(self, folder: str) -> None:
        self.model = Clip(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {**batch, "clip_score": self.model.score(list(batch["image"]), list(batch["caption"]))}


def ray_data(folder: Path, workers: int) -> None:
    """Full-CPU actors wait for ever for a CPU that reads, and shuffling wants some too: hence half of one each, and twice as many
    CPUs as there are."""
    from ray.data.expressions import col

    def first(group: Any) -> Any:
        return group.sort_values("id").head(1)

    ray = start_ray(2 * workers)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.default_hash_shuffle_parallelism = 2 * workers
    rows = ray.data.read_parquet(str(folder / "pairs.parquet"))
    kept = rows.filter(expr=(col("length") >= 30) & (col("width") >= 200) & (col("height") >= 200))
    distinct = kept.groupby("caption").map_groups(first, batch_format="pandas", num_cpus=0.5)
    scored = distinct.map_batches(
        _RayClip,
        fn_constructor_args=(str(folder),),
        batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=0.5,
    )
    scored.write_parquet(str(folder / "ray-data"))


def daft_native(folder: Path, workers: int) -> None:
    """Daft on this machine: its class functions in processes of their own."""
    _daft(folder, workers, "daft")


def daft_ray(folder: Path, workers: int) -> None:
    """Daft on Ray."""
    import daft

    start_ray(2 * workers)
    daft.set_runner_ray()
    _daft(folder, workers, "daft-ray")


def _daft(folder: Path, workers: int, name: str) -> None:
    import daft
    from daft import DataType, Series, col

    @daft.cls(max_concurrency=workers, use_process=True)
    class Scored:
        def __init__(self, folder: str) -> None:
            self.model = Clip(folder)

        @daft.method.batch(return_dtype=DataType.float32(), batch_size=BATCH)
        def score(self, image: Series, caption: Series) -> Series:
            return Series.from_numpy(self.model.score(image.to_pylist(), caption.to_pylist()))

    rows = daft.read_parquet(str(folder / "pairs.parquet"))
    kept = rows.where((col("length") >= 30) & (col("width") >= 200) & (col("height") >= 200))
    first = kept.groupby("caption").agg(col("id").min())
    distinct = first.join(kept.select("id", "image"), on="id")
    if name == "daft-ray":
        distinct = distinct.into_partitions(2 * workers)
    scored = distinct.with_column("clip_score", Scored(str(folder)).score(col("image"), col("caption")))
    scored.write_parquet(str(folder / name))


def data_juicer(folder: Path, workers: int) -> None:
    """Data-Juicer on Ray: its own filters and exact deduplicator, and the model as a mapper of ours. Of equal captions it keeps
    the one that comes first, whichever that is. It is given
    more CPUs than there are, for it keeps one for each of its stages."""
    import pyarrow.parquet as pq
    import yaml

    table = pq.read_table(folder / "pairs.parquet")
    (folder / "dj").mkdir()
    for i in range(2 * workers):  # one file would be one block: no parallelism
        step = -(-len(table) // (2 * workers))
        part = table.slice(i * step, step).rename_columns({"caption": "text"})
        pq.write_table(part, folder / "dj" / f"{i}.parquet")
    config = {
        "dataset_path": str(folder / "dj"),
        "export_path": str(folder / "data-juicer" / "out.parquet"),
        "export_type": "parquet",
        "executor_type": "ray",
        "ray_address": "local",
        "work_dir": str(folder / "dj-work"),
        "text_keys": "text",
        "process": [
            {"text_length_filter": {"min_len": 30}},
            {"general_field_filter": {"filter_condition": "width >= 200 and height >= 200"}},
            {"ray_document_deduplicator": {"dedup_set_num": 1}},
            {
                "peer_clip_mapper": {
                    "folder": str(folder),
                    "num_proc": workers,
                    "num_cpus": 0.5,
                    "batch_size": BATCH,
                    "ray_execution_mode": "actor",
                }
            },
        ],
    }
    (folder / "dj.yaml").write_text(yaml.safe_dump(config))
    start_ray(4 * workers)
    import _data_juicer_clip  # noqa: F401  (registers the mapper)
    from data_juicer.config import init_configs
    from data_juicer.core.executor.ray_executor import RayExecutor

    RayExecutor(init_configs(["--config", str(folder / "dj.yaml")])).run()


PEERS = {
    "bare": bare,
    "ray-data": ray_data,
    "daft": daft_native,
    "daft-ray": daft_ray,
    "data-juicer": data_juicer,
}


def run(name: str, folder: Path, workers: int) -> None:
    """One of them, over what an earlier run has left."""
    shutil.rmtree(folder / name, ignore_errors=True)
    for left in ("dj", "dj-work"):
        shutil.rmtree(folder / left, ignore_errors=True)
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    PEERS[name](folder, workers)
