"""Mistakes that type checkers must find: each line that ends with `# wrong` is one, and no other."""

from typing import Any

from pydantic import BaseModel

from auwgent import Context, Intent, Middleware, Runtime, Session, auwgent
from auwgent.payloads import AnyIntent
from auwgent.typed import ConfigDict, HelperDict, LimitsDict, ToolDict

auwgent({"agent": {"modle": "openai/gpt-5-mini"}})  # wrong
auwgent({"agent": {"model": "openai/gpt-5-mini", "promt": "You help."}})  # wrong
auwgent({"agnet": {"model": "openai/gpt-5-mini"}})  # wrong
auwgent({"agent": {"model": 3}})  # wrong
auwgent(3)  # wrong
auwgent(modle="openai/gpt-5-mini")  # wrong
auwgent(model="openai/gpt-5-mini", tool=[print])  # wrong
auwgent(model="openai/gpt-5-mini", on_aproval=print)  # wrong
auwgent("auwgent.toml", model="openai/gpt-5-mini")  # wrong
auwgent("auwgent.toml", profil="strict")  # wrong
tool: ToolDict = {"use": "my_app.f", "aprove": "ask"}  # wrong
joker: HelperDict = {"description": "Jokes", "model": "main", "handoff": "usr"}  # wrong
limits: LimitsDict = {"seconds": "ten"}  # wrong
config: ConfigDict = {"agent": {"model": "main", "tools": [{"use": "f", "aprove": "ask"}]}}  # wrong


class Report(BaseModel):
    title: str


async def answers() -> None:
    session = await auwgent(model="openai/gpt-5-mini", output=Report).run("Hi")
    if session.output is not None:
        print(session.output.titel)  # wrong


async def use(agent: Runtime) -> None:
    await agent.run("Hi", sessionid="s1")  # wrong
    agent.run_sync("Hi", sesion_id="s1")  # wrong
    agent.stream("Hi", user="u1")  # wrong
    session = await agent.run("Hi")
    print(session.txt)  # wrong


class Watch(Middleware):
    def onRunStart(self, session: Session, ctx: Context) -> Any:
        print(ctx.userid)  # wrong
        print(ctx.usage.dollars)  # wrong
        ctx.runId = "other"  # wrong
        ctx.sytemPrompt = "You help."  # wrong


def show(intent: AnyIntent) -> None:
    if intent.partial is True:
        print(intent.value["dleta"])  # wrong
    elif intent.name == "response_text":
        print(intent.value["txt"])  # wrong
    elif intent.name == "tool_call":
        print(intent.value["arguments"])  # wrong


def plain(intent: Intent) -> str:
    return intent.nme  # wrong
