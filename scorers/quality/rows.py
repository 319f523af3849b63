"""One address after the other: open, measure, and say why where it cannot be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from curate.contracts import reason_name
from curate.errors import MediaError

__all__ = ["measure_rows"]


def measure_rows(
    uris: pa.Array,
    role: str,
    name: str,
    fields: Sequence[pa.Field],
    measure: Callable[[str], Sequence[float]],
) -> pa.RecordBatch:
    """`measure(uri)` gives a number per field; a null address or a MediaError leaves the row null with its reason."""
    values = np.full((len(uris), len(fields)), np.nan)
    reasons: list[str | None] = [None] * len(uris)
    for row, uri in enumerate(uris.to_pylist()):
        try:
            if uri is None:
                reasons[row] = f"no {role}"
            else:
                values[row] = measure(uri)
        except MediaError as error:
            reasons[row] = f"{error.code}: {error}"
    null = np.array([reason is not None for reason in reasons], bool)
    columns = [pa.array(values[:, i], field.type, mask=null) for i, field in enumerate(fields)]
    columns.append(pa.array(reasons, pa.string()))
    return pa.record_batch(columns, [*(f.name for f in fields), reason_name(name)])
