"""Events of your own, heard by a class with a method for each."""

import sys
from typing import Any

from auwgent import AuwgentBaseIntentHandler, auwgent


class Printer(AuwgentBaseIntentHandler):
    def Loud(self, value: dict[str, Any], agent: str) -> None:
        print(f"{agent} thinks: {value['thought']}")

    def GiveUp(self, value: dict[str, Any], agent: str) -> None:
        print(f"{agent} gives up: {value['reason']}")


overrides = [f"agent.model={model}"] if (model := "".join(sys.argv[1:])) else []
agent = auwgent("auwgent.toml", overrides=overrides)
agent.on_intent(Printer)
print(agent.run_sync("2 + 2?").text)
agent.run_sync("Do what is impossible")
