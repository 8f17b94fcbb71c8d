// Getting through networks that hate it, and coming back: the join page behind
// an emulated link. E2E_LONG adds what takes minutes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Authority } from "./lib/authority.js";
import { Link, noLink } from "./lib/link.js";
import { launchAt, launchIn, trusting } from "./lib/namespace.js";
import { freePort, Server } from "./lib/server.js";
import { until } from "./lib/until.js";

const long = Boolean(process.env.E2E_LONG);
const skip = noLink || false;
const host = (/** @type {string} */ address) => (address.includes(":") ? `[${address}]` : address);

/**
 * Ends what a test starts, the last first: a server waits a while for a browser that its link has left.
 * @param {import("node:test").TestContext} t
 */
function ending(t) {
  /** @type {(() => unknown)[]} */
  const ends = [];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  return (/** @type {() => unknown} */ end) => ends.push(end);
}

/**
 * A server, a link to it, and the page in the room behind the link.
 * @param {import("node:test").TestContext} t @param {{link?: string[], shape?: string, flags?: string[], settled?: boolean}} o
 */
async function behind(t, { link: how = [], shape = "", flags = [] } = {}) {
  const after = ending(t);
  const [http, rtc] = [await freePort(false), await freePort(true)];
  const link = await Link.start(...how.map((flag) => flag.replace("PORTS", `${http},${rtc}`)));
  after(() => link.stop());
  const server = await Server.startFor({ addresses: link.server, http, rtc }, ...flags);
  after(() => server.stop());
  if (shape) await link.set("both", shape);
  const origin = `http://${host(link.server[0])}:${new URL(server.url).port}`;
  const browser = await launchIn(link.namespace, ...trusting(origin));
  after(() => browser.close());
  const { join_key } = await server.room("through");
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  const joined = await join(page, `${origin}/r/through#${join_key}`);
  return { link, server, page, joined, origin };
}

/** Joins and waits for the picture; returns how long it took, ms. @param {import("playwright-core").Page} page @param {string} link */
async function join(page, link) {
  await page.goto(link);
  await page.getByTestId("name").fill("Ada");
  const clicked = Date.now();
  await page.getByTestId("join").click();
  await plays(page);
  return Date.now() - clicked;
}

/** Frames that the page has shown. @param {import("playwright-core").Page} page */
const shown = (page) =>
  page.getByTestId("mix").evaluate((v) => /** @type {HTMLVideoElement} */ (v).getVideoPlaybackQuality().totalVideoFrames).catch(() => 0);

/** A firewall that lets nothing through but what is relayed. @param {import("playwright-core").Page} page */
const relayOnly = (page) =>
  page.addInitScript(() => {
    const Before = RTCPeerConnection;
    globalThis.RTCPeerConnection = class extends Before {
      /** @param {RTCConfiguration} [c] */
      constructor(c) {
        super({ ...c, iceTransportPolicy: "relay" });
      }
    };
  });

/** Resolves when the picture moves, and stays so for half a second. @param {import("playwright-core").Page} page */
async function plays(page) {
  await page.getByTestId("mix").waitFor();
  await until("the picture moves", async () => {
    const before = await shown(page);
    await sleep(100);
    return (await shown(page)) > before && before > 0;
  }, { limit: 30_000, every: 10 });
}

/** What the page says of the link. @param {import("playwright-core").Page} page */
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
  for (const seconds of (process.env.E2E_OUTAGES ?? (long ? "5,20,20,40" : "5")).split(",")) {
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
  const turn = await freePort(true);
  const { joined, page, server, origin } = await behind(t, { link: ["--ipv6-only"], flags: ["--turn-addr", `:${turn}`] });
  t.diagnostic(`joined in ${joined} ms`);
  const relayed = await (await /** @type {import("playwright-core").Browser} */ (page.context().browser()).newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  await relayOnly(relayed);
  const { join_key } = await server.room("relayed");
  t.diagnostic(`relayed: joined in ${await join(relayed, `${origin}/r/relayed#${join_key}`)} ms`);
  assert.match(await server.metrics(), /^mixdown_turn_allocations(\{[^}]*\})? [1-9]/m);
});

test("translators before the client, the server, and both", { skip }, async (t) => {
  for (const link of [["--nat-client"], ["--nat-server", "PORTS"], ["--nat-client", "--nat-server", "PORTS"]]) {
    await t.test(link.filter((flag) => flag !== "PORTS").join(" "), async (t) => {
      const { joined } = await behind(t, { link });
      t.diagnostic(`joined in ${joined} ms`);
    });
  }
});

test("the server restarts: the page rejoins by itself", { skip }, async (t) => {
  const { page, server } = await behind(t);
  await sleep(1000);
  await server.restart();
  t.diagnostic(`picture back in ${await back(page, Date.now())} ms after it is ready`);
  await plays(page);
  assert.equal((await server.participants("through")).length, 1);
});

test("all but one TCP port blocked: relayed through TLS", { skip }, async (t) => {
  const after = ending(t);
  const link = await Link.start();
  after(() => link.stop());
  const authority = await Authority.make(link.server);
  after(() => authority.remove());
  const port = await freePort(false);
  const server = await Server.startFor({ addresses: link.server }, ...authority.flags, "--one-port", `:${port}`);
  after(() => server.stop());
  const { join_key } = await server.room("through");
  await link.set("both", `block=tcp:${port}`);
  const browser = await launchAt(link.namespace, authority.dir);
  after(() => browser.close());
  for (const relayed of [false, true]) {
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
    if (relayed) await relayOnly(page);
    const joined = await join(page, `https://${link.server[0]}:${port}/r/through#${join_key}`);
    t.diagnostic(`${relayed ? "TURN over TLS" : "any way"}: joined in ${joined} ms`);
    await until("the page says TCP", async () => (await page.getByTestId("status").textContent())?.includes("using TCP"));
    if (relayed) assert.match(await server.metrics(), /^mixdown_turn_allocations(\{[^}]*\})? [1-9]/m);
    await page.context().close();
  }
});
