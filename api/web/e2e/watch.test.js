// A film played into a room, and the room's programme watched outside of it, over HLS.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { launch } from "./lib/browser.js";
import { Server } from "./lib/server.js";
import { until } from "./lib/until.js";

/** @type {Server} */ let server;
/** @type {import("playwright-core").Browser} */ let browser;
let dir = "";

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "mixdown-watch-"));
  await promisify(execFile)("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", "color=red:s=320x180:r=25:d=4", "-f", "lavfi", "-i", "sine=1000:d=4",
    "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", join(dir, "film.mp4")]);
  await writeFile(join(dir, "mixdown.yaml"), `inputs: {folder: ${dir}}\noutputs: {width: 640, height: 360, bitrate: 500000}\n`);
  server = await Server.start("--config", join(dir, "mixdown.yaml"));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

/** What a video element shows. @param {import("playwright-core").Page} page */
function seen(page) {
  return page.evaluate(() => {
    const v = document.querySelector("video");
    if (!v || v.readyState < 2) return null;
    const c = new OffscreenCanvas(1, 1).getContext("2d");
    c?.drawImage(v, v.videoWidth / 2, v.videoHeight / 4, 1, 1, 0, 0, 1, 1);
    const sound = /** @type {{webkitAudioDecodedByteCount?: number}} */ (v).webkitAudioDecodedByteCount ?? 0;
    return { at: v.currentTime, width: v.videoWidth, colour: [...(c?.getImageData(0, 0, 1, 1).data ?? [])], sound, error: v.error?.message };
  });
}

test("the programme is watched over HLS, by the page and by the browser itself", async (t) => {
  const room = "cinema";
  await server.room(room);
  const ask = (/** @type {string} */ path, /** @type {object} */ body) => server.rest("POST", `/rooms/${room}/${path}`, body);
  await ask("inputs", { file: "film.mp4", loop: true });
  const output = await ask("outputs", { format: "hls" });
  const page = await browser.newPage();
  /** @type {string[]} */ const troubles = [];
  page.on("pageerror", (e) => troubles.push(e.message));
  page.on("console", (m) => m.type() === "error" && !/404/.test(m.text()) && troubles.push(m.text()));

  await page.goto(output.page); // before there is anything to play
  const plays = async () => {
    const s = await seen(page);
    return s && s.at > 2 && s.width === 640 && s.sound > 0 && s.colour[0] > 180 && s.colour[1] < 80;
  };
  await until("the page plays it", plays, { show: () => seen(page), limit: 30_000 });
  const from = (await seen(page))?.at ?? 0;
  await until("it goes on", async () => ((await seen(page))?.at ?? 0) > from + 1, { show: () => seen(page), limit: 15_000 });
  assert.deepEqual(troubles, []);

  if (!process.env.E2E_LONG) return;
  // Without Media Source Extensions the page leaves it to the browser.
  const bare = await browser.newPage();
  await bare.addInitScript(() => { Object.assign(self, { MediaSource: undefined, ManagedMediaSource: undefined, WebKitMediaSource: undefined }); });
  const native = await bare.evaluate(() => document.createElement("video").canPlayType("application/vnd.apple.mpegurl"));
  t.diagnostic(`canPlayType of HLS: ${JSON.stringify(native)}`);
  if (native) {
    await bare.goto(output.page);
    await until("the browser plays it by itself", async () => ((await seen(bare))?.at ?? 0) > 1, { show: () => seen(bare), limit: 30_000 });
    assert.ok(((await seen(bare))?.colour[0] ?? 0) > 180);
  }
});
