// Talks to a served agent as the applications of others do: node ag_ui.mjs URL THREAD STEP…; prints a line of JSON for each step.
// A step is a message, `resume:JSON` (answers by interrupt), or `tool:CALL:RESULT`. The client checks the order of events.

import { HttpAgent } from "@ag-ui/client";

const [url, threadId, toolsJson, ...steps] = process.argv.slice(2);
const agent = new HttpAgent({ url, threadId });
const tools = JSON.parse(toolsJson);
let seen = [];
const watch = { onEvent: ({ event }) => { seen.push(event); } };

for (const step of steps) {
  seen = [];
  let given = { tools };
  if (step.startsWith("resume:")) {
    given.resume = JSON.parse(step.slice(7));
  } else if (step.startsWith("tool:")) {
    const [, call, result] = step.split(":");
    agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: call === "last" ? agent.messages.at(-1).toolCalls.at(-1).id : call, content: result });
  } else {
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: step });
  }
  let failure = null;
  try {
    await agent.runAgent(given, watch);
  } catch (error) {
    failure = String(error.message ?? error);
  }
  console.log(JSON.stringify({ events: seen, messages: agent.messages, failure, interrupts: agent.pendingInterrupts ?? [] }));
}
