"""`python -m auwgent`, and the `auwgent` command."""

from __future__ import annotations

import gc
import sys

from auwgent import cli
from auwgent.cli.leaving import leave

ALIVE = 100_000  # objects that a command makes before it looks for garbage among them


def main() -> int:
    """Run the command of this process, and end it; gives the exit code where something goes on after it.

    Most of what a command makes is modules and classes, which stay. Looking for garbage among them as often as
    Python does by itself would take a sixth of a short run.
    """
    gc.set_threshold(ALIVE)
    return leave(cli.main())


if __name__ == "__main__":
    sys.exit(main())
