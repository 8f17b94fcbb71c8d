// Getting through networks that hate it, and coming back: the join page behind
// an emulated link. E2E_LONG adds what takes minutes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Link, noLink } from "./lib/link.js";
import { launchIn, trusting } from "./lib/namespace.js";
import { Server } from "./lib/server.js";
import { until } from "./lib/until.js";

const long = Boolean(process.env.E2E_LONG);
const skip = noLink || false;
const host = (/** @type {string} */ address) => (address.includes(":") ? `[${address}]` : address);

/**
 * A server, a link to it, and the page in the room behind the link.
 * @param {import("node:test").TestContext} t @param {{link?: string[], shape?: string, flags?: string[], settled?: boolean}} o
 */
async function behind(t, { link: how = [], shape = "", flags = [] } = {}) {
  const link = await Link.start(...how);
  t.after(() => link.stop());
  const server = await Server.startFor(link.server, ...flags);
  t.after(() => server.stop());
  if (shape) await link.set("both", shape);
  const origin = `http://${host(link.server[0])}:${new URL(server.url).port}`;
  const browser = await launchIn(link.namespace, ...trusting(origin));
  t.after(() => browser.close());
  const { join_key } = await server.room("through");
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  await page.goto(`${origin}/r/through#${join_key}`);
  await page.getByTestId("name").fill("Ada");
  const clicked = Date.now();
  await page.getByTestId("join").click();
  await plays(page);
  const joined = Date.now() - clicked;
  return { link, server, page, joined, origin };
}

/** Frames that the page has shown. @param {import("playwright-core").Page} page */
const shown = (page) =>
  page.getByTestId("mix").evaluate((v) => /** @type {HTMLVideoElement} */ (v).getVideoPlaybackQuality().totalVideoFrames).catch(() => 0);

/** Resolves when the picture moves, and stays so for half a second. @param {import("playwright-core").Page} page */
async function plays(page) {
  await page.getByTestId("mix").waitFor();
  await until("the picture moves", async () => {
    const before = await shown(page);
    await sleep(100);
    return (await shown(page)) > before && before > 0;
  }, { limit: 30_000, every: 10 });
}

/** Sound comes: the mix's audio grows in the page's own counters. @param {import("playwright-core").Page} page */
const line = (page) => page.getByTestId("quality-line").textContent();

/** How long after from the picture moves again, ms. @param {import("playwright-core").Page} page @param {number} from */
async function back(page, from) {
  const before = await shown(page);
  await until("the picture is back", async () => {
    const now = await shown(page);
    return now < before ? now > 1 : now > before + 1; // a new connection counts from zero
  }, { limit: 30_000, every: 20 });
  return Date.now() - from;
}

test("outages: the same connection goes on by itself", { skip }, async (t) => {
  const { link, page, server } = await behind(t);
  await page.evaluate(() => Object.assign(globalThis, { marked: true }));
  for (const seconds of (process.env.E2E_OUTAGES ?? (long ? "5,20,40" : "5")).split(",")) {
    await sleep(2000);
    const gone = link.outage(`${seconds}s`);
    await until("the page says so", async () => (await page.getByTestId("status").textContent())?.includes("Reconnecting"));
    assert.equal((await server.participants("through")).length, 1, "the place is kept");
    await gone;
    t.diagnostic(`after ${seconds} s: picture back in ${await back(page, Date.now())} ms`);
    await until("the page says nothing", async () => (await page.getByTestId("status").textContent())?.trim() === "");
  }
  assert.equal(await page.evaluate(() => /** @type {any} */ (globalThis).marked), true, "the page was reloaded");
  assert.equal((await server.participants("through")).length, 1);
});

test("another address: ICE restarts", { skip }, async (t) => {
  const { link, page, server } = await behind(t, { link: ["--paths", "2"] });
  await sleep(1000);
  await link.move();
  t.diagnostic(`after a move: picture back in ${await back(page, Date.now())} ms`);
  await plays(page);
  assert.equal((await server.participants("through")).length, 1, "a ghost");
});

test("no UDP: TCP, and the page says so", { skip }, async (t) => {
  const { page, joined } = await behind(t, { shape: "block=udp rate=1M" });
  t.diagnostic(`joined in ${joined} ms`);
  await until("the page says TCP", async () => (await page.getByTestId("status").textContent())?.includes("using TCP"));
  t.diagnostic((await line(page)) ?? "");
});

test("IPv6 only", { skip }, async (t) => {
  const { joined } = await behind(t, { link: ["--ipv6-only"] });
  t.diagnostic(`joined in ${joined} ms`);
});

test("translators before the client", { skip }, async (t) => {
  const { joined } = await behind(t, { link: ["--nat-client"] });
  t.diagnostic(`joined in ${joined} ms`);
});

test("the server restarts: the page rejoins by itself", { skip }, async (t) => {
  const { page, server } = await behind(t);
  await sleep(1000);
  await server.restart();
  t.diagnostic(`picture back in ${await back(page, Date.now())} ms after it is ready`);
  await plays(page);
  assert.equal((await server.participants("through")).length, 1);
});
