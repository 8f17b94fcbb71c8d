import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Control } from "./control.ts";
import type { Message } from "./state.ts";

class FakeSocket {
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  readyState = 0;
  sent: unknown[] = [];
  onopen = () => {};
  onmessage = (_: { data: unknown }) => {};
  onclose = (_: { code: number; reason: string }) => {};

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
  }

  accept() {
    this.readyState = 1;
    this.onopen();
  }

  send(text: string) {
    this.sent.push(JSON.parse(text));
  }

  close() {}
}

const before = globalThis.WebSocket;
let heard: Message[];
let ends: string[];
let control: Control;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  globalThis.WebSocket = FakeSocket as unknown as typeof WebSocket;
  FakeSocket.all = [];
  heard = [];
  ends = [];
  let n = 0;
  control = new Control("wss://mix.example/c", () => `token${++n}`, (m) => heard.push(m), (reason) => ends.push(reason));
  control.open();
});
afterEach(() => {
  control.close();
  mock.timers.reset();
  globalThis.WebSocket = before;
});

const socket = (i: number) => FakeSocket.all[i]!;

test("what was last said of each kind is said again after an outage, with the token of then", () => {
  control.send({ type: "media", audio: true, video: true, screen: false });
  assert.deepEqual(socket(0).protocols, ["mixdown", "token1"]);
  socket(0).accept();
  control.send({ type: "media", audio: true, video: false, screen: false });
  control.send({ type: "tier", tier: "360p" });
  assert.equal(socket(0).sent.length, 3);
  socket(0).onclose({ code: 1006, reason: "" });
  assert.equal(FakeSocket.all.length, 1);
  mock.timers.tick(1000);
  assert.equal(FakeSocket.all.length, 2);
  assert.deepEqual(socket(1).protocols, ["mixdown", "token2"]);
  socket(1).accept();
  assert.deepEqual(socket(1).sent, [{ type: "media", audio: true, video: false, screen: false }, { type: "tier", tier: "360p" }]);
  assert.deepEqual(ends, []);
});

test("what the link was like is said once, if need be later", () => {
  control.send({ type: "link", down: 48_000 });
  socket(0).accept();
  control.send({ type: "link", down: 50_000 });
  assert.deepEqual(socket(0).sent, [{ type: "link", down: 48_000 }, { type: "link", down: 50_000 }]);
  socket(0).onclose({ code: 1006, reason: "" });
  mock.timers.tick(1000);
  socket(1).accept();
  assert.deepEqual(socket(1).sent, []);
});

test("who was removed does not come back", () => {
  socket(0).accept();
  socket(0).onmessage({ data: '{"type":"state","state":{"version":1,"participants":[]},"you":"a"}' });
  socket(0).onmessage({ data: "junk" });
  assert.equal(heard.length, 1);
  socket(0).onclose({ code: 4403, reason: "removed by a host" });
  mock.timers.tick(60_000);
  assert.equal(FakeSocket.all.length, 1);
  assert.deepEqual(ends, ["removed by a host"]);
});

test("a closed channel stays closed, and is no end by the server", () => {
  socket(0).accept();
  control.close();
  socket(0).onclose({ code: 1005, reason: "" });
  mock.timers.tick(60_000);
  assert.equal(FakeSocket.all.length, 1);
  assert.deepEqual(ends, []);
});
