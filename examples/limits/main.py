"""A run that reaches a limit ends with `LimitExceeded`, and keeps what it has done so far."""

import sys

from auwgent import LimitExceeded, auwgent

overrides = [f"agent.model={model}"] if (model := "".join(sys.argv[1:])) else []
agent = auwgent("auwgent.toml", overrides=overrides)
try:
    print(agent.run_sync("Where are my keys?").text)
except LimitExceeded as error:
    print(f"{error.key}: {error}")
    print([turn.role for turn in error.session.turns])
