// Vercel's AI SDK with three of its providers against an address: prints what came of each, as JSON.
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const url = `${process.argv[2]}/v1`;
const apiKey = process.env.TOKEN ?? "none";
const openai = createOpenAI({ baseURL: url, apiKey });
const models = {
  "openai-responses": openai.responses("Main"),
  "openai-chat": openai.chat("Main"),
  "openai-compatible": createOpenAICompatible({ name: "auwgent", baseURL: url, apiKey, includeUsage: true }).chatModel("Main"),
  "open-responses": createOpenResponses({ name: "auwgent", url: `${url}/responses`, apiKey })("Main"),
};
const tools = {
  subtract: tool({
    description: "Subtract.",
    inputSchema: z.object({ a: z.number(), b: z.number() }),
    execute: async ({ a, b }) => String(a - b),
  }),
};
const stopWhen = stepCountIs(4);
const maxRetries = 0;
const found = {};

for (const [name, model] of Object.entries(models)) {
  const one = (found[name] = {});
  one.whole = (await generateText({ model, prompt: "Hello", maxRetries })).text;
  const stream = streamText({ model, prompt: "think", maxRetries });
  one.stream = await stream.text;
  one.reasoning = (await stream.reasoningText) ?? null;
  one.finish = await stream.finishReason;
  one.tokens = (await stream.totalUsage).totalTokens > 0;
  const asked = await generateText({ model, tools, stopWhen, prompt: "What is 7 - 3?", maxRetries });
  one.tools = [asked.text, asked.steps.length];
  const streamed = streamText({ model, tools, stopWhen, prompt: "What is 7 - 3?", maxRetries });
  one.toolsStream = [(await streamed.text), (await streamed.steps).length];
  const messages = [
    { role: "user", content: "Hello" },
    { role: "assistant", content: "You said: Hello" },
    { role: "user", content: "Bye" },
  ];
  one.history = (await generateText({ model, messages, maxRetries })).text;
  try {
    await generateText({ model, prompt: "fail", maxRetries });
    one.error = null;
  } catch (error) {
    one.error = error.statusCode ?? error.name;
  }
  let broken = false; // told as an error, or as the reason why it ended
  const failing = streamText({ model, prompt: "fail", maxRetries, onError: () => (broken = true) });
  for await (const part of failing.fullStream) broken ||= part.type === "finish" && part.finishReason === "error";
  one.streamError = broken;
}
console.log(JSON.stringify(found));
