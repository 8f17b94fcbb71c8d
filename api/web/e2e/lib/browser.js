import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const folder = new URL("../page/", import.meta.url);
const modules = new URL("../../node_modules/", import.meta.url);
/** @type {Record<string, string>} */
const types = { html: "text/html", js: "text/javascript" };

/** Serves e2e/page on localhost, which browsers take for a secure context, and SIP.js under its name. */
export class PageServer {
  url = "";
  #server = createServer((req, res) => {
    const name = req.url === "/" ? "index.html" : (req.url ?? "").slice(1);
    const type = types[name.split(".").pop() ?? ""];
    const library = /^sip\.js\/(lib(\/[a-z0-9-]+)+\.js)$/.test(name);
    if (!library && !/^[a-z]+\.[a-z]+$/.test(name) || !type) return res.writeHead(404).end();
    res.writeHead(200, { "content-type": type });
    createReadStream(fileURLToPath(new URL(name, library ? modules : folder))).on("error", () => res.destroy()).pipe(res);
  });

  static async start() {
    const s = new PageServer();
    s.#server.listen(0, "127.0.0.1");
    await once(s.#server, "listening");
    s.url = `http://localhost:${/** @type {import("node:net").AddressInfo} */ (s.#server.address()).port}/`;
    // "localhost" may mean ::1 first; the browser falls back to 127.0.0.1.
    return s;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A headless Chromium with generated devices. @param {string[]} flags */
export function launch(...flags) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
      "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
      "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
      ...flags,
    ],
  });
}
