"""The chat: `auwgent run` on a terminal."""
