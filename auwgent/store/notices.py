"""Notes between the processes of one PostgreSQL: what one of them posts on a channel, all hear that listen there.

A thread of its own has one connection for both, opened with the first who listens. What is to be posted is collected
and sent in one statement, at most every `BATCH` seconds: many small commits of notes would wait for one another.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

Note = tuple[str, str]  # a channel, and less than 8,000 bytes

BATCH = 0.05  # seconds between two statements
TICK = 1.0  # seconds after which those who post are asked, though nobody has woken the thread
SILENCE = 30.0  # seconds after which it is looked whether the server is still there
LONGEST_PAUSE = 5.0  # seconds between two tries to connect
CLOSING = 5.0  # seconds that the last notes may take
POST = "SELECT pg_notify(channel, note) FROM unnest(%s::text[], %s::text[]) AS posted(channel, note)"

log = logging.getLogger("auwgent.store")


class Board:
    """Where the notes of a database are posted and heard. All its methods may be called in any thread.

    Who hears is called in the board's thread; so is who posts. A note is lost where the connection breaks: then all
    who asked for it are told that the board is there `again`.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        """`connect` gives a connection of psycopg's that commits by itself."""
        self.guest: Any = None  # who makes use of it, kept here so that there is one
        self._connect = connect
        self._ears: dict[str, Callable[[str], None]] = {}
        self._posting: list[Callable[[], Iterable[Note]]] = []
        self._again: list[Callable[[], None]] = []
        self._ours, self._theirs = socket.socketpair()
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._is_due = False
        self._thread: threading.Thread | None = None

    def listens(self, channel: str, hear: Callable[[str], None]) -> None:
        """Have what comes on a channel heard. Its name has letters, digits and underscores."""
        self._ears[channel] = hear
        with self._guard:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._work, name="auwgent-notes", daemon=True)
                self._thread.start()
        self.wake()

    def asks(self, post: Callable[[], Iterable[Note]], again: Callable[[], None] = lambda: None) -> None:
        """Ask for notes to post whenever the board wakes, and at each tick."""
        self._posting.append(post)
        self._again.append(again)

    def wake(self) -> None:
        """There may be something to post."""
        if not self._is_due:
            self._is_due = True
            with contextlib.suppress(OSError):
                self._ours.send(b"!")

    def close(self) -> None:
        """Post what is left, and let go of the connection."""
        with self._guard:
            self._stop.set()
            thread, self._thread = self._thread, None
        self._is_due = False
        self.wake()
        if thread is not None:
            thread.join(CLOSING)
        if thread is None or not thread.is_alive():
            self._ours.close()
            self._theirs.close()

    def _work(self) -> None:
        pause = 0.1
        while not self._stop.is_set():
            try:
                connection = self._connect()
            except Exception as error:
                log.debug("notes are not heard: %s", error)
            else:
                pause = 0.1
                try:
                    with contextlib.closing(connection):
                        self._serve(connection)
                except Exception as error:
                    log.debug("notes are not heard any more: %s", error)
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _serve(self, connection: Any) -> None:
        connection.add_notify_handler(lambda note: self._heard(note.channel, note.payload))
        connection.execute("SET synchronous_commit = off")  # what is lost in a crash is asked for again
        known: set[str] = set()
        posted_at, heard_at, is_new = 0.0, time.monotonic(), True
        while True:
            for channel in [one for one in list(self._ears) if one not in known]:
                connection.execute(f'LISTEN "{channel}"')
                known.add(channel)
            if is_new:
                is_new = False
                for again in self._again:
                    again()
            is_over = self._stop.is_set()
            if self._is_due or is_over or time.monotonic() - posted_at >= TICK:
                time.sleep(max(0.0, posted_at + BATCH - time.monotonic()))
                self._is_due = False
                posted_at = time.monotonic()
                self._post(connection)
            if is_over:
                return
            if self._waited(connection, posted_at + TICK - time.monotonic()):
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > SILENCE:
                connection.execute("SELECT 1")
                heard_at = time.monotonic()

    def _post(self, connection: Any) -> None:
        notes = [note for post in self._posting for note in post()]
        if notes:
            channels, texts = zip(*notes, strict=True)
            connection.execute(POST, (list(channels), list(texts)))

    def _waited(self, connection: Any, seconds: float) -> bool:
        """Wait until something has come, or is to be posted; gives whether something has come."""
        sockets = [connection.pgconn.socket, self._theirs]
        ready, _, _ = select.select(sockets, [], [], 0 if self._is_due else max(0.0, seconds))
        if self._theirs in ready:
            self._theirs.recv(4096)
        if sockets[0] not in ready:
            return False
        connection.pgconn.consume_input()
        while (note := connection.pgconn.notifies()) is not None:
            self._heard(note.relname.decode(), note.extra.decode())
        return True

    def _heard(self, channel: str, text: str) -> None:
        hear = self._ears.get(channel)
        if hear is not None:
            try:
                hear(text)
            except Exception:
                log.exception("a note could not be read")
