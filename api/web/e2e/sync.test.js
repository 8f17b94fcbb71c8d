// Sound and picture stay together, whatever the way to the server does to them.
//
// Senders flash white and beep at the same instant. Receivers note when a tile turns white on the screen and when its tone
// leaves the loudspeaker, by the browser's own account. The advance is the first less the second: positive is sound early
// (Recommendation ITU-R BT.1359), which people notice sooner than sound that is late.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, PageServer } from "./lib/browser.js";
import { Relay } from "./lib/relay.js";
import { Server } from "./lib/server.js";
import { advances, quantile, SyncPeer } from "./lib/sync.js";
import { until } from "./lib/until.js";

const late = -80; // ms, the most that sound may be behind
const early = 45; // ms, the most that it may be ahead
const settling = 12_000;
const watching = process.env.E2E_LONG ? 120_000 : 20_000; // a flash a second
const least = 14; // pairs of flash and beep
const unsteady = 150; // ms between p10 and p90, from where browsers by themselves are no instrument
const tries = 4; // to find them steady

const senders = [
  { id: "ada", jitter: 0, color: [200, 40, 40], tone: 600, offset: 0 },
  { id: "bob", jitter: 100, color: [40, 170, 60], tone: 1100, offset: 320 },
  { id: "cleo", jitter: 300, color: [50, 70, 210], tone: 1850, offset: 680 },
];
const tones = senders.map((s) => s.tone);

/** @type {Server} */ let server;
/** @type {PageServer} */ let pages;
/** @type {import("playwright-core").Browser} */ let browser;

let dir = "";

before(async () => {
  // Small pictures: four browsers decode and draw them on the machine that serves them, and what has to wait for a core is
  // seen late.
  dir = await mkdtemp(join(tmpdir(), "mixdown-sync-"));
  const config = join(dir, "config.yaml");
  await writeFile(config, "ladder:\n  - {name: small, width: 320, height: 180, fps: 25, bitrate: 300000, mtu: 1160}\n");
  server = await Server.start("--config", config);
  pages = await PageServer.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await pages?.stop();
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

const spread = (/** @type {number[]} */ list) =>
  [0.5, 0.1, 0.9].map((q) => quantile(list, q)?.toFixed(0)).join(" / ");

test("a relay holds up and keeps the order", async () => {
  const echo = createSocket("udp4");
  echo.on("message", (data, from) => echo.send(data, from.port, from.address)).bind(0, "127.0.0.1");
  await once(echo, "listening");
  const relay = await Relay.start({ to: echo.address().port, jitter: 40, seed: 7 });
  const client = createSocket("udp4");
  /** @type {number[]} */
  const got = [];
  client.on("message", (data) => got.push(data.readUInt16BE()));
  const all = Array.from({ length: 300 }, (_, i) => i);
  for (const i of all) {
    client.send(Buffer.from([i >> 8, i & 255]), relay.port, "127.0.0.1");
    if (i % 10 === 0) await sleep(2);
  }
  await until("all are back", () => got.length === all.length, { show: () => got.length });
  assert.deepEqual(got, all);
  assert.ok(relay.longest > 1, "some had to wait");
  assert.deepEqual([relay.forwarded, relay.back, relay.dropped], [300, 300, 0]);
  client.close();
  await relay.close();
  await relay.close();
  echo.close();
});

/**
 * What browsers make of it among themselves, with the same instruments: the medians, or null if they are too far from steady
 * for anything to be measured with them. @param {import("node:test").TestContext} t @param {SyncPeer[]} peers
 */
async function alone(t, peers) {
  for (const [i, peer] of peers.entries()) await peer.loop([tones[i]]);
  await sleep(settling);
  const recordings = await Promise.all(peers.map((peer) => peer.record([{ x: 0, y: 0, w: 1000, h: 1000 }], 12_000)));
  for (const peer of peers) await peer.leave();
  let calm = true;
  const medians = recordings.map((recording, i) => {
    const { out } = advances(recording, 0);
    t.diagnostic(`${peers[i].id} to itself over no network: ${spread(out)} ms of advance (p50 / p10 / p90 of ${out.length}), ` +
      `of it the loudspeaker's delay ${spread(recording.latency)} ms; load ${loadavg()[0].toFixed(1)}`);
    calm &&= out.length >= 8 && quantile(out, 0.9) - quantile(out, 0.1) <= unsteady;
    return quantile(out, 0.5);
  });
  return calm ? medians : null;
}

/**
 * Brings everybody into the room, looks and listens for a while; returns the lines of those pairs that are outside the bounds.
 * @param {import("node:test").TestContext} t @param {string} room @param {SyncPeer[]} peers @param {SyncPeer} viewer @param {number[]} baseline
 */
async function visit(t, room, peers, viewer, baseline) {
  const all = [...peers, viewer];
  for (const [i, peer] of peers.entries()) await peer.enter(server, { room, sends: true, tones, jitter: senders[i].jitter, seed: i + 1 });
  await viewer.enter(server, { room, sends: false, tones });
  for (const peer of all) {
    await until(`${peer.id} receives`, async () => {
      const s = await peer.stats();
      return s.framesDecoded > 25 && s.audioSeconds > 1;
    }, { show: () => peer.stats() });
  }
  const tiles = await until("all have a tile", async () => {
    const shown = await viewer.tiles(server, room);
    const found = senders.flatMap((s) => shown.find((tile) => tile.id === s.id) ?? []);
    return found.length === senders.length ? found : null;
  });
  await sleep(settling);
  const recorded = Promise.all(all.map((peer) => peer.record(tiles, watching)));
  /** @type {Map<string, number[]>} */
  const figures = new Map();
  for (let i = 0; i < watching / 1000 - 1; i++) {
    await sleep(1000);
    for (const [, key, v] of (await server.metrics()).matchAll(/^mixdown_participant_(\S+) (\S+)$/gm)) {
      figures.set(key, [...(figures.get(key) ?? []), Number(v)]);
    }
  }
  const recordings = await recorded;

  t.diagnostic(`load average ${loadavg().map((l) => l.toFixed(1)).join(" ")}`);
  for (const { id, jitter } of senders) {
    /** @param {string} name @param {(list: number[]) => string} show */
    const figure = (name, show) => show((figures.get(`${name}{participant="${id}",room="${room}"}`) ?? []).map((v) => v * 1000));
    const grown = (/** @type {number[]} */ list) => (list[list.length - 1] - list[0]).toFixed(0);
    t.diagnostic(`${id}, ${jitter} ms of jitter, to the server (p50 / p10 / p90): playout delay ${figure("playout_delay_seconds", spread)} ms, ` +
      `target ${figure("playout_target_seconds", spread)} ms, sound behind picture ${figure("sync_offset_seconds", spread)} ms; ` +
      `concealed ${figure("concealed_seconds_total", grown)} ms, stretched ${figure("stretched_seconds_total", grown)} ms`);
  }
  for (const peer of all) t.diagnostic(`${peer.id}: ${JSON.stringify(await peer.stats())}, relay ${peer.relay?.forwarded} in, ${peer.relay?.back} out, ${peer.relay?.dropped} dropped, queue up to ${peer.relay?.longest}`);

  const wrong = [];
  for (const [r, recording] of recordings.entries()) {
    for (const [i, s] of senders.entries()) {
      const { out, flashes, beeps } = advances(recording, i);
      if (all[r].id === s.id) continue; // nobody hears themselves
      const p50 = quantile(out, 0.5);
      const text = `${all[r].id} gets ${s.id} (${s.jitter} ms of jitter): ${spread(out)} ms of advance (p50 / p10 / p90 of ${out.length}; ` +
        `${flashes.length} flashes, ${beeps.length} beeps), ${(p50 - baseline[i]).toFixed(0)} against its baseline`;
      t.diagnostic(text);
      if (out.length < least || !(p50 >= late && p50 <= early)) wrong.push(text);
    }
  }
  for (const peer of all) await peer.leave();
  return wrong;
}

test("sound stays with its picture", async (t) => {
  const room = "sync";
  await server.room(room);
  const peers = [];
  for (const s of senders) peers.push(await SyncPeer.open(browser, pages.url, s.id));
  const viewer = await SyncPeer.open(browser, pages.url, "vera");

  for (const [i, peer] of peers.entries()) await peer.send(senders[i]);
  /** @type {number[] | null} */
  let baseline = null;
  for (let i = 0; i < tries && !baseline; i++) baseline = await alone(t, peers);
  if (!baseline) return t.skip("the machine is too busy: browsers do not keep together what passes no network at all");

  const wrong = await visit(t, room, peers, viewer, baseline);
  assert.deepEqual(wrong, [], `outside ${late}…+${early} ms`);
});
