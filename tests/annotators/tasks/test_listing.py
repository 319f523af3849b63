"""What `curate annotate templates` lists."""

from __future__ import annotations

from curate.annotators.tasks import TEMPLATES
from curate.annotators.tasks.listing import list_templates
from curate.kinds import KINDS


def test_every_template_is_listed_with_kinds_that_exist_and_a_sentence() -> None:
    rows = {name: (kinds, about) for name, kinds, about in list_templates()}
    assert set(rows) == set(TEMPLATES)
    for kinds, about in rows.values():
        assert set(kinds.split(", ")) <= set(KINDS) and len(about) > 20 and "\n" not in about
