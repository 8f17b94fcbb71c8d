import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

/** The program, built if WEAK_BIN does not name one. */
async function program() {
  if (process.env.WEAK_BIN) return process.env.WEAK_BIN;
  const binary = `${root}.cache/weak-runner`;
  await promisify(execFile)("go", ["build", "-o", binary, "./cmd/weak"], { cwd: root });
  return binary;
}

/** Why there can be no link here, or nothing. */
export const noLink = process.getuid?.() === 0 ? "" : "needs root for network namespaces";



/**
 * @typedef {{packets_in: number, bytes_in: number, packets_out: number, bytes_out: number, lost: number, dropped: number,
 *   blocked: number, cut: number, waiting: number, wait_p50_ms: number, wait_p95_ms: number, wait_max_ms: number, shape: string}} Counters
 */

/**
 * An emulated link with a network namespace behind it: `weak link`, told what to do. Needs root.
 *
 *     const link = await Link.start("--paths", "2");
 *     const browser = await launchIn(link.namespace, ...trusting(origin));
 *     await link.set("both", "delay=50ms loss=2% rate=1M");
 *     await link.outage("20s");
 *     await link.set("both", "block=udp");
 *     await link.move();
 *     await link.stop();
 */
export class Link {
  namespace = "";
  /** @type {string[]} addresses by which the namespace reaches this machine */ server = [];
  /** @type {string[]} the client's now */ client = [];
  /** @type {((answer: any) => void)[]} */
  #waiting = [];

  /** @param {import("node:child_process").ChildProcess} child */
  constructor(child) {
    this.child = child;
    const lines = createInterface({ input: /** @type {import("node:stream").Readable} */ (child.stdout) });
    lines.on("line", (line) => this.#waiting.shift()?.(JSON.parse(line)));
    child.once("exit", (code) => {
      for (const tell of this.#waiting.splice(0)) tell({ error: `weak link ended with code ${code}` });
    });
  }

  /** @param {string[]} flags of `weak link` */
  static async start(...flags) {
    const link = new Link(spawn(await program(), ["link", ...flags], { stdio: ["pipe", "pipe", "inherit"] }));
    await link.#answer();
    return link;
  }

  /** @returns {Promise<any>} */
  async #answer() {
    const answer = await new Promise((resolve) => this.#waiting.push(resolve));
    if (answer.error) throw new Error(`link: ${answer.error}`);
    if (answer.namespace) Object.assign(this, { namespace: answer.namespace, server: answer.server, client: answer.client });
    return answer;
  }

  /** @param {string} line */
  #tell(line) {
    this.child.stdin?.write(`${line}\n`);
    return this.#answer();
  }

  /** @param {"up" | "down" | "both"} direction @param {string} words as "rate=150k loss=2%" */
  set(direction, words) {
    return this.#tell(`${direction} ${words}`);
  }

  /** Resolves when the link is back. @param {string} duration as "20s" */
  outage(duration) {
    return this.#tell(`outage ${duration}`);
  }

  cut() {
    return this.#tell("cut");
  }

  restore() {
    return this.#tell("restore");
  }

  /** The client's address changes, as from Wi-Fi to mobile. */
  move() {
    return this.#tell("move");
  }

  /** Waits are since the last call. @returns {Promise<{up: Counters, down: Counters}>} */
  stats() {
    return this.#tell("stats");
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.stdin?.end();
    await ended;
  }
}
