// Talks to a served agent as other agents do: node a2a.mjs URL; prints what came of it as JSON.

import { Role, TaskState } from "@a2a-js/sdk";
import { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory } from "@a2a-js/sdk/client";

const [url] = process.argv.slice(2);
const authorized = (input, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${process.env.TOKEN}`);
  return fetch(input, { ...init, headers });
};
const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
  transports: [new JsonRpcTransportFactory({ fetchImpl: authorized })],
});
const client = await new ClientFactory(options).createFromUrl(url);
const message = (text, more = {}) => ({
  tenant: "",
  metadata: {},
  configuration: undefined,
  message: {
    messageId: crypto.randomUUID(), role: Role.ROLE_USER, contextId: "", taskId: "", extensions: [],
    referenceTaskIds: [], metadata: {}, parts: [{ content: { $case: "text", value: text }, filename: "", mediaType: "" }], ...more,
  },
});
const words = (artifacts) => artifacts.flatMap((one) => one.parts.map((part) => part.content?.value ?? "")).join("");
const state = (task) => TaskState[task.status.state];
const taskOf = (answer) => answer.payload?.value ?? answer;

async function streamed(request) {
  const seen = { text: "", states: [] };
  for await (const { payload } of client.sendMessageStream(request)) {
    if (payload.$case === "task") seen.task = payload.value;
    if (payload.$case === "artifactUpdate") seen.text += words([payload.value.artifact]);
    if (payload.$case === "task" || payload.$case === "statusUpdate") seen.states.push(state(payload.value));
  }
  return seen;
}

const found = {};
const card = await client.getAgentCard();
found.card = [card.name, card.supportedInterfaces[0].protocolVersion];
const whole = taskOf(await client.sendMessage(message("Hello")));
found.whole = [words(whole.artifacts), state(whole)];
const later = await streamed(message("think", { contextId: whole.contextId }));
found.stream = [later.text, later.states, later.task.contextId === whole.contextId];
const asked = await streamed(message("refund"));
found.question = asked.states.at(-1);
const answered = await streamed(message("yes", { taskId: asked.task.id, contextId: asked.task.contextId }));
found.answered = [answered.text, answered.states.at(-1)];
const stored = await client.getTask({ tenant: "", id: asked.task.id });
found.stored = stored.artifacts.map((one) => words([one]));
found.failed = (await streamed(message("fail"))).states.at(-1);
const slow = taskOf(await client.sendMessage({ ...message("slow"), configuration: { returnImmediately: true, acceptedOutputModes: [] } }));
found.cancelled = state(await client.cancelTask({ tenant: "", id: slow.id, metadata: {} }));
found.tasks = (await client.listTasks({ tenant: "", contextId: whole.contextId, pageToken: "" })).tasks.length;
found.nobody = await client.getTask({ tenant: "", id: "nobody" }).then(() => "found", (error) => error.constructor.name);
console.log(JSON.stringify(found));
