"""A data set as `datasets.Dataset.save_to_disk` leaves it: Arrow stream files, `dataset_info.json`, `state.json`.

Written with pyarrow alone, in bounded memory and with the same bytes every time, which `save_to_disk` does not give.
`datasets.load_from_disk(folder)` opens it memory-mapped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from curate.formats.writers.draft import Draft
from curate.formats.writers.features import annotate, features

__all__ = ["write_saved"]


def write_saved(
    shards: Iterable[tuple[int, Iterator[pa.Table]]],
    draft: Draft,
    schema: pa.Schema,
    media: Mapping[str, str],
    fingerprint: str,
) -> None:
    """`data/train-00000.arrow` and so on, and the two JSON files at the root. `media`: column -> Image or Audio."""
    annotated = annotate(schema, media)
    names = []
    for number, chunks in shards:
        names.append(f"data/train-{number:05d}.arrow")
        with draft.file(names[-1]) as file:
            file.count(0)
            with pa.ipc.new_stream(file, annotated) as writer:
                for table in chunks:
                    file.count(table.num_rows)
                    for batch in table.cast(annotated).to_batches():
                        writer.write_batch(batch)
    info = {
        "citation": "",
        "description": "",
        "features": features(schema, media),
        "homepage": "",
        "license": "",
    }
    state: dict[str, object] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": "train",
    }
    draft.write("dataset_info.json", json.dumps(info, indent=2).encode())
    draft.write("state.json", json.dumps(state, indent=2).encode())
