"""Places where a test can make the store fail, as a power cut, a full disk or a bad disk would.

CURATE_FAILPOINTS="part.rename:2:exit,manifest.write:1:enospc" makes the second arrival at `part.rename` end the
process and the first at `manifest.write` raise "no space left". Unset, a place costs one comparison.

Actions: `exit` (os._exit, nothing is flushed), `enospc`, `eio` (the OSError of that number), and for writes
`short` (half is written and the call says so) and `lost` (half is written and the call claims all was).
"""

from __future__ import annotations

import errno
import os
from collections import Counter

EXIT_CODE = 99
_ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}
_ACTIONS = ("exit", "enospc", "eio", "short", "lost")

_armed: dict[tuple[str, int], str] | None = None
_hits: Counter[str] = Counter()


def arm(text: str | None) -> None:
    """Set the failpoints of this process. "" counts arrivals only; None switches everything off."""
    global _armed
    _hits.clear()
    if text is None:
        _armed = None
        return
    armed: dict[tuple[str, int], str] = {}
    for item in filter(None, text.split(",")):
        name, nth, action = item.split(":")
        if action not in _ACTIONS:
            raise ValueError(f"failpoint action {action!r} in {item!r}: there are {', '.join(_ACTIONS)}")
        armed[name, int(nth)] = action
    _armed = armed


def hits() -> dict[str, int]:
    """How often each place was reached since `arm`, in order of first arrival."""
    return dict(_hits)


def hit(name: str) -> None:
    """Say that execution reached `name`; fail here if a test asked for it."""
    if _armed is not None:
        _strike(name)


def write(fd: int, data: memoryview, name: str) -> int:
    """`os.write` that a test can make fail, fall short, or lie."""
    if _armed is None:
        return os.write(fd, data)
    action = _strike(name)
    if action in ("short", "lost"):
        done = os.write(fd, data[: len(data) // 2])
        return done if action == "short" else len(data)
    return os.write(fd, data)


def _strike(name: str) -> str | None:
    _hits[name] += 1
    action = (_armed or {}).get((name, _hits[name]))
    if action == "exit":
        os._exit(EXIT_CODE)
    if action in _ERRORS:
        raise OSError(_ERRORS[action], f"{os.strerror(_ERRORS[action])} (failpoint {name})")
    return action


arm(os.environ.get("CURATE_FAILPOINTS"))
