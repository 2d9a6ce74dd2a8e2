"""A conversation at the terminal: its agent, its session, and what one exchange does to both."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from auwgent.cli.approval import Approval
from auwgent.cli.chat.view import View
from auwgent.cli.interrupt import cancels
from auwgent.cli.request import CommandLine, build, newest, options_of, outcome, user
from auwgent.cli.waiting import WaitingLine
from auwgent.engine.agent import ApprovalRequest
from auwgent.errors import AuwgentError, ConfigError, SessionNotFound
from auwgent.render.questions import paused
from auwgent.render.terminal import harmless, problems_text
from auwgent.runtime import Runtime
from auwgent.session import Session, new_id
from auwgent.stream import Stream


class Talk:
    """A conversation. The agent may be exchanged, and the session, while it goes on."""

    def __init__(self, request: CommandLine, console: Console) -> None:
        self.request = request
        self.console = console
        self.leaves = False
        self.session: Session | None = None  # as the last run left it
        self._approval = Approval(before=lambda: self.view.settle())
        self.agent = self._built(request)
        self.view = self._new_view()
        self._session_id = request.session or new_id()
        # What was said in this chat, and the session before it.
        self._asked: list[tuple[str, Session | None]] = []

    @property
    def session_id(self) -> str:
        """The session that the next words go to."""
        return self.session.id if self.session is not None else self._session_id

    @property
    def user_id(self) -> str:
        """The user that the conversation belongs to."""
        return self.session.user_id if self.session is not None else user(self.agent, self.request)

    @property
    def model(self) -> str:
        """`provider/model` of the root agent."""
        config = self.agent.config
        named = config.models.get(config.agent.model)
        return str(named.use) if named is not None else config.agent.model

    async def begin(self) -> None:
        """Open the agent, and find the session to go on with."""
        await self.agent.open()
        self.agent.preload()
        if self.request.last:
            self._session_id = await newest(self.agent, self.request)
        if self.agent.store is not None:
            with contextlib.suppress(SessionNotFound):
                self.session = await self.agent.store.get(self.user_id, self._session_id)

    async def end(self) -> None:
        """Close the agent."""
        await self.agent.close()

    async def say(self, text: str) -> None:
        """Send a message and show the answer. Errors are shown, and the conversation goes on."""
        self._asked.append((text, self.session))
        self.view = self._new_view()
        stream = self.agent.stream(
            text,
            session_id=self.session_id,
            user_id=self.request.user,
            context=self.request.context_values,
            session=self.session,
            whole=not self.request.stream,
            record=self.request.record,
        )
        await self._hear(stream)

    async def ask_open(self) -> None:
        """Ask what the session's run waits for, and go on with it; what only its caller can answer is shown."""
        while self.session is not None and (calls := self.session.pending):
            run_id = str(self.session.turns[-1].run_id)
            answers = {}
            for call in calls:
                request = ApprovalRequest(run_id, call["id"], call["agent"], call["type"], call["args"])
                answer = await self._approval(request) if call["kind"] == "approval" else None
                if answer is not None:
                    answers[call["id"]] = answer
            if len(answers) < len(calls):
                self.note(paused(run_id, calls, options_of(self.request.config, self.request.user)))
            if not answers:
                return
            self.view = self._new_view()
            await self._hear(
                self.agent.stream(
                    None, session_id=self.session.id, user_id=self.session.user_id, answers=answers
                )
            )

    async def _hear(self, stream: Stream) -> None:
        """Show a run to its end. Errors are shown, too."""
        answer = asyncio.create_task(self._show(stream))
        with cancels(answer, [signal.SIGINT]) as interrupt:
            try:
                await answer
            except asyncio.CancelledError:
                if interrupt.signal is None:  # not the answer is to end, but the chat
                    raise
            except AuwgentError as error:
                self.tell(error)
        if stream.session is not None:
            self.session = stream.session

    def take_back(self) -> str | None:
        """Forget the last exchange of this chat; gives what was asked in it.

        The conversation goes on in a session of its own. In the old one nothing is lost.
        """
        if not self._asked:
            return None
        text, before = self._asked.pop()
        self.session = before and before.model_copy(update={"id": new_id()})
        self._session_id = new_id()
        return text

    def go_to(self, session: Session | None) -> None:
        """Go on with this session, or with a new one."""
        self.session = session
        self._session_id = new_id()
        self._asked.clear()

    async def exchange(self, request: CommandLine) -> bool:
        """Go on with the agent that this command line describes; False, and told why, if there can be none."""
        try:
            agent = self._built(request)
            agent.check_keys()
            await agent.open()
        except AuwgentError as error:
            self.tell(error)
            return False
        before, self.agent, self.request = self.agent, agent, request
        await before.close()
        self.agent.preload()
        return True

    async def use_model(self, model: str) -> bool:
        """Go on with another model; False, and told why, if that cannot be."""
        return await self.exchange(replace(self.request, model=model))

    def tell(self, error: AuwgentError) -> None:
        """Print an error."""
        if isinstance(error, ConfigError):
            self.console.print(Text(problems_text(error.problems, colour=False), style="red"))
        else:
            self.console.print(Text(f"error: {harmless(str(error))}", style="red"))

    def note(self, text: str) -> None:
        """Print a dim line."""
        self.console.print(Text(harmless(text), style="dim"))

    async def _show(self, stream: Stream) -> None:
        failure: BaseException | None = None
        try:
            on = self.console.is_terminal and not (self.request.quiet or self.request.debug)
            with WaitingLine(sys.stderr, self.agent, on=on) as waiting:
                async with contextlib.aclosing(stream):
                    async for intent in stream:
                        waiting.hide()
                        self.view.show(intent)
                        waiting.saw(intent)
        except BaseException as error:
            failure = error
            raise
        finally:
            self.view.over(outcome(stream, failure))

    def _built(self, request: CommandLine) -> Runtime:
        return build(request, on_approval=self._approval)

    def _new_view(self) -> View:
        return View(self.console, self.agent.speaks_to_user, self.agent.config.agent.name)
