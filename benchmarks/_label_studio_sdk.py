"""What Label Studio's own SDK does, run by the Python of the server's environment, which has it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

CONFIG = """<View><Text name="text" value="$text"/><Choices name="label" toName="text"><Choice value="good"/>
<Choice value="bad"/></Choices><TextArea name="comment" toName="text"/></View>"""


def main(what: str, url: str, token: str, *more: str) -> None:
    from label_studio_sdk import LabelStudio  # type: ignore[import-not-found]

    client: Any = LabelStudio(base_url=url, api_key=token)
    if what == "import":
        tasks, batch = json.loads(Path(more[0]).read_text()), int(more[1])
        wall, cpu = time.perf_counter(), time.process_time()
        project = client.projects.create(title=f"SDK {time.time():.0f}", label_config=CONFIG).id
        for at in range(0, len(tasks), batch):
            client.projects.import_tasks(id=project, request=tasks[at : at + batch])
        count = len(tasks)
    else:
        options = (
            {"page_size": 1000, "fields": "task_only", "include": "id,data"} if what == "list-lean" else {}
        )
        wall, cpu = time.perf_counter(), time.process_time()
        count = sum(1 for _ in client.tasks.list(project=int(more[0]), **options))
    seconds, used = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": used, "count": count}))


if __name__ == "__main__":
    main(*sys.argv[1:])
