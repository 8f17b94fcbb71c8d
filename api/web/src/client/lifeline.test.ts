import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Refused } from "./errors.ts";
import { Lifeline, pace } from "./lifeline.ts";

Object.assign(pace, { look: 5, silent: 30, sparse: 150, dense: 4, request: 40, ask: 5, pause: 5, grace: 30, again: 60 });

let packets = 0;
let each = 10; // look
let flows = true;
let reachable = true;
let restart: () => Promise<void>;
let log: string[];
let life: Lifeline;

beforeEach(() => {
  packets = 1;
  each = 10;
  flows = reachable = true;
  restart = async () => {
    flows = true;
  };
  log = [];
  life = new Lifeline({
    received: async () => (flows ? (packets += each) : packets),
    reach: async () => {
      if (!reachable) throw new TypeError("network");
    },
    restart: async () => {
      log.push("restart");
      await restart();
    },
    redial: () => log.push("redial"),
    on: (event) => log.push(event),
  });
  life.start();
});
afterEach(() => life.stop());

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const until = async (last: string) => {
  for (let i = 0; i < 400 && log.at(-1) !== last; i++) await sleep(5);
  assert.equal(log.at(-1), last, log.join(" "));
};

test("an outage is waited out: the same way goes on", async () => {
  await sleep(50);
  assert.deepEqual(log, []);
  flows = reachable = false;
  await until("silent");
  await sleep(100);
  assert.deepEqual(log, ["silent"]);
  reachable = true;
  await until("reached");
  flows = true;
  await until("flowing");
  await sleep(80);
  assert.deepEqual(log, ["silent", "reached", "flowing"]);
});

test("where little comes, a while without anything is no outage", async () => {
  each = 1;
  for (let i = 0; i < 4; i++) {
    flows = true;
    await sleep(20);
    flows = false;
    await sleep(60); // longer than silent
  }
  assert.deepEqual(log, []);
  await until("flowing");
  assert.deepEqual(log, ["silent", "reached", "restart", "flowing"]);
});

test("a server that answers while nothing comes: ICE restarts", async () => {
  await sleep(50);
  flows = false;
  await until("flowing");
  assert.deepEqual(log, ["silent", "reached", "restart", "flowing"]);
});

test("a restart that gets lost is made again", async () => {
  let tries = 0;
  restart = async () => {
    if (++tries < 3) throw new TypeError("network");
    flows = true;
  };
  await sleep(50);
  flows = false;
  await until("flowing");
  assert.equal(tries, 3);
});

test("a server that knows the session no more: a new connection", async () => {
  restart = async () => {
    throw new Refused(404, "no such session");
  };
  await sleep(50);
  flows = false;
  await until("redial");
  await sleep(80);
  assert.deepEqual(log, ["silent", "reached", "restart", "redial"]);
});

test("a restart that does not help: a new connection", async () => {
  restart = async () => {};
  await sleep(50);
  flows = false;
  await until("redial");
});

test("before anything has come nothing is mended, and after the end neither", async () => {
  life.stop();
  packets = 0;
  flows = false;
  life.start();
  await sleep(80);
  assert.deepEqual(log, []);
  flows = true;
  await sleep(30);
  life.stop();
  flows = false;
  life.suspect();
  await sleep(80);
  assert.deepEqual(log, []);
});
