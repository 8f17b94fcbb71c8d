// A browser that calls a room by SIP over WebSocket (RFC 7118), with SIP.js, beside one that came by the page's way.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Baresip } from "./lib/baresip.js";
import { launch, PageServer } from "./lib/browser.js";
import { Peer, Phone, voices } from "./lib/peer.js";
import { freePort, Server } from "./lib/server.js";
import { until } from "./lib/until.js";

/** @type {Server} */ let server;
/** @type {PageServer} */ let pages;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Baresip | undefined} */ let phone;
let dir = "";
let port = 0;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "mixdown-sip-"));
  port = await freePort(true);
  await writeFile(join(dir, "mixdown.yaml"), `sip: {ws_path: /sip, addr: "127.0.0.1:${port}", dial_out: {allow: ["*@127.0.0.1"]}}\n`);
  server = await Server.start("--config", join(dir, "mixdown.yaml"));
  pages = await PageServer.start();
  browser = await launch();
});
after(async () => {
  await phone?.stop();
  await browser?.close();
  await pages?.stop();
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

const room = "sipjs";
const loud = -40; // dBFS; a tone of theirs is at -20 or so
const quiet = -60;

/** Waits until a peer sees just these. @param {Peer} peer @param {string[]} ids */
function sees(peer, ...ids) {
  const seen = async () => (await peer.watch(400)).map((tile) => tile.id).sort().join();
  return until(`${peer.id} sees ${ids}`, async () => (await seen()) === ids.sort().join(), { show: seen, limit: 20_000 });
}

/** Waits until a peer hears a voice, or does not. @param {Peer} peer @param {keyof typeof voices} id @param {boolean} does */
function hears(peer, id, does) {
  const level = async () => (await peer.listen(1000))[id].p50;
  return until(`${peer.id} ${does ? "hears" : "does not hear"} ${id}`, async () => (does ? (await level()) > loud : (await level()) < quiet), { show: level, limit: 20_000 });
}

/** Calls, again while the machine is too busy for newcomers. @param {Phone} phone @param {Parameters<Phone["dial"]>[0]} call */
function taken(phone, call) {
  const tried = () => phone.dial(call).then(() => true, (/** @type {Error} */ err) => {
    if (!/ 503 /.test(err.message)) throw err;
    return false;
  });
  return until(`${phone.id}'s call is taken`, tried, { every: 1000, limit: 60_000 });
}

test("SIP.js calls a room, is seen and heard, holds, presses keys, and hangs up", async () => {
  const { pin } = await server.room(room);
  const ada = await Peer.join(browser, pages.url, server, { id: "ada", room, voice: voices.ada });
  const bob = await Phone.open(browser, pages.url, "bob");
  const ws = `${server.url.replace("http", "ws")}/sip`;

  const call = { server: ws, voice: voices.bob };
  await assert.rejects(bob.dial({ ...call, to: "sip:nowhere@127.0.0.1" }), /404/);
  await taken(bob, { ...call, to: `sip:${room}@127.0.0.1;pin=${pin}` });
  const state = () => server.rest("GET", `/rooms/${room}/state`);
  const member = async () => (await state()).participants.find((/** @type {any} */ p) => p.name === "bob");
  await until("Bob is in the room", member, { show: state });

  // Each of two sees the other.
  await sees(bob, "ada");
  await sees(ada, "bob");
  await hears(bob, "ada", true);
  await hears(ada, "bob", true);
  await hears(bob, "bob", false);
  const s = await bob.stats();
  assert.deepEqual([s.inboundVideo, s.inboundAudio], [1, 1]);

  const called = async () => (await server.rest("GET", `/rooms/${room}/calls`))[0]?.state;
  await bob.hold(true);
  await until("held", async () => (await called()) === "held", { show: called });
  const before = (await bob.stats()).framesDecoded;
  await until("nothing is sent to Bob", async () => {
    const at = (await bob.stats()).framesDecoded;
    await new Promise((resolve) => setTimeout(resolve, 500));
    return (await bob.stats()).framesDecoded === at;
  }, { show: async () => (await bob.stats()).framesDecoded - before });
  await bob.hold(false);
  await until("connected", async () => (await called()) === "connected", { show: called });
  await sees(bob, "ada");
  await sees(ada, "bob");
  await hears(bob, "ada", true);
  await hears(ada, "bob", true);

  for (const key of "*1") await bob.press(key);
  await hears(ada, "bob", false);
  assert.equal((await member()).audio, false);
  for (const key of "*1") await bob.press(key);
  await hears(ada, "bob", true);

  await bob.leave();
  await until("Bob is gone", async () => !(await member()), { show: state });
  await sees(ada, "ada");

  // The room hangs up as well.
  const again = await Phone.open(browser, pages.url, "bob");
  await taken(again, { ...call, to: `sip:${room}@127.0.0.1;pin=${pin}` });
  const id = (await until("Bob is back", member, { show: state })).id;
  await server.rest("DELETE", `/rooms/${room}/participants/${id}`);
  await until("Bob hears of it", async () => !(await again.up()));
  await ada.leave();
});

test("a telephone with a camera is seen and heard by a browser, and hears it, not itself", async () => {
  const room = "phone";
  const { pin } = await server.room(room);
  const ada = await Peer.join(browser, pages.url, server, { id: "ada", room, voice: voices.ada });
  phone = await Baresip.start(voices.cleo);
  const state = () => server.rest("GET", `/rooms/${room}/state`);
  const member = async () => (await state()).participants.find((/** @type {any} */ p) => p.name === "cleo" && p.video && p.audio);
  // Refused while the machine is too busy for newcomers.
  let dialled = 0;
  await until("the telephone is in the room", async () => {
    if (await member()) return true;
    if (Date.now() - dialled > 10_000) {
      await phone?.tell("hangup").catch(() => {});
      await phone?.tell("dial", `sip:${room}@127.0.0.1:${port};pin=${pin}`);
      dialled = Date.now();
    }
    return false;
  }, { show: () => phone?.log.slice(-2000), every: 500, limit: 60_000 });
  await sees(ada, "cleo");
  await hears(ada, "cleo", true);
  await hears(ada, "ada", false);
  await new Promise((resolve) => setTimeout(resolve, 2000)); // that it writes down
  const [other, own] = await phone.stop(voices.ada.tone, voices.cleo.tone);
  assert.ok(other > loud, `the telephone hears Ada at ${other} dB`);
  assert.ok(own < quiet + 5, `the telephone hears itself at ${own} dB`);
  await until("the telephone is gone", async () => (await state()).participants.length === 1, { show: state });
  await ada.leave();
});

test("a host calls a telephone from the page", async () => {
  const made = await server.room("office");
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  await page.goto(`${server.url}/r/office#${made.host_key}`);
  await page.getByTestId("name").fill("Hanna");
  // Refused while the machine is too busy for newcomers.
  await until("Hanna is in", async () => {
    if (await page.getByTestId("people-button").isVisible()) return true;
    if (await page.getByTestId("join").isEnabled()) await page.getByTestId("join").click().catch(() => {});
    return false;
  }, { every: 1000, limit: 60_000 });
  await page.getByTestId("people-button").click();
  const dial = async (/** @type {string} */ to) => {
    await page.getByLabel("Address or number").fill(to);
    await page.getByLabel("Name on the tile").fill("Berlin");
    await page.getByTestId("call").click();
  };
  const calls = page.getByTestId("phone-call");
  const last = async () => ((await calls.count()) ? calls.last().innerText() : "");
  const shows = (/** @type {RegExp} */ what) => until(`the page shows ${what}`, async () => what.test(await last()), { show: last });

  await dial("sip:room@elsewhere.example");
  await until("who may not be called is said so", async () => /elsewhere|allow/i.test((await page.getByTestId("call-trouble").textContent()) ?? ""));
  assert.equal(await calls.count(), 0);

  phone = await Baresip.start(voices.cleo);
  const to = `sip:cleo@127.0.0.1:${phone.port}`;
  await dial(to);
  await shows(/Berlin[^]*Ringing/);
  assert.equal(await page.getByTestId("call-to").inputValue(), "");
  await phone.tell("hangup");
  await shows(/Failed: .*\(4\d\d\)|Failed: .*\(6\d\d\)/);

  await dial(to);
  await shows(/Ringing/);
  await phone.tell("accept");
  await shows(/In the room/);
  await until("the telephone is among the people", async () => (await server.participants("office")).some((p) => p.name === "Berlin"));
  await page.getByRole("button", { name: "Hang up Berlin" }).click();
  await shows(/Ended/);
  await until("the telephone hears of it", () => /session closed|terminated/.test(phone?.log.split("answered").pop() ?? ""));
  await phone.stop();
  phone = undefined;
  await page.getByTestId("leave").click();
});
