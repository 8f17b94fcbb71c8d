// What is refused, and that the room does not notice.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, PageServer } from "./lib/browser.js";
import { Peer, voices } from "./lib/peer.js";
import { Server } from "./lib/server.js";
import { until } from "./lib/until.js";

const room = "guarded";
/** @type {Server} */ let server;
/** @type {PageServer} */ let pages;
/** @type {import("playwright-core").Browser} */ let browser;
/** @type {Peer} */ let ada;
let offer = "";
let freezes = 0; // while it began

before(async () => {
  server = await Server.start();
  pages = await PageServer.start();
  browser = await launch();
  await server.room(room);
  ada = await Peer.join(browser, pages.url, server, { room, id: "ada", voice: voices.ada });
  await until("ada receives", async () => (await ada.stats()).framesDecoded > 25);
  freezes = (await ada.stats()).freezes;
  offer = await ada.page.evaluate(() => window.peer.pc.localDescription?.sdp ?? "");
});
after(async () => {
  await browser?.close();
  await pages?.stop();
  await server?.stop();
});

/** @param {string} path @param {string} token @param {string} [body] @param {Record<string, string>} [headers] */
async function post(path, token, body = offer, headers = {}) {
  const res = await fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/sdp", ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    body,
  });
  return { status: res.status, type: res.headers.get("content-type") ?? "", text: await res.text() };
}

const who = { room, identity: "eve", role: "participant" };

/** @type {[string, number, () => Promise<{status: number, type: string, text: string}>][]} */
const refused = [
  ["no token", 401, () => post(`/whip/${room}`, "")],
  ["an expired token", 401, () => post(`/whip/${room}`, server.token({ ...who, ttl: -3600 }))],
  ["a token signed by another", 401, () => post(`/whip/${room}`, server.token({ ...who, ...{ secret: "another-secret-that-is-long-enough" } }))],
  ["a token of another issuer", 401, () => post(`/whip/${room}`, server.token({ ...who, ...{ key: "another-key" } }))],
  ["an unsigned token", 401, () => post(`/whip/${room}`, server.token({ ...who, alg: "none" }))],
  ["a token for another room", 403, () => post(`/whip/${room}`, server.token({ ...who, room: "elsewhere" }))],
  ["a viewer who publishes", 403, () => post(`/whip/${room}?return=mix`, server.token({ ...who, role: "viewer" }))],
  ["an SDP of 1 MB", 413, () => post(`/whip/${room}?return=mix`, server.token(who), offer + "a=x:".padEnd(1 << 20, "x"))],
  ["an offer that is no SDP", 400, () => post(`/whip/${room}?return=mix`, server.token(who), "hello")],
  ["a body of another type", 415, () => post(`/whip/${room}`, server.token(who), "{}", { "content-type": "application/json" })],
  ["a tier that is none", 400, () => post(`/whip/${room}?return=mix&tier=none-such`, server.token(who))],
  ["a room that is none", 404, () => post("/whip/nowhere", server.token({ ...who, room: "nowhere" }))],
];

for (const [what, status, ask] of refused) {
  test(`${what} is refused`, async () => {
    const res = await ask();
    assert.equal(res.status, status, res.text);
    assert.match(res.type, /application\/problem\+json/);
    const problem = JSON.parse(res.text);
    assert.equal(problem.status, status);
    assert.ok(problem.detail.length > 10, "it says what was wrong");
  });
}

test("the token that the command line prints is good", async () => {
  const token = await server.printedToken({ room, identity: "tim", name: "Tim", role: "viewer" });
  const res = await fetch(`${server.url}/api/v1/rooms/${room}/participants`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(res.status, 200, await res.text());
});

test("the room went on undisturbed", async () => {
  const before = await ada.stats();
  await until("ada's picture goes on", async () => (await ada.stats()).framesDecoded > before.framesDecoded + 25);
  assert.equal((await ada.stats()).freezes, freezes);
  assert.deepEqual((await server.participants(room)).map((p) => p.id), ["ada"]);
});
