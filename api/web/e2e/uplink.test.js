// A client whose way up carries little: sound goes first, the picture shrinks, pauses, and the page says so.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Link, noLink } from "./lib/link.js";
import { launchIn, trusting } from "./lib/namespace.js";
import { Server } from "./lib/server.js";
import { until } from "./lib/until.js";

/** @type {Link} */ let link;
/** @type {Server} */ let server;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  if (noLink) return;
  link = await Link.start();
  server = await Server.startFor({ addresses: ["127.0.0.1", ...link.server] });
  browser = await launchIn(link.namespace, ...trusting(`http://${link.server[0]}:${new URL(server.url).port}`));
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await link?.stop();
});

test("a thin way up has sound first", { skip: noLink || false, timeout: 120_000 }, async (t) => {
  const page = await browser.newPage({ viewport: { width: 480, height: 320 } });
  const { join_key } = await server.room("up");
  await page.addInitScript(() => {
    const Real = RTCPeerConnection;
    const w = /** @type {any} */ (window);
    w.RTCPeerConnection = function (/** @type {any[]} */ ...args) {
      return (w.pc = new Real(...args));
    };
    w.RTCPeerConnection.prototype = Real.prototype;
  });
  await page.goto(`http://${link.server[0]}:${new URL(server.url).port}/r/up#${join_key}`);
  await page.getByTestId("name").fill("Up");
  await link.set("both", "delay=100ms");
  await link.set("up", `rate=${process.env.E2E_UP ?? "50k"} queue=500ms`);
  await page.getByTestId("join").click();

  /** Packets of sound that were sent so far, and what the picture is. */
  const sent = () =>
    page.evaluate(async () => {
      const out = { packets: 0, loss: -1, width: 0 };
      (await /** @type {any} */ (window).pc?.getStats())?.forEach((/** @type {any} */ e) => {
        if (e.type === "outbound-rtp" && e.kind === "audio") out.packets = e.packetsSent;
        if (e.type === "outbound-rtp" && e.kind === "video") out.width = e.frameWidth ?? 0;
        if (e.type === "remote-inbound-rtp" && e.kind === "audio") out.loss = e.fractionLost;
      });
      return out;
    });
  await until("sound is sent", async () => (await sent()).packets > 20);
  // The queue empties by itself, and sound goes in long packets, 17 a second. E2E_SECONDS looks on.
  const least = Number(process.env.E2E_SECONDS ?? 0);
  let last = await sent();
  let calm = 0;
  for (let i = 0; i < Math.max(40, least) && (calm < 3 || i < least); i++) {
    await page.waitForTimeout(1000);
    const [now, { up }] = [await sent(), await link.stats()];
    const packets = now.packets - last.packets;
    const paused = await page.getByTestId("paused").count();
    t.diagnostic(`${i}: ${packets} packets of sound, loss ${now.loss}, picture ${now.width} wide, wait ${up.wait_p50_ms}/${up.wait_p95_ms} ms, dropped ${up.dropped}, paused ${paused}`);
    last = now;
    calm = up.wait_p50_ms < 300 && packets < 30 ? calm + 1 : 0;
  }
  assert.ok(calm >= 3, "the queue before the link is short, and sound is sparing");

  await link.set("up", "rate=25k queue=500ms");
  await page.getByTestId("paused").waitFor({ timeout: 30_000 });
  await until("the others see the name", async () => {
    const [me] = await server.participants("up");
    return me.audio && !me.video;
  });
});
