// Drives the page in a real browser: node page.mjs BROWSER URL SCENARIO [FOLDER FOR PICTURES]; prints a line of JSON.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [executablePath, url, scenario, pictures] = process.argv.slice(2);
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const foreign = [];
const problems = [];

async function tab({ width = 1200, height = 800, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, bypassCSP: false });
  const page = await context.newPage();
  page.on("request", (request) => { if (!request.url().startsWith(url) && !/^(data|blob):/.test(request.url())) foreign.push(request.url()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) problems.push(message.text()); });
  await page.goto(url);
  return page;
}

/** What axe finds; it is put in by the debugger, past the page's policy. */
async function audit(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
  return violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
}

const shot = async (page, name) => { if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` }); };

async function say(page, words) {
  const before = await page.evaluate(() => document.querySelectorAll("#log .message.user").length);
  await page.fill("#words", words);
  await page.press("#words", "Enter");
  await page.waitForFunction((count) => document.querySelectorAll("#log .message.user").length > count, before);
}

const idle = (page) => page.waitForFunction(() => document.getElementById("send").textContent === "Send" && !document.querySelector(".caret"));
const texts = (page, selector) => page.evaluate((of) => [...document.querySelectorAll(of)].map((node) => node.innerText.trim()), selector);
/** The messages that are not folded under a call. */
const open_ = (page) => page.evaluate(() => [...document.querySelectorAll("#log .message .text")].filter((node) => !node.closest("details")).map((node) => node.innerText.trim()));

const scenarios = {
  async talk() {
    const page = await tab();
    await page.waitForSelector(".starters");
    await say(page, "hello");
    await idle(page);
    await say(page, "think");
    await idle(page);
    await say(page, "please add");
    await idle(page);
    await shot(page, "talk");
    const said = await texts(page, "#log .message .text");
    const calls = await texts(page, "#log details > summary");
    const sessions = await texts(page, ".session");
    const found = await audit(page);
    await page.reload();
    await page.waitForSelector("#log .message.user");
    const again = await texts(page, "#log .message .text");
    return { said, calls, sessions, again, audit: found };
  },
  async helper() {
    const page = await tab();
    await say(page, "ask the writer");
    const call = page.locator("#log details", { has: page.locator("summary strong", { hasText: /^Writer$/ }) }).first();
    await call.locator("summary .live").filter({ hasText: "one" }).waitFor();
    const folded = await call.evaluate((node) => !node.open);
    await call.locator("summary").first().click();
    await call.locator(".message .text", { hasText: "three" }).waitFor();
    const under = await call.locator(".message").evaluateAll((all) => all.map((node) => [node.querySelector(".who").innerText, node.querySelector(".text").innerText.split(" ").slice(0, 2).join(" ")]));
    await shot(page, "helper");
    const tools = await call.locator(".inside summary strong").allTextContents();
    const outside = await open_(page);
    const { images, hacked } = await page.evaluate(() => ({ images: document.querySelectorAll("#log img").length, hacked: window.hacked ?? null }));
    const found = await audit(page);
    const button = await page.innerText("#send");
    await page.keyboard.press("Escape");
    await idle(page);
    await page.waitForSelector("#log > .end");
    await shot(page, "helped");
    return { folded, under, tools, outside, button, images, hacked, audit: found, said: await open_(page) };
  },
  async loud() {
    const page = await tab();
    await say(page, "ask the writer");
    await page.waitForFunction(() => [...document.querySelectorAll("#log .message .text")].some((node) => !node.closest("details") && /three/.test(node.innerText)));
    const { length } = await open_(page);
    const tools = await page.locator("#log details .inside summary strong").allTextContents();
    await page.keyboard.press("Escape");
    await idle(page);
    await page.waitForSelector("#log > .end");
    return { length, tools };
  },
  async hostile() {
    const page = await tab();
    await say(page, "hostile");
    await idle(page);
    await shot(page, "hostile");
    return { alive: await page.evaluate(() => window.hacked ?? null), images: await page.$$eval("#log img", (all) => all.length), scripts: await page.$$eval("#log script, #log iframe", (all) => all.length), links: await page.$$eval("#log a", (all) => all.map((one) => one.href)), text: (await texts(page, "#log .message:last-child .text")).join("\n") };
  },
  async narrow() {
    const page = await tab({ width: 360, height: 640, colorScheme: "dark" });
    await say(page, "hello");
    await idle(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    await shot(page, "narrow");
    const found = await audit(page);
    await page.fill("#words", "one\ntwo\nthree\nfour");
    const tall = () => page.evaluate(() => document.getElementById("words").offsetHeight);
    const heights = [await tall()];
    await page.click("#back");
    await page.waitForSelector(".session");
    await shot(page, "narrow-sessions");
    const more = await audit(page);
    await page.click(".session");
    await page.waitForSelector("#words");
    heights.push(await tall());
    await page.setViewportSize({ width: 1200, height: 640 });
    await page.click("#show-usage");
    await page.waitForSelector("#other svg");
    await page.click(".session");
    await page.waitForSelector("#words");
    heights.push(await tall());
    await shot(page, "back");
    return { wide, heights, audit: [...found, ...more], sessions: await texts(page, ".session") };
  },
  async stop() {
    const page = await tab();
    await say(page, "slow");
    await page.waitForFunction(() => /two/.test(document.getElementById("log").innerText));
    await page.keyboard.press("Escape");
    await idle(page);
    await page.waitForSelector(".end");
    return { log: await page.innerText("#log"), state: await page.innerText("#state") };
  },
  async question() {
    const page = await tab();
    await say(page, "refund");
    await page.waitForSelector(".question");
    await shot(page, "question");
    const asked = await page.innerText(".question");
    const found = await audit(page);
    await page.reload();
    await page.waitForSelector(".question");
    await page.click(".question .primary");
    await idle(page);
    await page.waitForFunction(() => /It is refunded 5\./.test(document.getElementById("log").innerText));
    await idle(page);
    await say(page, "refund");
    await page.waitForSelector(".question");
    await page.fill(".question input", "too much");
    await page.press(".question input", "Enter");
    await page.waitForSelector(".question", { state: "detached" });
    await idle(page);
    await page.waitForTimeout(300);
    await shot(page, "answered");
    return { asked, audit: found, log: await page.innerText("#log"), waiting: await page.innerText("#waiting-count") };
  },
  async asked() {
    const page = await tab();
    await say(page, "refund");
    await page.waitForSelector(".question");
    return {};
  },
  async later() {
    const page = await tab();
    await page.waitForSelector(".session");
    await page.waitForSelector(".starters");
    await page.click("#show-waiting");
    await shot(page, "waiting");
    await page.click("#other >> text=refund");
    await page.waitForSelector(".question");
    const asked = await page.innerText(".question");
    await page.click(".question .primary");
    await page.waitForFunction(() => /It is refunded/.test(document.getElementById("log").innerText));
    await idle(page);
    await shot(page, "later");
    return { asked, log: await page.innerText("#log") };
  },
  async fork() {
    const page = await tab();
    for (const words of ["one", "two"]) { await say(page, words); await idle(page); await page.waitForSelector(`text=You said: ${words}`); }
    await page.hover(".message.user >> nth=1");
    await page.click(".message.user >> nth=1 >> text=Edit and run again");
    await page.waitForFunction(() => document.getElementById("words").value === "two");
    await say(page, "three");
    await idle(page);
    await page.waitForSelector("text=You said: three");
    await page.waitForFunction(() => document.querySelectorAll(".session").length === 2);
    const said = await texts(page, "#log .message .text");
    await page.click("#show-details");
    await page.click("text=Delete");
    await page.waitForSelector("#bar >> text=Undo");
    await page.click("#bar >> text=Undo");
    await page.waitForFunction(() => document.querySelectorAll(".session").length === 2);
    await page.waitForSelector("#log >> text=You said: three");
    await page.click("#show-usage");
    await page.waitForSelector("#other svg");
    await shot(page, "usage");
    const legend = await page.innerText("#other .key >> xpath=..");
    await page.selectOption("#other select", "tokens kind");
    await page.waitForSelector("#other p >> text=received");
    await page.selectOption("#other select", "tokens model");
    return { legend, said, rows: await page.$$eval("#other table", (all) => all.length), audit: await audit(page) };
  },
  async token() {
    const page = await tab();
    await page.waitForSelector("#ask-token:not([hidden])");
    await page.fill("#token", "wrong");
    await page.press("#token", "Enter");
    await page.waitForFunction(() => document.getElementById("token-wrong").textContent);
    await page.fill("#token", "alice-token-0123456789");
    await page.press("#token", "Enter");
    await page.waitForSelector("#ask-token", { state: "hidden" });
    await say(page, "hello");
    await idle(page);
    await page.waitForSelector("text=You said: hello");
    return { kept: await page.evaluate(() => [Object.keys(localStorage), document.cookie]) };
  },
};

try {
  const result = await scenarios[scenario]();
  console.log(JSON.stringify({ ...result, foreign, problems }));
} finally {
  await browser.close();
}
