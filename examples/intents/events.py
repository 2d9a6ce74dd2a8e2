"""Listens to the events."""

from typing import Any


class Printer:
    def onIntent(self, name: str, value: dict[str, Any], ctx: Any) -> None:
        if name in ("Loud", "GiveUp"):
            print(f"{name}: {value}")
