"""The end of a command's process.

Python ends by taking apart all modules it has loaded, one by one: a fifth of a short run, and of no use to anybody.
What else it does at its end is done here.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
from io import IOBase
from typing import Any

from auwgent.imports import runs_users_code

BROKEN = 120  # Python's exit code where standard output cannot be flushed at the end
C_FILE = IOBase.__base__  # what files of C and of Python have in common


def leave(code: int) -> int:
    """End the process with this code; returns it where somebody goes on in this process.

    Threads are waited for, what was registered with `atexit` is called (log handlers, exporters, temporary folders),
    and what the user's code wrote to files it left open gets into them.
    """
    if _goes_on():
        return code
    with contextlib.suppress(KeyboardInterrupt):
        threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if runs_users_code():
        _write_out()
    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError:
            code = code or BROKEN
    os._exit(code)


def _goes_on() -> bool:
    """Return whether a debugger, a profiler or `python -i` is at work."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    is_watched = monitoring is not None and any(map(monitoring.get_tool, range(6)))
    return bool(is_watched or sys.gettrace() or sys.getprofile() or sys.flags.inspect)


def _write_out() -> None:
    """Flush the files that are open; those that write an end of their own, as gzip's do, are closed."""
    files: list[Any] = [found for found in gc.get_objects() if C_FILE in type(found).__mro__]
    standard = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    own = [file for file in files if type(file).__module__ != "_io" and file not in standard]
    # A text is flushed into an archive, and that is closed into a file of bytes.
    for done in (
        *(file.flush for file in files),
        *(file.close for file in own),
        *(file.flush for file in files),
    ):
        with contextlib.suppress(Exception):
            done()
