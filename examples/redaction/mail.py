"""A tool that wants the real address."""

from pathlib import Path


def send_mail(to: str, text: str) -> str:
    """Send a mail."""
    with Path("outbox.txt").open("a", encoding="utf-8") as outbox:
        outbox.write(f"To {to}: {text}\n")
    return f"Sent to {to}."
