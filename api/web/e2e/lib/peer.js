/**
 * @typedef {{color: [number, number, number], tone: number}} Voice one participant's flat colour (RGB) and tone (Hz)
 * @typedef {{room: string, voice?: Readonly<{color: readonly number[], tone: number}>, tier?: string, silent?: boolean, sound?: boolean, codec?: string}} Who
 *   sound false: no sound in either direction; codec: the only one offered for pictures, VP8 first without
 * @typedef {{id: string, x: number, y: number, w: number, h: number, ages: number[]}} Seen one tile as found in the picture; ages in ms
 */

/** Colours and tones that stand far apart; tones are multiples of 100 Hz, so that the 10 ms by which a browser stretches sound are whole waves of all, and none is a small sum or difference of the others. */
export const voices = /** @type {const} */ ({
  ada: { color: [200, 40, 40], tone: 600 },
  bob: { color: [40, 170, 60], tone: 1100 },
  cleo: { color: [50, 70, 210], tone: 1900 },
});

/** A peer in a page of its own: raw WHIP or WHEP, synthetic media, and instruments. */
export class Peer {
  /** @param {import("playwright-core").Page} page @param {string} id */
  constructor(page, id) {
    this.page = page;
    this.id = id;
  }

  /**
   * Opens a page of its own. Starting one takes a core for a second, so whoever measures opens all pages first.
   * @param {import("playwright-core").Browser} browser @param {string} origin of the page server @param {string} id
   */
  static async open(browser, origin, id) {
    // A window of its own, as hidden tabs are slowed down, and a small one: painting costs more than decoding here.
    const context = await browser.newContext({ viewport: { width: 320, height: 180 } });
    const page = await context.newPage();
    page.on("pageerror", (err) => console.error(`${id}: ${err.message}`));
    await page.goto(origin);
    return new Peer(page, id);
  }

  /**
   * Opens a page and joins.
   * @param {import("playwright-core").Browser} browser @param {string} origin
   * @param {import("./server.js").Server} server @param {Who & {id: string}} who
   */
  static async join(browser, origin, server, { id, ...who }) {
    const peer = await Peer.open(browser, origin, id);
    await peer.enter(server, who);
    return peer;
  }

  /** Joins: with a voice it publishes and receives its mix, else it views. @param {import("./server.js").Server} server @param {Who} who */
  async enter(server, { room, voice, tier, silent = false, sound = true, codec }) {
    const token = server.token({ room, identity: this.id, role: voice ? "participant" : "viewer" });
    const url = new URL(voice ? `/whip/${room}` : `/whep/${room}`, server.url);
    if (voice) url.searchParams.set("return", "mix");
    if (tier) url.searchParams.set("tier", tier);
    await this.page.evaluate((o) => window.peer.join(o), {
      url: url.href, token, voice, silent, sound, codec,
      voices: Object.fromEntries(Object.entries(voices).map(([name, v]) => [name, { color: [...v.color], tone: v.tone }])),
    });
  }

  /** Counters of getStats. */
  stats() {
    return this.page.evaluate(() => window.peer.stats());
  }

  /** Watches the picture for ms and tells which tiles were seen where, and how old. @param {number} ms @returns {Promise<Seen[]>} */
  watch(ms) {
    return this.page.evaluate((t) => window.peer.watch(t), ms);
  }

  /**
   * Levels of every voice's tone over ms: the median of all 200 ms, which one late packet's click does not move, and what
   * nine in ten of them stay below.
   * @param {number} ms @returns {Promise<Record<string, {p50: number, p90: number}>>} dBFS
   */
  listen(ms) {
    return this.page.evaluate((t) => window.peer.listen(t), ms);
  }

  /** Starts keeping the level of every voice's tone in each 20 ms. */
  record() {
    return this.page.evaluate(() => window.peer.record());
  }

  /** Ends record. @returns {Promise<Record<string, number[]>>} dBFS by voice */
  recorded() {
    return this.page.evaluate(() => window.peer.recorded());
  }

  /** Sounds the tone for ms; 0 is silence, Infinity for ever. @param {number} ms */
  sound(ms) {
    return this.page.evaluate((t) => window.peer.sound(t), ms === Infinity ? null : ms);
  }

  /** Sounds the tone three fifths of each second, until sound is called. */
  chatter() {
    return this.page.evaluate(() => window.peer.chatter());
  }

  /** A picture of what is seen, for a person to look at. @param {string} path */
  screenshot(path) {
    return this.page.screenshot({ path });
  }

  /** Hangs up and closes the page. */
  async leave() {
    await this.page.evaluate(() => window.peer.leave());
    await this.page.context().close();
  }
}

/** A peer that calls by SIP over WebSocket, with SIP.js. */
export class Phone extends Peer {
  /** @param {import("playwright-core").Browser} browser @param {string} origin @param {string} id @returns {Promise<Phone>} */
  static async open(browser, origin, id) {
    const { page } = await Peer.open(browser, new URL("phone.html", origin).href, id);
    return new Phone(page, id);
  }

  /** Calls, and resolves when the call stands. @param {{server: string, to: string, voice: Readonly<{color: readonly number[], tone: number}>}} call */
  async dial({ voice, ...call }) {
    await this.page.evaluate((o) => window.phone.dial(o), {
      ...call, name: this.id, voice: { color: [...voice.color], tone: voice.tone },
      voices: Object.fromEntries(Object.entries(voices).map(([name, v]) => [name, { color: [...v.color], tone: v.tone }])),
    });
  }

  /** Puts the call on hold, or takes it up again. @param {boolean} held */
  hold(held) {
    return this.page.evaluate((h) => window.phone.hold(h), held);
  }

  /** Presses a key (INFO). @param {string} key */
  press(key) {
    return this.page.evaluate((k) => window.phone.press(k), key);
  }

  /** Whether the call stands. */
  up() {
    return this.page.evaluate(() => window.phone.up());
  }
}
