"""A whole recipe over a million rows of metadata: the first run, and running it again.

    python benchmarks/recipe.py [--rows 1000000] [--markdown FILE]

Import from one Parquet file, text-basics, exact-duplicate on the caption, keep, top 30 %, export to Parquet, each run a
process of its own. Nothing to compare with: no peer resumes a recipe by digest. The second run should do nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _measure import markdown, measure

RECIPE = """
store: s.curate
steps:
  - import: one.parquet
    kind: image-text
    columns: {image: url}
  - score: text-basics
  - score: exact-duplicate
    with: {columns: [caption]}
  - keep: length(caption) >= 30 and width >= 200 and height >= 200 and not exact_duplicate
  - select: top
    with: {by: score}
    budget: 30%
  - export: out
    selection: top
"""


def make_source(file: Path, rows: int) -> None:
    """Metadata from a hash of the row number: captions of 4 to 12 words, 15 % of them repeated."""
    import duckdb

    words = "['red','old','ship','tree','window','river','a','the','painting','of','dog','cat','mountain','at','night']"
    duckdb.execute(
        f"""COPY (SELECT printf('%016x', hash(i, 1)) AS id,
        'https://example.org/images/' || printf('%016x', hash(i, 2)) || '.jpg' AS url,
        array_to_string(list_transform(range((4 + hash(k, 3) % 9)::BIGINT),
            lambda j: {words}[1 + (hash(k, j) % 15)::BIGINT]), ' ') || ' ' || printf('%x', k) AS caption,
        (64 + hash(i, 4) % 1984)::INTEGER AS width, (64 + hash(i, 5) % 1984)::INTEGER AS height,
        (hash(i, 6) % 1000003 / 1000003.0)::FLOAT AS score
        FROM (SELECT i, CASE WHEN hash(i, 7) % 100 < 15 THEN (hash(i, 8) % greatest(i, 1)::UBIGINT)::BIGINT ELSE i END
              AS k FROM range({rows}) r(i))) TO '{file}' (COMPRESSION zstd)"""
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="curate-bench-"))
    try:
        make_source(folder / "one.parquet", options.rows)
        (folder / "recipe.yaml").write_text(RECIPE)
        command = [
            sys.executable,
            "-c",
            "from curate.cli import main; main()",
            "run",
            str(folder / "recipe.yaml"),
        ]
        quiet = [
            sys.executable,
            "-c",
            "import subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2)",
        ]
        rows = [
            [name, f"{m.wall:.2f}", f"{m.cpu:.2f}", f"{m.pss:.0f}"]
            for name, m in ((n, measure([*quiet, *command])) for n in ("first run", "the same command again"))
        ]
        text = markdown([f"{options.rows:,} rows", "wall s", "CPU s", "peak MB"], rows)
    finally:
        shutil.rmtree(folder)
    print(text)
    if options.markdown:
        options.markdown.write_text(text)


if __name__ == "__main__":
    main()
