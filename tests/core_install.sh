#!/usr/bin/env bash
# The wheel, with the core alone, in an empty environment: `curate --help` and a tiny recipe.
# Usage: core_install.sh WHEEL PYTHON
set -euo pipefail
wheel=$(realpath "$1")
constraints=$(realpath "$(dirname "$0")/../constraints.txt")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$2" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet uv
"$work/venv/bin/python" -m uv pip install --quiet --python "$work/venv/bin/python" --constraint "$constraints" "$wheel"
cd "$work"
export PATH="$work/venv/bin:$PATH"
curate --help >/dev/null
printf 'id,caption,image\na,a brown dog in the snow,1.jpg\nb,a brown dog in the snow,2.jpg\nc,two,3.jpg\n' >pairs.csv
python - <<'PY'
from PIL import Image

for i in (1, 2, 3):
    Image.new("RGB", (32, 32), (i * 60, 90, 200)).save(f"{i}.jpg")
PY
cat >tiny.yaml <<'YAML'
store: tiny.curate
steps:
  - import: pairs.csv
    kind: image-text
    id: id
  - score: text-basics
  - score: exact-duplicate
    with: {columns: [caption]}
  - keep: length(caption) > 5 and not exact_duplicate
  - select: random
    budget: 1
    as: one
  - export: out
    format: jsonl
  - report: report.html
YAML
curate plan tiny.yaml
curate run tiny.yaml
# Into a file first: `grep -q` leaves at its first hit, and under pipefail whoever still writes then fails the check.
curate run tiny.yaml >again.txt
grep -q "already done" again.txt
test "$(wc -l <out/data/*.jsonl)" = 1
test -s report.html
curate verify tiny.curate
curate explain tiny.curate b
echo "core install: 1 passed, 0 failed"
