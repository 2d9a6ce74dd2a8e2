"""`python -m auwgent`, and the `auwgent` command."""

from __future__ import annotations

import sys

from auwgent.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
