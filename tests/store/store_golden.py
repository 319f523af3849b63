"""Makes the store that every later version must be able to read. Run once per format, then keep the file:

python store_golden.py golden/format-1.tar.gz
"""

from __future__ import annotations

import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path

import store_workload


def make(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        store_workload.play(root).close()
        con = sqlite3.connect(root / "catalog.sqlite")
        con.execute("PRAGMA page_size=512")
        con.execute("VACUUM")
        con.close()
        with tarfile.open(target, "w:gz") as archive:
            archive.add(root, "store", filter=_nobody)


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    make(Path(sys.argv[1]))
