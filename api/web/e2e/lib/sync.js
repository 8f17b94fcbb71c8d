import { Relay } from "./relay.js";

/**
 * @typedef {import("../page/sync.js").Signal} Signal
 * @typedef {import("../page/sync.js").Tile} Tile
 * @typedef {import("../page/sync.js").Recording} Recording
 */

/** A page that flashes and beeps, looks and listens; with a relay between it and the server. */
export class SyncPeer {
  /** @type {Relay | null} */
  relay = null;
  #location = "";
  #token = "";

  /** @param {import("playwright-core").Page} page @param {string} id */
  constructor(page, id) {
    this.page = page;
    this.id = id;
  }

  /** @param {import("playwright-core").Browser} browser @param {string} origin of the page server @param {string} id */
  static async open(browser, origin, id) {
    const context = await browser.newContext({ viewport: { width: 320, height: 180 } });
    const page = await context.newPage();
    page.on("pageerror", (err) => console.error(`${id}: ${err.message}`));
    await page.goto(new URL("sync.html", origin).href);
    return new SyncPeer(page, id);
  }

  /** @param {Signal} signal */
  send(signal) {
    return this.page.evaluate((s) => window.sync.send(s), signal);
  }

  /** @param {number[]} tones */
  loop(tones) {
    return this.page.evaluate((t) => window.sync.loop(t), tones);
  }

  /**
   * Joins, as a sender if it sends: all its media pass the relay. Neither end gets to know another address of the other.
   * @param {import("./server.js").Server} server @param {{room: string, sends: boolean, tones: number[], jitter?: number, seed?: number}} o jitter in ms
   */
  async enter(server, { room, sends, tones, jitter, seed }) {
    this.#token = server.token({ room, identity: this.id, role: sends ? "participant" : "viewer" });
    const url = new URL(sends ? `/whip/${room}?return=mix` : `/whep/${room}`, server.url);
    const offer = await this.page.evaluate((t) => window.sync.offer(t), tones);
    const res = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/sdp", authorization: `Bearer ${this.#token}` },
      body: offer.replace(/^a=candidate:.*\r\n/gm, ""),
    });
    const answer = await res.text();
    if (res.status !== 201) throw new Error(`POST ${url}: ${res.status} ${answer}`);
    this.#location = new URL(res.headers.get("location") ?? "", url).href;
    const port = /^a=candidate:\S+ 1 udp \d+ \S+ (\d+) /im.exec(answer)?.[1];
    if (!port) throw new Error(`no UDP candidate in the answer:\n${answer}`);
    this.relay = await Relay.start({ to: Number(port), jitter, seed });
    const through = answer.replace(/^a=candidate:.*\r\n/gm, "").replace(/^a=ice-pwd:.*\r\n/gm,
      (line) => `${line}a=candidate:relay 1 udp 2130706431 127.0.0.1 ${this.relay?.port} typ host\r\n`);
    await this.page.evaluate((sdp) => window.sync.answer(sdp), through);
  }

  /** Where everybody's tile is. @param {import("./server.js").Server} server @param {string} room @returns {Promise<(Tile & {id?: string})[]>} */
  async tiles(server, room) {
    const url = new URL(`/api/v1/rooms/${room}/control`, server.url.replace("http", "ws"));
    const state = await this.page.evaluate(([u, t]) => window.sync.state(u, t), [url.href, this.#token]);
    return state.layouts.find((/** @type {any} */ l) => l.tiles.length)?.tiles ?? [];
  }

  stats() {
    return this.page.evaluate(() => window.sync.stats());
  }

  /** @param {Tile[]} tiles @param {number} ms @returns {Promise<Recording>} */
  record(tiles, ms) {
    return this.page.evaluate(([t, n]) => window.sync.record(t, n), /** @type {[Tile[], number]} */ ([tiles, ms]));
  }

  /** Ends what loop or enter began. */
  async leave() {
    await this.page.evaluate(() => window.sync.hangUp());
    if (this.#location) await fetch(this.#location, { method: "DELETE", headers: { authorization: `Bearer ${this.#token}` } });
    this.#location = "";
    await this.relay?.close();
    this.relay = null;
  }
}

/** @param {number[]} list @param {number} q */
export const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];

/**
 * How far each beep came ahead of the flash next to it, ms: positive is sound early, as ITU-R BT.1359 has it.
 * @param {Recording} recording @param {number} i whose
 */
export function advances(recording, i) {
  const flashes = onsets(recording.pictures.map(({ at, levels }) => ({ at, level: levels[i] })), false);
  const beeps = onsets(recording.sounds.map(({ at, levels }) => ({ at, level: levels[i] })), true);
  const out = [];
  for (const beep of beeps) {
    const apart = flashes.map((flash) => flash - beep).sort((a, b) => Math.abs(a) - Math.abs(b))[0];
    if (Math.abs(apart) < 450) out.push(apart); // else one of the two is missing, a second has but one
  }
  return { flashes, beeps, out };
}

/**
 * When a level rises through half of what it comes to. A sound's level is that of a window, and is taken to go straight from
 * one to the next; a picture stays until the next one.
 * @param {{at: number, level: number}[]} series @param {boolean} straight
 */
function onsets(series, straight) {
  const low = quantile(series.map((s) => s.level), 0.5);
  const high = quantile(series.map((s) => s.level), 0.97);
  if (high - low < 0.02) return []; // nothing there
  const out = [];
  let armed = false;
  for (let i = 1; i < series.length; i++) {
    const level = series[i].level - low;
    if (level < (high - low) / 8) armed = true;
    if (!armed || level < (high - low) / 4) continue;
    armed = false;
    const end = series[i].at + 80;
    let most = 0;
    for (let k = i; k < series.length && series[k].at < end; k++) most = Math.max(most, series[k].level - low);
    let k = i;
    while (k + 1 < series.length && series[k].level - low < most / 2) k++;
    const [a, b] = [series[k - 1], series[k]];
    const part = straight ? (low + most / 2 - a.level) / (b.level - a.level || 1) : 1;
    out.push(a.at + (b.at - a.at) * Math.max(0, Math.min(1, part)));
  }
  return out;
}
