"""Prints what the model is sent."""

from typing import Any


class Sent:
    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        texts = (" ".join(turn.text.split()) for turn in ctx.messages)
        print(f"{len(ctx.session.turns)} turns, sent: {' | '.join(texts)}")
