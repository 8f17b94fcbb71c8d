import { execFile, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { mint } from "./token.js";
import { until } from "./until.js";

const binary = process.env.E2E_BIN ?? fileURLToPath(new URL("../../../../bin/mixdown", import.meta.url));

/** A `mixdown serve` of its own: free ports, a data directory that goes away, a log that is kept for failures. */
export class Server {
  key = "e2e-key";
  secret = "e2e-secret-that-is-long-enough-for-hs256";
  url = "";
  log = "";
  /** @type {import("node:child_process").ChildProcess | null} */
  #process = null;
  #dir = "";
  /** @type {string[]} */
  #args = [];

  /** @param {string[]} flags more flags of serve */
  static start(...flags) {
    return Server.startFor({}, ...flags);
  }

  /** One that clients outside of this machine reach by addresses, on free ports without any. @param {{addresses?: string[], http?: number, rtc?: number}} where @param {string[]} flags */
  static async startFor({ addresses = [], http = 0, rtc = 0 }, ...flags) {
    if (!existsSync(binary)) throw new Error(`${binary}: not there; build it with "make build" or name another in E2E_BIN`);
    const server = new Server();
    server.#dir = await mkdtemp(join(tmpdir(), "mixdown-e2e-"));
    http ||= await freePort(false);
    rtc ||= await freePort(true);
    server.url = `http://127.0.0.1:${http}`;
    server.#args = ["serve", "--http-addr", addresses.length ? `:${http}` : `127.0.0.1:${http}`, "--rtc-port", String(rtc),
      "--rtc-address", addresses.join(",") || "127.0.0.1", "--data-dir", server.#dir, "--tls", "off", ...flags];
    await server.#run();
    return server;
  }

  async #run() {
    const child = spawn(binary, this.#args, { env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text) => (this.log += text));
    child.once("exit", (code, signal) => {
      // A server that ends by itself is why everything after it fails.
      if (this.#process === child) console.error(`mixdown serve ended by itself (${signal ?? `code ${code}`}):\n${this.log.slice(-20_000)}`);
    });
    try {
      await until("the server is ready", async () => {
        if (child.exitCode !== null) throw new Error(`mixdown serve ended with code ${child.exitCode}`);
        return (await fetch(`${this.url}/readyz`).catch(() => null))?.ok;
      });
    } catch (err) {
      await this.stop();
      throw new Error(`${/** @type {Error} */ (err).message}\n${this.log}`);
    }
  }

  /** Kills the server as a power cut would, and starts it again; resolves when it is ready. */
  async restart() {
    const child = this.#process;
    this.#process = null;
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    await this.#run();
  }

  get env() {
    return { ...process.env, MIXDOWN_API_KEY: this.key, MIXDOWN_API_SECRET: this.secret };
  }

  /** @param {Omit<Parameters<typeof mint>[0], "key" | "secret">} t */
  token(t) {
    return mint({ key: this.key, secret: this.secret, ...t });
  }

  /** The token that the command line prints. @param {{room: string, identity: string, name: string, role: string}} t */
  async printedToken(t) {
    const args = ["token", "--room", t.room, "--identity", t.identity, "--name", t.name, "--role", t.role];
    const { stdout } = await promisify(execFile)(binary, args, { env: this.env });
    return stdout.trim();
  }

  /** One REST call with the operator's token. @param {string} method @param {string} path @param {unknown} [body] */
  async rest(method, path, body) {
    const token = this.token({ room: "*", identity: "operator", role: "host" });
    const res = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await res.text();
    if (!res.ok) throw new Error(`${method} ${path}: ${res.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** Makes a room and returns it with its keys. @param {string} name */
  room(name) {
    return this.rest("POST", "/rooms", { name });
  }

  /** @param {string} room @returns {Promise<any[]>} */
  participants(room) {
    return this.rest("GET", `/rooms/${room}/participants`);
  }

  /** The Prometheus metrics as text. */
  async metrics() {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  /** Stops the server as an operator would, and prints its log if asked for. May be called twice. */
  async stop() {
    const child = this.#process;
    this.#process = null;
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(late);
    }
    if (this.#dir) await rm(this.#dir, { recursive: true, force: true });
    if (process.env.E2E_LOG) process.stderr.write(this.log);
  }
}

/** A port that is free now; with udp, in both protocols. @param {boolean} udp @returns {Promise<number>} */
export async function freePort(udp) {
  for (;;) {
    const tcp = createServer().listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const { port } = /** @type {import("node:net").AddressInfo} */ (tcp.address());
    let free = true;
    if (udp) {
      const socket = createSocket("udp4");
      free = await new Promise((resolve) => {
        socket.once("error", () => resolve(false));
        socket.bind(port, () => socket.close(() => resolve(true)));
      });
    }
    await new Promise((resolve) => tcp.close(resolve));
    if (free) return port;
  }
}
