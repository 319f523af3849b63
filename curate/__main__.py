"""The command `curate`, and `python -m curate`: Ctrl-C is answered in a sentence from the first moment on."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; see `curate.cli.main`."""
    try:
        from curate.cli import main as run  # takes a while: somebody may press Ctrl-C meanwhile

        run()
    except KeyboardInterrupt:
        print("interrupted; nothing was begun", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
