"""What was sent in a run, as far as its stored turns can tell: the messages of each model call that was answered."""

from __future__ import annotations

from collections.abc import Iterator

from auwgent.models import wire
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.sent import Sent
from auwgent.pairing import paired
from auwgent.session import Session, spoken_by


def recalled(session: Session, run_id: str) -> Iterator[Sent]:
    """Yield the requests behind the answers of a run, in their order.

    Tools, params and what middleware put into one call alone are not stored, nor are calls that were not answered. The
    system prompt is that of the agent which took the newest input: a helper's own is not stored.
    """
    top = session.stack[-1] if session.stack else None
    for place, turn in enumerate(session.turns):
        if turn.run_id != run_id or turn.role != "assistant" or turn.model is None:
            continue
        agent = turn.agent or ""
        before = session.turns[:place]
        request = ModelRequest(
            system=session.system_prompt if top in (None, turn.agent) else "",
            turns=paired(spoken_by(before, agent) if agent else before),
            agent=agent,
            session_id=session.id,
        )
        spec = ModelSpec(turn.model, cache=False)
        yield Sent(spec, request, {}, [], wire.messages(spec, request))
