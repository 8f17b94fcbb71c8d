// A client's tier: chosen at join, changed while running.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, PageServer } from "./lib/browser.js";
import { Peer, voices } from "./lib/peer.js";
import { Server } from "./lib/server.js";
import { until } from "./lib/until.js";

/** @type {Server} */ let server;
/** @type {PageServer} */ let pages;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  server = await Server.start();
  pages = await PageServer.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await pages?.stop();
  await server?.stop();
});

test("a tier is chosen at join and switched without a freeze", async (t) => {
  const room = "tiers";
  const { tiers } = await server.room(room);
  t.diagnostic(`the ladder: ${tiers.join(", ")}`);
  const [high, low] = [tiers[0], "360p"];
  const ada = await Peer.join(browser, pages.url, server, { room, id: "ada", voice: voices.ada, tier: high });
  const vera = await Peer.join(browser, pages.url, server, { room, id: "vera", tier: low });

  /** @param {Peer} peer @param {string} size */
  const gets = (peer, size) =>
    until(`${peer.id} gets ${size}`, async () => {
      const s = await peer.stats();
      return `${s.width}x${s.height}` === size && s.framesDecoded > 20;
    }, { show: () => peer.stats() });
  await gets(ada, "1280x720");
  await gets(vera, "640x360");

  /** Moves a peer by REST, sees it go on, and tells how often it froze. @param {Peer} peer @param {string} tier @param {string} size */
  const move = async (peer, tier, size) => {
    const before = await peer.stats();
    await server.rest("PUT", `/rooms/${room}/participants/${peer.id}/tier`, { tier });
    await gets(peer, size);
    const switched = await peer.stats();
    await until(`${peer.id} goes on at ${size}`, async () => (await peer.stats()).framesDecoded > switched.framesDecoded + 30);
    const now = await peer.stats();
    assert.deepEqual([now.inboundVideo, now.inboundAudio], [1, 1]);
    return now.freezes - before.freezes;
  };
  // A machine that is busy elsewhere freezes a browser now and then; a move that stalls does so every time.
  for (const peer of [vera, ada]) {
    const freezes = { up: Infinity, down: Infinity };
    for (let i = 0; i < 4 && freezes.up + freezes.down > 0; i++) {
      freezes.down = Math.min(freezes.down, await move(peer, low, "640x360"));
      freezes.up = Math.min(freezes.up, await move(peer, high, "1280x720"));
    }
    assert.deepEqual(freezes, { up: 0, down: 0 }, peer.id);
  }
  await move(vera, low, "640x360");

  const seen = await vera.watch(2000);
  assert.deepEqual(seen.map((tile) => tile.id), ["ada"]);
  assert.ok(seen[0].ages.length > 5, "the clock can be read in the small picture");

  await assert.rejects(server.rest("PUT", `/rooms/${room}/participants/vera/tier`, { tier: "none-such" }), /400/);
  await ada.leave();
  await vera.leave();
});
