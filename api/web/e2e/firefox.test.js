// Firefox joins by the page, with its generated devices.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import puppeteer from "puppeteer-core";
import { Server } from "./lib/server.js";
import { until } from "./lib/until.js";

const executablePath = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
const skip = existsSync(executablePath) ? false : `${executablePath} is not there`;

/** @type {Server} */ let server;
/** @type {import("puppeteer-core").Browser} */ let browser;

before(async () => {
  if (skip) return;
  server = await Server.start();
  browser = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    extraPrefsFirefox: {
      "media.navigator.streams.fake": true,
      "media.navigator.permission.disabled": true,
      "media.autoplay.default": 0,
      "media.autoplay.blocking_policy": 0,
      "media.peerconnection.ice.loopback": true,
      "media.peerconnection.ice.obfuscate_host_addresses": false,
    },
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("Firefox sends, and receives one picture and one sound", { skip }, async (t) => {
  const room = await server.room("fox");
  const page = await browser.newPage();
  // The page keeps its connection to itself: this one is noted on its way.
  await page.evaluateOnNewDocument(() => {
    const Real = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
      /** @param {RTCConfiguration} [c] */
      constructor(c) {
        super(c);
        Object.assign(window, { pc: this });
      }
    };
  });
  await page.goto(`${server.url}/r/fox#${room.join_key}`);
  await page.waitForSelector("[data-testid=name]");
  await page.type("[data-testid=name]", "Freya");
  await page.click("[data-testid=join]");
  const stats = () =>
    page.evaluate(async () => {
      const pc = /** @type {RTCPeerConnection | undefined} */ (/** @type {any} */ (window).pc);
      const out = { video: 0, audio: 0, frames: 0, sound: 0, width: 0, state: pc?.connectionState ?? "none", status: "", inbound: {} };
      out.status = document.querySelector("[data-testid=status]")?.textContent ?? "";
      for (const e of (await pc?.getStats())?.values() ?? []) {
        if (e.type !== "inbound-rtp") continue;
        if (e.kind === "video") {
          out.video++;
          out.frames += e.framesDecoded ?? 0;
          out.width = e.frameWidth ?? 0;
          out.inbound = { ...e }; // what a failure is told with
        } else {
          out.audio++;
          out.sound += e.packetsReceived ?? 0;
        }
      }
      return out;
    });
  await until("Firefox decodes pictures and gets sound", async () => {
    const s = await stats();
    return s.frames > 50 && s.sound > 100;
  }, { show: stats, limit: 30_000 });
  const s = await stats();
  t.diagnostic(JSON.stringify(s));
  assert.deepEqual([s.video, s.audio], [1, 1]);
  const [freya] = await until("the room gets both", async () => {
    const list = await server.participants("fox");
    return list.length === 1 && list[0].audio && list[0].video && list[0].width > 0 && list;
  }, { show: () => server.participants("fox") });
  assert.equal(freya.name, "Freya");
});
