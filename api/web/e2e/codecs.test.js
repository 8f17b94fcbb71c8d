// Everybody sends and receives pictures in a codec of their own.
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

for (const [ada, bob, cleo] of [["VP8", "H264", "VP9"], ["AV1", "VP8", "H264"]]) {
  test(`${ada}, ${bob} and ${cleo} in one room`, async (t) => {
    const room = `codecs-${ada}-${bob}-${cleo}`;
    await server.room(room);
    const peers = [];
    for (const [id, codec] of /** @type {[keyof typeof voices, string][]} */ ([["ada", ada], ["bob", bob], ["cleo", cleo]])) {
      peers.push({ codec, peer: await Peer.join(browser, pages.url, server, { room, id, voice: voices[id], codec, tier: "360p" }) });
    }
    for (const { peer, codec } of peers) {
      // Tiles are found by colour, so a wrong matrix or range would be seen here.
      await until(`${peer.id} sees all in ${codec}`, async () => {
        const seen = await peer.watch(700);
        // On a busy machine a link may seem thin for a while, and its client moves to a lower tier.
        return seen.length === 3 && seen.every((tile) => tile.ages.length > 3) && (await peer.stats()).width === 640;
      }, { show: () => peer.stats() });
      const s = await peer.stats();
      t.diagnostic(`${peer.id}: ${s.codec} ${s.width}x${s.height}, ${s.framesDecoded} frames`);
      assert.equal(s.codec, `video/${codec}`);
      assert.deepEqual([s.width, s.height, s.inboundVideo], [640, 360, 1]);
    }
    for (const { peer } of peers) await peer.leave();
  });
}
