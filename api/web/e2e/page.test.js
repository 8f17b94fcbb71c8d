// The join page, as a person uses it.
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

/** Opens a room's page in a window of its own; what the page's console complains of fails the test. @param {string} link */
async function open(link) {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("pageerror", (err) => complaints.push(err.message));
  page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
  await page.goto(link);
  return { page, complaints };
}

/** @param {import("playwright-core").Page} page @param {string} name */
async function join(page, name) {
  await page.getByTestId("name").fill(name);
  await page.getByTestId("join").click();
  await plays(page);
}

/** Waits until the picture moves. @param {import("playwright-core").Page} page */
async function plays(page) {
  await page.getByTestId("mix").waitFor();
  const time = () => page.getByTestId("mix").evaluate((v) => {
    const video = /** @type {HTMLVideoElement} */ (v);
    return video.videoWidth > 0 ? video.currentTime : 0;
  });
  const start = await until("the picture is there", time);
  await until("the picture moves", async () => (await time()) > start + 0.5);
}

/** Waits for the room's members to be as said, and returns them. @param {string} room @param {string} what @param {(members: any[]) => unknown} is */
const members = (room, what, is) =>
  until(what, async () => {
    const list = await server.participants(room);
    return is(list) ? list : null;
  }, { show: () => server.participants(room) });

test("join, mute, camera, leave", async () => {
  const room = await server.room("demo");
  const { page, complaints } = await open(`${server.url}/r/demo#${room.join_key}`);
  await join(page, "Ada");
  const ada = (/** @type {any[]} */ list) => list.find((p) => p.name === "Ada");
  await members("demo", "Ada sends both", (list) => list.length === 1 && ada(list).audio && ada(list).video);
  assert.equal(await page.getByTestId("count").textContent(), "1");

  await page.getByTestId("mic").click();
  await members("demo", "Ada is silent", (list) => !ada(list).audio && ada(list).video);
  assert.equal(await page.getByTestId("mic").getAttribute("aria-pressed"), "false");
  await page.keyboard.press("m");
  await members("demo", "Ada speaks", (list) => ada(list).audio);

  await page.getByTestId("camera").click();
  await members("demo", "Ada has no picture", (list) => !ada(list).video);
  await page.keyboard.press("v");
  await members("demo", "Ada has a picture", (list) => ada(list).video);
  assert.equal(await page.getByTestId("camera").getAttribute("aria-pressed"), "true");

  await until("the quality line counts", async () => / [1-9]\d* fps/.test((await page.getByTestId("quality-line").textContent()) ?? ""));
  await page.getByTestId("leave").click();
  await members("demo", "nobody is left", (list) => list.length === 0);
  assert.match((await page.getByTestId("prejoin").textContent()) ?? "", /You left/);

  await page.getByTestId("join").click(); // now it says Rejoin
  await plays(page);
  await members("demo", "Ada is back", (list) => list.length === 1 && ada(list).video);
  await page.goto("about:blank"); // as closing a tab: the page hangs up on its way out
  await members("demo", "nobody is left", (list) => list.length === 0);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("a screen takes the camera's place, and gives it back", async () => {
  const room = await server.room("screen");
  const { page, complaints } = await open(`${server.url}/r/screen#${room.join_key}`);
  await join(page, "Ada");
  await members("screen", "Ada sends both", ([ada]) => ada?.audio && ada.video && !ada.screen);
  await page.getByTestId("screen").click();
  await members("screen", "her screen is shown", ([ada]) => ada.screen && ada.video);
  assert.equal(await page.getByTestId("screen").getAttribute("aria-pressed"), "true");
  await page.getByTestId("camera").click(); // nobody sees it at the moment
  await until("the camera is closed", async () => (await page.getByTestId("camera").getAttribute("aria-pressed")) === "false");
  await members("screen", "the screen stays", ([ada]) => ada.screen && ada.video);
  // A camera may take long to open; what is clicked meanwhile counts.
  await page.evaluate(() => {
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wish) => {
      await new Promise((done) => setTimeout(done, 500));
      return open(wish);
    };
  });
  await page.getByTestId("camera").click();
  await page.getByTestId("screen").click();
  await members("screen", "the camera is back", ([ada]) => !ada.screen && ada.video);
  assert.equal(await page.getByTestId("screen").getAttribute("aria-pressed"), "false");
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("who looks elsewhere gets sound alone, and the picture back; so does who chooses it", async () => {
  const room = await server.room("aside");
  const { page, complaints } = await open(`${server.url}/r/aside#${room.join_key}`);
  await join(page, "Ada");
  await members("aside", "Ada has a picture", ([ada]) => ada?.tier);
  // A headless browser's pages are all in the foreground.
  const show = (/** @type {boolean} */ shown) => page.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, shown ? "visible" : "hidden");
  await show(false);
  await members("aside", "Ada has none", ([ada]) => !ada.tier && ada.receives);
  await show(true);
  await members("aside", "Ada has one again", ([ada]) => ada.tier);
  await plays(page);

  await page.getByTestId("tier").selectOption("sound");
  await members("aside", "Ada hears only", ([ada]) => !ada.tier && ada.receives);
  await page.getByTestId("sound-only").waitFor();
  await page.getByTestId("tier").selectOption("");
  await page.getByTestId("sound-only").waitFor({ state: "detached" });
  await plays(page);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("a reload comes back to the same place and leaves no ghost", async () => {
  const room = await server.room("reload");
  const { page, complaints } = await open(`${server.url}/r/reload#${room.join_key}`);
  await join(page, "Ada");
  const [{ id }] = await members("reload", "Ada is there", (list) => list.length === 1);
  await page.getByTestId("camera").click();
  await members("reload", "without a camera", ([ada]) => !ada.video);
  for (let i = 0; i < 3; i++) {
    await page.reload();
    await plays(page);
    await members("reload", "only Ada is there", (list) => list.length === 1 && list[0].id === id && list[0].publishes && list[0].audio);
  }
  const [ada] = await server.participants("reload");
  assert.equal(ada.video, false, "the camera stays off");
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("a duplicated tab takes the place over, once", async () => {
  const room = await server.room("twins");
  const { page } = await open(`${server.url}/r/twins#${room.join_key}`);
  await join(page, "Ada");
  const [twin] = await Promise.all([page.context().waitForEvent("page"), page.evaluate(() => void window.open(location.href))]);
  await plays(twin); // it got a copy of the first one's memory
  await page.getByTestId("prejoin").waitFor();
  assert.match((await page.getByTestId("status").textContent()) ?? "", /another tab/);
  await members("twins", "one Ada is there", (list) => list.length === 1 && list[0].publishes);
  await page.context().close();
});

test("a host mutes and removes", async () => {
  const room = await server.room("host");
  const host = await open(`${server.url}/r/host#${room.host_key}`);
  await join(host.page, "Hana");
  const guest = await open(`${server.url}/r/host#${room.join_key}`);
  await join(guest.page, "Gus");
  await host.page.getByTestId("people-button").click();
  const line = host.page.getByTestId("person").filter({ hasText: "Gus" });
  await line.getByTestId("mute-person").click();
  await members("host", "Gus is muted", (list) => list.find((p) => p.name === "Gus").muted);
  await until("Gus sees it", async () => (await guest.page.getByTestId("mic").getAttribute("title"))?.startsWith("Muted by the host"));
  assert.equal(await guest.page.getByTestId("people").count(), 0);
  await line.getByTestId("remove-person").click();
  await members("host", "Gus is out", (list) => list.length === 1);
  await guest.page.getByTestId("prejoin").waitFor();
  assert.match((await guest.page.getByTestId("status").textContent()) ?? "", /removed/);
  await host.page.context().close();
  await guest.page.context().close();
});

test("hands are raised, a host lowers one, locks the room and arranges it", async () => {
  const room = await server.room("rules");
  const host = await open(`${server.url}/r/rules#${room.host_key}`);
  await join(host.page, "Hana");
  const guest = await open(`${server.url}/r/rules#${room.join_key}`);
  await join(guest.page, "Gus");
  await guest.page.getByTestId("hand").click();
  await members("rules", "Gus's hand is up", (list) => list.find((p) => p.name === "Gus").hand);
  await host.page.getByTestId("hands").filter({ hasText: "Gus" }).waitFor();
  await host.page.getByTestId("people-button").click();
  await host.page.getByTestId("lower-hand").click();
  await members("rules", "Gus's hand is down", (list) => list.every((p) => !p.hand));
  await until("Gus sees it", async () => (await guest.page.getByTestId("hand").getAttribute("aria-pressed")) === "false");
  assert.equal(await guest.page.getByTestId("hands").count(), 0);

  await host.page.getByTestId("lock").click();
  await guest.page.getByTestId("locked").waitFor();
  const late = await open(`${server.url}/r/rules#${room.join_key}`);
  await late.page.getByTestId("name").fill("Eve");
  await late.page.getByTestId("join").click();
  await until("the page says why", async () => /locked/.test((await late.page.getByTestId("status").textContent()) ?? ""));
  await guest.page.reload(); // a place is kept
  await plays(guest.page);
  await members("rules", "Gus is back", (list) => list.length === 2);
  await host.page.getByTestId("lock").click();
  await guest.page.getByTestId("locked").waitFor({ state: "detached" });
  await join(late.page, "Eve");

  await host.page.getByTestId("layout").selectOption("speaker");
  await members("rules", "all see the speaker large", (list) => list.length === 3 && list.every((p) => p.canvas === "speaker"));
  await guest.page.getByTestId("people-button").click();
  assert.equal(await guest.page.getByTestId("lock").count(), 0);
  assert.deepEqual([...host.complaints, ...guest.complaints], []);
  for (const { page } of [host, guest, late]) await page.context().close();
});

test("a wrong key is told, and can be tried again", async () => {
  await server.room("locked");
  const { page } = await open(`${server.url}/r/locked#wrong-key`);
  await page.getByTestId("name").fill("Mallory");
  await page.getByTestId("join").click();
  await until("the page says why", async () => /key/.test((await page.getByTestId("status").textContent()) ?? ""));
  assert.equal(await page.getByTestId("join").isEnabled(), true);
  await page.context().close();
});

test("who has no devices is told so, and sees the room", async () => {
  const room = await server.room("bare");
  const context = await browser.newContext();
  await context.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"));
  });
  const page = await context.newPage();
  await page.goto(`${server.url}/r/bare#${room.join_key}`);
  await until("the page says why", async () => /No camera was found/.test((await page.getByTestId("status").textContent()) ?? ""));
  await join(page, "Bea");
  await members("bare", "Bea is there and sends nothing", ([bea]) => bea && !bea.audio && !bea.video);
  await context.close();
});
