"""Which project of a server holds the tasks of a round: found by a mark in its description, made where there is none."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.annotators.label_studio.ledger import Ledger, Project
from curate.annotators.label_studio.server import Server
from curate.annotators.label_studio.wire import Absent, Answer, Meanwhile
from curate.annotators.tasks import Template
from curate.errors import AnnotatorError, InputError

__all__ = ["Mark", "Places", "look_up", "still_there"]

_MARK = re.compile(r"\[curate:([0-9a-f]+):(\d+):([\w-]+):([0-9a-f]+):([0-9a-f]+)\]")


@dataclass(frozen=True)
class Mark:
    """What the description of a project of ours says: whose it is, and a number by which no other is taken for it."""

    dataset: str
    round: int
    template: str
    config: str
    nonce: str

    def __str__(self) -> str:
        return f"[curate:{self.dataset}:{self.round}:{self.template}:{self.config}:{self.nonce}]"

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """The mark in a description, if there is one."""
        found = _MARK.search(text or "")
        return cls(found[1], int(found[2]), found[3], found[4], found[5]) if found else None

    @property
    def source(self) -> str:
        """How answers say where they come from."""
        return f"label-studio/{self.nonce}"


@dataclass
class Places:
    """The projects of one data set on one server."""

    server: Server
    ledger: Ledger
    dataset: str
    newest: int = 0

    def known(self) -> list[Project]:
        """All projects of this data set, those that are `gone` from the server too; brings the ledger up to date."""
        marked = self._marked()
        there = {mark.source for mark, _ in marked}
        for mark, number in marked:
            self.ledger.remember_project(self._project(mark, number, {}))
        projects = self.ledger.projects(self.server.url, self.dataset)
        for project in projects:
            if project.source not in there and not project.gone:
                self.ledger.mark_gone(project.source)
        return [dataclasses.replace(p, gone=p.source not in there) for p in projects]

    def find(self, round: int, template: Template, *, gone_is_none: bool = False) -> Project | None:
        """The project of a round, or None where there is none yet (with `gone_is_none`: or where it was deleted there).

        Raises InputError where the round asks something else, AnnotatorError where the project was deleted there.
        """
        same = [p for p in self.known() if (p.round, p.template) == (round, template.name)]
        live = [p for p in same if not p.gone]
        if not live:
            if same and not gone_is_none:
                raise AnnotatorError(
                    f"the project of round {round} was deleted on {self.server.url}, or its description has lost our mark. The "
                    "answers that were pulled are kept; push with recreate=True to make it again, or push another round"
                )
            return None
        found = live[0]  # the oldest: of two pushes from two machines both then use the same
        if found.config != template.digest[:16]:
            raise InputError(
                f"round {round} at {found.page} asks by another {template.name!r} than this: its labels, columns or text "
                "differ. Go on with the same, or ask something else in another round"
            )
        return found

    def make(
        self,
        round: int,
        template: Template,
        settings: Mapping[str, Any],
        *,
        meanwhile: Meanwhile | None = None,
    ) -> tuple[Project, bool]:
        """A new project, and whether it is: somebody else may have made one since `find` looked, which is used then.

        It is not in the ledger yet: a crash right after leaves one that `find` finds.
        """
        mark = Mark(self.dataset, round, template.name, template.digest[:16], secrets.token_hex(6))
        fields = {
            "title": f"Round {round}: {template.name}"[:50],
            "description": f"Made by curate; leave this line as it is: {mark}",
            "label_config": template.config(),
            "enable_empty_annotation": False,
            **settings,
        }
        looked = self.newest
        made = self.server.create_project(fields, meanwhile)
        first, number = mark, made
        # Numbers are given in order: where ours is the next, nobody made another since.
        if made != looked + 1:
            first, number = self._marked(round, template.name)[0]
        if first.source != mark.source:
            self.server.delete_project(made)  # theirs is older
        spec = dataclasses.asdict(template)
        return self._project(first, number, spec), first.source == mark.source

    def _marked(self, round: int | None = None, template: str = "") -> list[tuple[Mark, int]]:
        """Marks of this data set and the projects that bear them, oldest first."""
        listed = self.server.projects()
        self.newest = max((int(project["id"]) for project in listed), default=0)
        marks = [(Mark.read(project.get("description", "")), int(project["id"])) for project in listed]
        return [
            (mark, number)
            for mark, number in marks
            if mark is not None and mark.dataset == self.dataset
            if round is None or (mark.round, mark.template) == (round, template)
        ]

    def _project(self, mark: Mark, number: int, spec: Mapping[str, Any]) -> Project:
        where = (mark.source, self.server.url, number, mark.dataset, mark.round, mark.template)
        return Project(*where, spec, mark.config)

    def settle_spec(self, project: Project, template: Template) -> Project:
        """The project with the parameters of its template, which a lost ledger does not know."""
        if not project.spec:
            project = dataclasses.replace(project, spec=dataclasses.asdict(template))
            self.ledger.remember_project(project)
        return project


def look_up(server: Server, project: Project, *fields: str, meanwhile: Meanwhile | None = None) -> Answer:
    """These fields of the project as the server sees it now. Raises Absent where it is gone, or another has its number."""
    found = server.project(project.id, "description", *fields, meanwhile=meanwhile)
    mark = Mark.read(found.body.get("description", ""))
    if mark is None or mark.source != project.source:
        raise Absent(404, f"project {project.id} on {server.url} is not ours any more")
    return found


def still_there(
    server: Server, project: Project, *fields: str, meanwhile: Meanwhile | None = None
) -> dict[str, Any]:
    """The same where it has to be there. Raises AnnotatorError where it is not."""
    try:
        found: dict[str, Any] = look_up(server, project, *fields, meanwhile=meanwhile).body
    except Absent:
        raise AnnotatorError(
            f"project {project.id} of round {project.round} is not on {server.url} any more, or its description has lost our "
            "mark. What was pulled is kept"
        ) from None
    return found
