"""What helps to test agents, middleware and stores of one's own: nothing here needs a key or a network.

`scripted` makes a model that follows a script, faults included; `run_scenario` runs an agent and shows what it did;
`auwgent_tests` makes tests for pytest of the [[test]] tables of a config; `Clock` makes time stand still;
`auwgent.testing.store_suite` has the tests that every store must pass.
"""

from typing import TYPE_CHECKING

from auwgent.imports import lazy

if TYPE_CHECKING:
    from auwgent.models.scripted import ScriptedModel, scripted
    from auwgent.testing.clock import Clock
    from auwgent.testing.pytest_tests import auwgent_tests
    from auwgent.testing.scenario import Asked, Scenario, run_scenario

__all__ = ["Asked", "Clock", "Scenario", "ScriptedModel", "auwgent_tests", "run_scenario", "scripted"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        **dict.fromkeys(("ScriptedModel", "scripted"), "auwgent.models.scripted"),
        "Clock": "auwgent.testing.clock",
        "auwgent_tests": "auwgent.testing.pytest_tests",
        **dict.fromkeys(("Asked", "Scenario", "run_scenario"), "auwgent.testing.scenario"),
    },
)
