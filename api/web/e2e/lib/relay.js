import { createSocket } from "node:dgram";
import { once } from "node:events";

const maxQueue = 4096; // datagrams of one client
const maxClients = 16;

/**
 * @typedef {{up: import("node:dgram").Socket, queue: {due: number, data: Buffer}[], last: number,
 *   timer?: ReturnType<typeof setTimeout>}} Client
 */

/**
 * Stands between clients and a UDP port of 127.0.0.1. What clients send is held up by a random time each, and never
 * reordered: as on a queue that fills and empties. What comes back passes at once.
 *
 *   client ─ queue, due = max(due before, now + 0…jitter) ─▶ up ─▶ server
 *   client ◀───────────────────────────────────────────────  up ◀─ server
 */
export class Relay {
  port = 0;
  forwarded = 0;
  back = 0;
  dropped = 0;
  longest = 0; // queue, datagrams
  #socket = createSocket("udp4");
  /** @type {Map<string, Client>} */
  #clients = new Map();
  #closed = false;

  /** @param {number} to port @param {number} jitter ms @param {number} seed */
  constructor(to, jitter, seed) {
    this.to = to;
    this.jitter = jitter;
    this.random = mulberry32(seed);
    this.#socket.on("message", (data, from) => this.#take(data, from));
  }

  /** @param {{to: number, jitter?: number, seed?: number}} o port, ms */
  static async start({ to, jitter = 0, seed = 1 }) {
    const relay = new Relay(to, jitter, seed);
    relay.#socket.bind(0, "127.0.0.1");
    await once(relay.#socket, "listening");
    relay.port = relay.#socket.address().port;
    return relay;
  }

  /** @param {Buffer} data @param {import("node:dgram").RemoteInfo} from */
  #take(data, from) {
    const key = `${from.address}:${from.port}`;
    const client = this.#clients.get(key) ?? this.#add(key, from);
    if (!client || client.queue.length >= maxQueue) return void this.dropped++;
    const now = performance.now();
    client.last = Math.max(client.last, now + this.random() * this.jitter);
    client.queue.push({ due: client.last, data });
    this.longest = Math.max(this.longest, client.queue.length);
    this.#send(client);
  }

  /** @param {string} key @param {import("node:dgram").RemoteInfo} from */
  #add(key, from) {
    if (this.#clients.size >= maxClients) return null;
    const up = createSocket("udp4");
    up.on("message", (data) => {
      if (this.#closed) return;
      this.back++;
      this.#socket.send(data, from.port, from.address);
    });
    // A port that nobody listens on any more is no reason to end a test run.
    up.on("error", () => this.dropped++);
    /** @type {Client} */
    const client = { up, queue: [], last: 0 };
    this.#clients.set(key, client);
    return client;
  }

  /** Sends what is due, and comes back for the rest. @param {Client} client */
  #send(client) {
    clearTimeout(client.timer);
    const now = performance.now();
    let n = 0;
    while (n < client.queue.length && client.queue[n].due <= now) {
      client.up.send(client.queue[n++].data, this.to, "127.0.0.1");
      this.forwarded++;
    }
    client.queue.splice(0, n);
    if (client.queue.length) client.timer = setTimeout(() => this.#send(client), client.queue[0].due - now);
  }

  /** May be called twice. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const { up, timer } of this.#clients.values()) {
      clearTimeout(timer);
      up.close();
    }
    await new Promise((resolve) => this.#socket.close(() => resolve(undefined)));
  }
}

/** A small generator of numbers in [0, 1), the same for the same seed. @param {number} a */
function mulberry32(a) {
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
