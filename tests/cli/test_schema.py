"""`auwgent schema`."""

from __future__ import annotations

import json
from typing import Any

from auwgent.config.json_schema import schema


def test_it_prints_the_schema_and_nothing_else(auwgent: Any) -> None:
    done = auwgent("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == schema()
