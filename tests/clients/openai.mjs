// OpenAI's own client for JavaScript against an address: prints what came of each use of it, as JSON.
import OpenAI from "openai";

const client = new OpenAI({ apiKey: process.env.TOKEN ?? "none", baseURL: `${process.argv[2]}/v1`, maxRetries: 0 });
const model = "Main";
const found = {};

const parameters = { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } };
const ask = (content) => [{ role: "user", content }];
const subtract = (args) => String(JSON.parse(args).a - JSON.parse(args).b);

async function joined(stream, piece) {
  let text = "";
  for await (const event of stream) text += piece(event) ?? "";
  return text;
}

found.models = (await client.models.list()).data.map((one) => one.id);
found.model = (await client.models.retrieve(model)).id;

const whole = await client.chat.completions.create({ model, messages: ask("Hello") });
found.chat = whole.choices[0].message.content;
found.usage = whole.usage.total_tokens > 0;
found.chatStream = await joined(
  await client.chat.completions.create({ model, messages: ask("Hello"), stream: true }),
  (chunk) => chunk.choices[0]?.delta.content,
);
const runner = client.chat.completions.runTools({
  model,
  messages: ask("What is 7 - 3?"),
  tools: [
    { type: "function", function: { name: "subtract", description: "Subtract.", parameters, parse: JSON.parse, function: ({ a, b }) => String(a - b) } },
  ],
});
found.chatTools = await runner.finalContent();
const streamed = client.chat.completions.runTools({
  model,
  stream: true,
  messages: ask("What is 7 - 3?"),
  tools: [
    { type: "function", function: { name: "subtract", description: "Subtract.", parameters, parse: JSON.parse, function: ({ a, b }) => String(a - b) } },
  ],
});
found.chatToolsStream = await streamed.finalContent();
try {
  await client.chat.completions.create({ model, messages: ask("fail") });
} catch (error) {
  found.chatError = [error.status, error.code];
}
try {
  for await (const _ of await client.chat.completions.create({ model, messages: ask("fail"), stream: true }));
} catch (error) {
  found.chatStreamError = error.code;
}

const response = await client.responses.create({ model, input: "Hello" });
found.response = response.output_text;
found.responseStream = (await client.responses.stream({ model, input: "Hello" }).finalResponse()).output_text;
const tools = [{ type: "function", name: "subtract", description: "Subtract.", parameters, strict: false }];
const first = await client.responses.create({ model, input: "What is 7 - 3?", tools });
const call = first.output.find((item) => item.type === "function_call");
const second = await client.responses.create({
  model,
  tools,
  previous_response_id: first.id,
  input: [{ type: "function_call_output", call_id: call.call_id, output: subtract(call.arguments) }],
});
found.responseTools = second.output_text;
found.retrieved = (await client.responses.retrieve(second.id)).output_text;
found.inputItems = (await client.responses.inputItems.list(response.id)).data.map((item) => item.type);

const background = await client.responses.create({ model, input: "slow", background: true, stream: true });
let id;
for await (const event of background) {
  id = event.response.id;
  break;
}
found.takenUp = await joined(
  await client.responses.retrieve(id, { stream: true, starting_after: 0 }),
  (event) => (event.type === "response.output_text.delta" ? event.delta : ""),
);
const running = await client.responses.create({ model, input: "slow", background: true });
found.cancelled = (await client.responses.cancel(running.id)).status;
await client.responses.delete(response.id);
try {
  await client.responses.retrieve(response.id);
} catch (error) {
  found.deleted = error.status;
}
console.log(JSON.stringify(found));
