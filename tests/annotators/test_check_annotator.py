"""The conformance suite of annotators finds what it is there to find."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import curate
from curate.annotators.offline import Offline
from curate.testing import check_annotator
from tests.annotators.offline.conftest import FilePeople


@dataclasses.dataclass(frozen=True)
class Tampering:
    """A store that does something else with the answers it is given."""

    store: Any
    change: Callable[[pa.Table], pa.Table]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def record_answers(self, answers: pa.Table) -> Any:
        return self.store.record_answers(self.change(answers))


@dataclasses.dataclass(frozen=True)
class Careless(Offline):
    """Loses, doubles or changes something, by `fault`."""

    fault: str = ""

    def push(self, store: Any, **what: Any) -> Any:
        folder = Path(self.folder)
        if self.fault == "pushes twice":
            shutil.rmtree(folder / f"round-{what.get('round', 1)}", ignore_errors=True)
        if self.fault == "forgets rounds" and what.get("round") == 2:
            what["round"] = 1
        if self.fault == "dry runs for real":
            what["dry_run"] = False
        return super().push(store, **what)

    def pull(self, store: Any, **how: Any) -> Any:
        def change(table: pa.Table) -> pa.Table:
            if self.fault == "loses skips":
                return table.filter(pc.invert(table["skipped"]))
            if self.fault == "keeps no edits":
                return table.filter(pc.equal(table["updated_at"], table["created_at"]))
            if self.fault == "strips texts":
                place = table.column_names.index("value")
                return table.set_column(place, "value", pc.utf8_slice_codeunits(table["value"], 0, 1000))
            if self.fault == "takes everything":
                place = table.column_names.index("status")
                return table.set_column(place, "status", pa.array(["ok"] * len(table)))
            return table

        return super().pull(Tampering(store, change), **how)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("pushes twice", "a push of all after a push of two"),
        ("dry runs for real", "after a dry run"),
        ("forgets rounds", "the second round"),
        ("loses skips", r"lost 1 such as .*'markup'"),
        ("keeps no edits", "after the edit|answers edited"),
        ("strips texts", r"lost 1 such as .*'long'"),
        ("takes everything", "an answer to an item that changed"),
    ],
)
def test_a_careless_annotator_is_found_out(fault: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with (
        curate.open(tmp_path / "s.curate", create=True) as store,
        pytest.raises(AssertionError, match=message),
    ):
        check_annotator(Careless(folder, fault=fault), store, FilePeople(folder))
