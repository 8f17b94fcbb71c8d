// The emulated link as tests use it: a real browser behind it notices what it is told to do.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { Link, noLink } from "./lib/link.js";
import { launchIn } from "./lib/namespace.js";
import { until } from "./lib/until.js";

/** @type {Link | undefined} */ let link;
/** @type {import("playwright-core").Browser | undefined} */ let browser;
/** @type {string[]} addresses that asked */
const asked = [];
const web = createServer((req, res) => {
  asked.push(req.socket.remoteAddress?.replace("::ffff:", "") ?? "");
  res.writeHead(200, { "content-type": "text/html", connection: "close", "cache-control": "no-store" }).end("<title>behind the link</title>");
});

before(async () => {
  if (noLink) return;
  web.listen(0);
  await once(web, "listening");
  link = await Link.start("--paths", "2");
  browser = await launchIn(link.namespace);
});
after(async () => {
  await browser?.close();
  await link?.stop();
  web.close();
  web.closeAllConnections(); // one that was cut off would never end by itself
});

test("a browser behind the link", { skip: noLink || false }, async () => {
  assert.ok(link && browser);
  const page = await browser.newPage();
  const url = `http://${link.server[0]}:${/** @type {import("node:net").AddressInfo} */ (web.address()).port}/`;
  const visit = () => page.goto(url, { timeout: 1500 }).then(() => true, () => false);

  assert.ok(await visit(), "it reaches this machine");
  assert.equal(asked.at(-1), link.client[0], "from the namespace's address");
  await link.set("both", "delay=20ms rate=1M");
  assert.ok(await visit());
  await link.set("both", "block=udp");
  assert.ok(await visit(), "UDP dropped is no matter to HTTP");
  await link.set("both", "block=tcp:443");
  assert.equal(await visit(), false, "all but TCP 443 dropped");
  await link.set("both", "clean");

  const before = link.client[0];
  await link.move();
  assert.notEqual(link.client[0], before);
  await until("the page is there after a change of address", visit); // loads that are under way then fail, as at every change
  assert.equal(asked.at(-1), link.client[0]);

  await link.cut();
  assert.equal(await visit(), false, "cut off");
  await link.restore();
  assert.ok(await visit(), "and back");
  const { up, down } = await link.stats();
  assert.ok(up.blocked > 0 && up.cut > 0 && down.bytes_out > 0, JSON.stringify({ up, down }));
  await assert.rejects(link.set("down", "colour=red"), /no such setting/);
});
