// People in the real join page, for cmd/weak: reads one command a line (JSON) and answers each with one line.
//
//   {"id": 1, "cmd": "open", "who": "weak", "namespace": "…", "url": "http://…/r/room#KEY", "name": "Weak", "config": {…}}
//   {"id": 2, "cmd": "reach", "who": "weak"}
//   {"id": 3, "cmd": "join", "who": "weak"}
//   {"id": 4, "cmd": "tiles", "who": "weak", "tiles": [{"x": 0, "y": 0, "w": 333, "h": 333}, …]}
//   {"id": 5, "cmd": "take", "who": "weak"}
//
// It ends when its input does.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { launchIn, trusting } from "./lib/namespace.js";

const instruments = await readFile(new URL("page/weak.js", import.meta.url), "utf8");
const worker = await readFile(new URL("page/weakworker.js", import.meta.url), "utf8");

/** @type {Map<string, {browser: import("playwright-core").Browser, page: import("playwright-core").Page, name: string, said: string[]}>} */
const people = new Map();

/** @param {string} who */
const person = (who) => {
  const p = people.get(who);
  if (!p) throw new Error(`${who} is not open`);
  return p;
};

/** @type {Record<string, (c: any) => Promise<unknown>>} */
const commands = {
  async open({ who, namespace, url, name, config }) {
    const browser = await launchIn(namespace, ...trusting(new URL(url).origin));
    const context = await browser.newContext({ viewport: { width: 480, height: 320 } });
    await context.addInitScript(`window.weakConfig = ${JSON.stringify({ ...config, worker })};\n${instruments}`);
    const page = await context.newPage();
    /** @type {string[]} */
    const said = [];
    page.on("pageerror", (err) => said.push(err.message));
    page.on("console", (m) => m.type() === "error" && said.push(m.text()));
    people.set(who, { browser, page, name, said });
    await page.goto(url);
    await page.getByTestId("join").waitFor();
  },
  // TCP has to know how far away the server is, as it does where the page came by the same way:
  // what it takes for a way of a millisecond it sends again and again.
  async reach({ who }) {
    await person(who).page.evaluate(async () => {
      for (let i = 0; i < 2; i++) await (await fetch("/healthz", { cache: "no-store" })).text();
    });
  },
  async join({ who }) {
    const { page, name } = person(who);
    await page.getByTestId("name").fill(name);
    await page.getByTestId("join").click();
  },
  async tiles({ who, tiles }) {
    await person(who).page.evaluate((t) => /** @type {any} */ (window).weak.tiles(t), tiles);
  },
  async take({ who }) {
    const { page, said } = person(who);
    const taken = await page.evaluate(() => /** @type {any} */ (window).weak.take());
    const status = await page.getByTestId("status").textContent({ timeout: 500 }).catch(() => "");
    return { ...taken, status, said: said.splice(0) };
  },
  async shot({ who, path }) {
    await person(who).page.screenshot({ path });
  },
};

/** @param {string} line */
async function obey(line) {
  const { id, cmd, ...rest } = JSON.parse(line);
  try {
    if (!commands[cmd]) throw new Error(`no command ${cmd}`);
    const result = await commands[cmd](rest);
    process.stdout.write(`${JSON.stringify({ id, result: result ?? null })}\n`);
  } catch (err) {
    process.stdout.write(`${JSON.stringify({ id, error: /** @type {Error} */ (err).message })}\n`);
  }
}

for await (const line of createInterface({ input: process.stdin })) void obey(line);
await Promise.all([...people.values()].map(({ browser }) => browser.close().catch(() => {})));
process.exit(0);
