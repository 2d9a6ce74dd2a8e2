"""Asking by e-mail: the run waits in the store, and whoever clicks a link answers, in another process, days later."""

import json
import sys
from pathlib import Path

from auwgent import auwgent

OUTBOX = Path("outbox.json")  # an e-mail server, for this example
agent = auwgent("auwgent.toml", overrides=[f"agent.model={sys.argv[1]}"])


def ask() -> None:
    """Begin the run; where it waits, send a mail for each question. Then this process may end."""
    session = agent.run_sync("Refund 5 euros, and 500.", session_id="s1", run_id="order-7")
    mails = [{"run": "order-7", "call": call["id"], "about": call["args"]} for call in session.pending]
    OUTBOX.write_text(json.dumps(mails))
    print(f"{session.status}: {len(mails)} mails are out")


def clicked(run: str, call: str, answer: bool | str) -> None:
    """What the web page behind the link of a mail does."""
    session = agent.run_sync(None, run_id=run, answers={call: answer})
    print(f"{session.status}: {session.text or 'it waits for the other mail'}")


if sys.argv[2:] == ["ask"]:
    ask()
else:
    for mail in json.loads(OUTBOX.read_text()):
        allowed = mail["about"]["euros"] <= 20
        clicked(mail["run"], mail["call"], allowed or "too much")
