// A host records the room by the page; everybody sees that; Chromium plays what came of it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./lib/browser.js";
import { Server } from "./lib/server.js";
import { until } from "./lib/until.js";

/** @type {Server} */ let server;
/** @type {import("playwright-core").Browser} */ let browser;

before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a host records, a guest sees it, Chromium plays it", async () => {
  const room = await server.room("demo");
  /** @param {string} key @param {string} name */
  const enter = async (key, name) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${server.url}/r/demo#${key}`);
    await page.getByTestId("name").fill(name);
    await page.getByTestId("join").click();
    await page.getByTestId("mix").waitFor();
    return page;
  };
  const guest = await enter(room.join_key, "Guest");
  assert.equal(await guest.getByTestId("record").count(), 0, "only hosts have the button");
  const host = await enter(room.host_key, "Host");
  const token = server.token({ room: "demo", identity: "keeper", role: "host" });
  const all = `${server.url}/api/v1/rooms/demo/recordings`;
  /** @param {string} what @param {(rec: any) => boolean} is */
  const recorded = (what, is) =>
    until(what, async () => {
      const [rec] = await (await fetch(all, { headers: { authorization: `Bearer ${token}` } })).json();
      return rec && is(rec) && rec;
    });
  const asked = Date.now();
  await host.getByTestId("record").click();
  await guest.getByTestId("recording").waitFor();
  const before = await recorded("some seconds are recorded", (rec) => rec.length > 3);
  await host.getByTestId("record").click();
  await guest.getByTestId("recording").waitFor({ state: "detached" });
  const most = (Date.now() - asked) / 1000 + 0.2; // and what its last picture lasts
  const recording = await recorded("the recording is complete", (rec) => rec.state === "done");
  // What there was before it was to end, and nothing from before it was to begin or after the end was seen.
  assert.ok(recording.length >= before.length && recording.length < most, `${recording.length} s recorded, between ${before.length} and ${most}`);
  const players = await (await browser.newContext()).newPage();
  await players.goto(`${server.url}/healthz`);
  const played = await players.evaluate(async (src) => {
    const v = document.createElement("video");
    v.muted = true;
    v.src = src;
    document.body.append(v);
    await new Promise((ok, bad) => {
      v.onloadeddata = ok;
      v.onerror = () => bad(new Error(v.error?.message));
    });
    const length = v.duration;
    v.currentTime = 2; // in ranges
    await new Promise((ok) => (v.onseeked = ok));
    v.playbackRate = 4;
    await v.play();
    await new Promise((ok, bad) => {
      v.onended = ok;
      v.onerror = () => bad(new Error(v.error?.message));
    });
    return { length, width: v.videoWidth, height: v.videoHeight, end: v.currentTime };
  }, `${all}/${recording.id}/files/programme.mp4?token=${token}`);
  assert.ok(Math.abs(played.length - recording.length) < 0.1, `Chromium says ${played.length} s, the server ${recording.length}`);
  assert.ok(played.end > recording.length - 0.3, `played up to ${played.end}`);
  assert.deepEqual([played.width, played.height], [1280, 720]);
});
