"""What we ask of a Label Studio server, each request in one place."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from curate.annotators.label_studio.wire import Absent, Answer, Meanwhile, Refused, Wire
from curate.errors import AnnotatorError

__all__ = ["Imported", "Server", "among", "changed_since", "equal_to", "more_than_none"]

PAGE = 1000
"""Tasks asked for at once."""
FULL_PAGE = 200
"""The same where annotations come with them."""
NAMED = 1000
"""Up to so many tasks are asked for by their numbers, a page at a time."""
COUNTERS = ("total_annotations", "cancelled_annotations")
"""Of a task: how many answers, and how many skips."""

Imported = tuple[int, int, list[int]]
"""What came of an import: tasks, predictions, and the ids of the tasks in the order sent."""


class Server:
    """One server. Raises what `Wire` raises: Refused, Absent, Lost, with the reason."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.url = wire.url

    def whoami(self) -> dict[str, Any]:
        """The user whose token we hold."""
        found: dict[str, Any] = self.wire.get("/api/current-user/whoami").body
        if not isinstance(found, dict) or "email" not in found:
            raise AnnotatorError(f"{self.url} does not answer like Label Studio: is the address right?")
        return found

    def people(self) -> dict[str, str]:
        """E-mail addresses of everybody in the organization by their number: annotations name people by it."""
        found = self.wire.get("/api/users/").body
        listed = found["results"] if isinstance(found, dict) else found
        return {str(one["id"]): str(one["email"]) for one in listed if one.get("email")}

    # --- Projects -----------------------------------------------------------------------------------------------

    def projects(self) -> list[dict[str, Any]]:
        """All projects, oldest first: id, title, description."""
        query: dict[str, Any] = {"page_size": PAGE, "include": "id,title,description", "ordering": "id"}
        listed: list[dict[str, Any]] = []
        for page in itertools.count(1):
            found = self.wire.get("/api/projects/", {**query, "page": page}).body
            listed += found["results"]
            if not found.get("next"):
                break
        unique = {int(p["id"]): p for p in listed}
        return [unique[number] for number in sorted(unique)]

    def project(self, number: int, *fields: str, meanwhile: Meanwhile | None = None) -> Answer:
        """One project as the server sees it: these fields alone, for it counts all that it is not kept from. Raises Absent."""
        query = {"include": ",".join(["id", *fields])}
        return self.wire.get(f"/api/projects/{number}/", query, meanwhile=meanwhile)

    def create_project(self, fields: Mapping[str, Any], meanwhile: Meanwhile | None = None) -> int:
        """Make a project; its number."""
        return int(self.wire.send("POST", "/api/projects/", dict(fields), meanwhile=meanwhile).body["id"])

    def change_project(self, number: int, fields: Mapping[str, Any]) -> None:
        """Change settings of a project."""
        self.wire.send("PATCH", f"/api/projects/{number}/", dict(fields))

    def delete_project(self, number: int) -> None:
        """Delete a project with everything in it."""
        self.wire.send("DELETE", f"/api/projects/{number}/")

    # --- Tasks --------------------------------------------------------------------------------------------------

    def import_tasks(self, project: int, tasks: bytes, meanwhile: Meanwhile | None = None) -> Imported:
        """Import tasks (a JSON list): all of them or none. Raises Lost where nobody knows which."""
        path = f"/api/projects/{project}/import?return_task_ids=true"
        found = self.wire.send_json("POST", path, tasks, meanwhile=meanwhile).body
        return int(found["task_count"]), int(found["prediction_count"]), list(found.get("task_ids") or ())

    def tasks(
        self, project: int, include: str, filters: Sequence[Mapping[str, Any]] = (), after: int = 0
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of the tasks of a project with ids above `after`, ascending, with the fields `include` names.

        Each page asks for ids above the last: page numbers would skip rows when tasks vanish while we read.
        Raises Absent if the project is gone, also in the middle.
        """
        light = not {"annotations", "predictions"} & set(include.split(","))
        size, last, first = (PAGE if light else FULL_PAGE), after, True
        while True:
            query = {
                "project": project,
                "page": 1,
                "page_size": size,
                "include": include,
                "fields": "task_only" if light else "all",
                "query": json.dumps(_query(filters, last)),
            }
            try:
                found = self.wire.get("/api/tasks/", query).body
            except Absent:
                self.project(project)  # raises Absent where the project is what is gone
                return
            page = found["tasks"] if isinstance(found, dict) else found
            if first and not page:
                self.project(project)
            if page:
                yield page
                last, first = max(int(t["id"]) for t in page), False
            if len(page) < size:
                return

    def answered(self, project: int, filters: Sequence[Mapping[str, Any]], more: set[int]) -> list[int]:
        """Ids of the tasks for which the filters hold and that bear an answer or a skip, or are among `more`; ascending.

        Asking for the annotations of tasks that have none would take the server ten times as long, and asking for their
        counters twice. `more` are asked for by their numbers while they are few; else all ids are listed.
        """
        few = len(more) <= NAMED
        numbers = sorted(more) if few else []
        named = [among(numbers[at : at + FULL_PAGE]) for at in range(0, len(numbers), FULL_PAGE)]
        found = {
            n for one in [*map(more_than_none, COUNTERS), *named] for n in self._ids(project, [*filters, one])
        }
        return sorted(found if few else found | (more & self._ids(project, filters)))

    def _ids(self, project: int, filters: Sequence[Mapping[str, Any]]) -> set[int]:
        return {int(task["id"]) for page in self.tasks(project, "id", filters) for task in page}

    def worked_on(self, project: int, numbers: Sequence[int]) -> set[int]:
        """Which of these tasks bear an answer, a skip or somebody's draft."""
        drafted = {
            "filter": "filter:tasks:draft_exists",
            "operator": "equal",
            "type": "Boolean",
            "value": True,
        }
        conditions = (*map(more_than_none, COUNTERS), drafted)
        return {number for one in conditions for number in self._ids(project, [among(numbers), one])}

    def delete_tasks(self, project: int, numbers: Sequence[int]) -> None:
        """Delete tasks; those that are gone already stay gone."""
        chosen = {"selectedItems": {"all": False, "included": list(numbers)}}
        self.wire.send("POST", f"/api/dm/actions/?id=delete_tasks&project={project}", chosen)

    # --- Media --------------------------------------------------------------------------------------------------

    def local_storages(self, project: int) -> list[dict[str, Any]]:
        """Folders of the server's disk that the project may show files of."""
        found = self.wire.get("/api/storages/localfiles", {"project": project}).body
        return list(found["results"] if isinstance(found, dict) else found)

    def add_local_storage(self, project: int, path: str) -> None:
        """Allow a project to show the files below a folder of the server's disk; it need not be synced."""
        fields = {"project": project, "path": path, "title": "curate", "use_blob_urls": True}
        self.wire.send("POST", "/api/storages/localfiles", fields)

    def upload(self, project: int, name: str, data: bytes) -> str:
        """Upload one file without making a task of it; the address under which tasks find it."""
        path = f"/api/projects/{project}/import?commit_to_project=false"
        number = self.wire.upload(path, name, data).body["file_upload_ids"][0]
        return self._address(self.wire.get(f"/api/import/file-upload/{number}").body)

    def uploaded(self, project: int) -> dict[str, str]:
        """Files uploaded to a project: the name they were given here -> the address there."""
        found = self.wire.get(f"/api/projects/{project}/file-uploads", {"all": "true"}).body
        addresses = [self._address(one) for one in found]
        return {a.rsplit("/", 1)[-1].partition("-")[2]: a for a in addresses}

    def _address(self, upload: Mapping[str, Any]) -> str:
        return f"/data/{str(upload['file']).lstrip('/')}"

    # --- Webhooks and models ------------------------------------------------------------------------------------

    def add_webhook(self, project: int, url: str, headers: Mapping[str, str]) -> int:
        """Have the server say when something was answered, but not what; the number of the webhook."""
        fields = {
            "project": project,
            "url": url,
            "send_payload": False,
            "send_for_all_actions": False,
            "headers": dict(headers),
            "actions": ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"],
        }
        return int(self.wire.send("POST", "/api/webhooks/", fields).body["id"])

    def webhooks(self, project: int) -> dict[int, str]:
        """The webhooks of a project: number and address."""
        found = self.wire.get("/api/webhooks/", {"project": project}).body
        return {int(one["id"]): str(one["url"]) for one in found}

    def remove_webhook(self, number: int) -> None:
        """Take a webhook away."""
        try:
            self.wire.send("DELETE", f"/api/webhooks/{number}/")
        except Refused:
            return

    def add_model(self, project: int, url: str) -> int:
        """Connect an ML backend, whose health the server tries at once; its number."""
        fields = {"project": project, "url": url, "title": "curate", "is_interactive": False}
        return int(self.wire.send("POST", "/api/ml/", fields).body["id"])

    def models(self, project: int) -> dict[int, str]:
        """The ML backends of a project: number and address."""
        found = self.wire.get("/api/ml/", {"project": project}).body
        return {int(one["id"]): str(one["url"]) for one in found}

    def remove_model(self, number: int) -> None:
        """Take an ML backend away."""
        try:
            self.wire.send("DELETE", f"/api/ml/{number}")
        except Refused:
            return


def _query(filters: Sequence[Mapping[str, Any]], after: int) -> dict[str, Any]:
    """A filter of the data manager: all of these, and ids above the last."""
    above = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": after}
    return {"filters": {"conjunction": "and", "items": [*filters, above]}, "ordering": ["tasks:id"]}


def changed_since(moment: datetime) -> dict[str, Any]:
    """A filter: tasks that were changed after this moment. The server takes this one spelling of a time."""
    return {
        "filter": "filter:tasks:updated_at",
        "operator": "greater",
        "type": "Datetime",
        "value": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def among(numbers: Sequence[int]) -> dict[str, Any]:
    """A filter: these tasks."""
    return {"filter": "filter:tasks:id", "operator": "in_list", "type": "List", "value": list(numbers)}


def equal_to(name: str, value: str) -> dict[str, Any]:
    """A filter: tasks whose data has this value under this name."""
    return {"filter": f"filter:tasks:data.{name}", "operator": "equal", "type": "String", "value": value}


def more_than_none(counter: str) -> dict[str, Any]:
    """A filter: tasks of which this counter (`total_annotations`, `cancelled_annotations`) is not zero."""
    return {"filter": f"filter:tasks:{counter}", "operator": "greater", "type": "Number", "value": 0}
