import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Refused } from "./errors.ts";
import { narrowed } from "./sdpfrag.ts";
import { resending } from "./uplink.ts";
import { Whip } from "./whip.ts";

const how = () => ({ sound: { bitrate: 32_000, packet: 20, quiet: false, twice: false }, picture: Infinity });

interface Call {
  method: string;
  url: string;
  body: string;
  headers: Record<string, string>;
  keepalive: boolean;
}

const sdp = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=mid:0\r\n";
let calls: Call[];
let answer: () => Promise<Response>;
let patched: () => Promise<Response>;
const { fetch: fetchBefore, CompressionStream: gzip } = globalThis;

class FakePeer extends EventTarget {
  localDescription = { sdp };
  remoteDescription = { sdp: "" };
  signalingState = "stable";
  iceConnectionState = "new";
  added: RTCIceCandidateInit[] = [];
  addIceCandidate = async (c: RTCIceCandidateInit) => void this.added.push(c);
  restarts = 0;
  restartIce = () => {
    this.restarts++;
  };
  remote = "";
  closed = false;
  strict = false; // takes its own offer only
  createOffer = async () => ({ type: "offer" as const, sdp: this.restarts ? sdp.replace("ufrag:u", `ufrag:u${this.restarts}`) : sdp });
  setLocalDescription = async (d?: RTCSessionDescriptionInit) => {
    const own = (await this.createOffer()).sdp;
    if (this.strict && d && d.sdp !== own) throw new Error("not my offer");
    this.localDescription = { sdp: d?.sdp ?? own };
    this.signalingState = "have-local-offer";
  };
  setRemoteDescription = async (d: RTCSessionDescriptionInit) => {
    this.remote = d.sdp ?? "";
    this.remoteDescription = { sdp: this.remote };
    this.signalingState = "stable";
  };
  close = () => {
    this.closed = true;
  };
  candidate(line: string | null) {
    this.dispatchEvent(Object.assign(new Event("icecandidate"), { candidate: line === null ? null : { candidate: line } }));
  }
}

beforeEach(() => {
  Reflect.deleteProperty(globalThis, "CompressionStream"); // as in old browsers: an offer is there at once
  calls = [];
  answer = async () => {
    const res = new Response("v=0 answer", { status: 201, headers: { location: "/whip/r/s1", etag: '"e1"' } });
    Object.defineProperty(res, "url", { value: "https://mix.example/whip/r" });
    return res;
  };
  globalThis.fetch = (async (url: string, init: RequestInit) => {
    calls.push({
      method: init.method ?? "GET",
      url: String(url),
      body: init.body instanceof Uint8Array ? Buffer.from(init.body).toString("latin1") : String(init.body ?? ""),
      headers: init.headers as Record<string, string>,
      keepalive: init.keepalive ?? false,
    });
    if (init.method === "PATCH" && (init.headers as Record<string, string>)["if-match"] === "*") return patched();
    return init.method === "POST" ? answer() : new Response(null, { status: 204 });
  }) as typeof fetch;
});
afterEach(() => {
  globalThis.fetch = fetchBefore;
  globalThis.CompressionStream = gzip;
});

const settle = () => new Promise((resolve) => setImmediate(resolve));

const make = () => {
  const pc = new FakePeer();
  return { pc, whip: new Whip(pc as unknown as RTCPeerConnection, { url: "https://mix.example/whip/r", token: "t" }) };
};

test("the offer goes out in gzip, and what went is told", async () => {
  globalThis.CompressionStream = gzip;
  const { whip } = make();
  let sent = 0;
  await whip.connect((up) => {
    sent = up.bytes;
    assert.equal(up.took.exact, false);
    return how();
  });
  const packed = Buffer.from(calls[0]!.body, "latin1");
  assert.equal(sent, packed.length);
  assert.equal(calls[0]!.headers["content-encoding"], "gzip");
  assert.equal(gunzipSync(packed).toString(), resending(sdp));
});

test("the offer goes out at once, candidates follow when the session has an address", async () => {
  const { pc, whip } = make();
  let give = (_: unknown) => {};
  const held = answer;
  answer = () => new Promise((resolve) => (give = resolve)).then(held);
  const connected = whip.connect(how);
  await settle();
  assert.deepEqual(calls.map((c) => c.method), ["POST"]);
  assert.equal(calls[0]?.body, resending(sdp));
  assert.equal(calls[0]?.headers.authorization, "Bearer t");
  pc.candidate("candidate:1");
  pc.candidate("candidate:2");
  await settle();
  assert.equal(calls.length, 1);
  give(null);
  await connected;
  await settle();
  assert.equal(pc.remote, "v=0 answer");
  assert.deepEqual(calls.map((c) => c.method), ["POST", "PATCH"]);
  assert.equal(calls[1]?.url, "https://mix.example/whip/r/s1");
  assert.equal(calls[1]?.headers["if-match"], '"e1"');
  assert.match(calls[1]?.body ?? "", /a=candidate:1\r\na=candidate:2\r\n$/);
  pc.candidate(null);
  await settle();
  assert.match(calls[2]?.body ?? "", /end-of-candidates/);
});

test("sound is offered to be sent again, by browsers that take that", async () => {
  for (const strict of [false, true]) {
    const { pc, whip } = make();
    pc.strict = strict;
    calls = [];
    await whip.connect(how);
    assert.equal(calls[0]!.body.includes("a=rtcp-fb:111 nack"), !strict);
    assert.equal(calls[0]!.body, pc.localDescription.sdp);
    assert.ok(pc.remote.startsWith("v=0 answer"));
  }
});

const ways = [
  "m=audio 9 X 111",
  "a=candidate:1 1 udp 2130706431 2001:db8::1 26000 typ host",
  "a=candidate:2 1 udp 2130706431 192.0.2.1 26000 typ host",
  "a=candidate:3 1 udp 2130706431 192.0.2.2 26000 typ host",
  "a=candidate:4 1 tcp 1671430143 192.0.2.2 26000 typ host tcptype passive",
  "a=end-of-candidates",
  "",
];

test("an answer is narrowed to the page's host, else to the first way by IPv4", () => {
  const left = (host: string) => narrowed(ways.join("\r\n"), host).sdp.split("\r\n").map((l) => /^a=candidate:(\d)/.exec(l)?.[1]).filter((n) => n).join();
  assert.equal(left("192.0.2.2"), "3");
  assert.equal(left("2001:db8::1"), "1");
  assert.equal(left("mix.example"), "2");
  const { sdp, rest } = narrowed(ways.join("\r\n"), "mix.example");
  assert.deepEqual(sdp.split("\r\n"), [ways[0], ways[2], ways[5], ""]);
  assert.deepEqual(rest, [ways[1], ways[3], ways[4]].map((l) => l!.slice(2)));
  const only6 = ways.slice(0, 2).join("\r\n");
  assert.deepEqual(narrowed(only6, "mix.example"), { sdp: only6, rest: [] });
});

test("on a link for sound alone one way is tried first, and all if that is none", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  answer = async () => {
    const res = new Response(ways.join("\r\n"), { status: 201, headers: { location: "/whip/r/s1" } });
    Object.defineProperty(res, "url", { value: "https://192.0.2.2/whip/r" });
    return res;
  };
  for (const state of ["checking", "connected"]) {
    const { pc, whip } = make();
    calls = [];
    await whip.connect(() => ({ ...how(), picture: 0 }));
    assert.match(pc.remote, /candidate:3/);
    assert.doesNotMatch(pc.remote, /candidate:[124]/);
    pc.candidate("candidate:9");
    await settle();
    assert.deepEqual(calls.map((c) => c.method), ["POST"]);
    pc.iceConnectionState = state;
    t.mock.timers.tick(3_000);
    await settle();
    const late = state === "checking";
    assert.equal(pc.added.length, late ? 3 : 0);
    assert.deepEqual(calls.map((c) => c.method), late ? ["POST", "PATCH"] : ["POST"]);
  }
  const { pc, whip } = make();
  await whip.connect(how);
  assert.match(pc.remote, /candidate:4/);
});

test("closing ends the session once, by a request that outlives the page", async () => {
  const { pc, whip } = make();
  await whip.connect(how);
  whip.close();
  whip.close();
  assert.deepEqual(calls.map((c) => [c.method, c.keepalive]), [["POST", false], ["DELETE", true]]);
  assert.ok(pc.closed);
  pc.candidate("candidate:3");
  await settle();
  assert.equal(calls.length, 2);
});

test("a session that is answered after closing is ended, too", async () => {
  const { pc, whip } = make();
  let give = (_: unknown) => {};
  const held = answer;
  answer = () => new Promise((resolve) => (give = resolve)).then(held);
  const connected = whip.connect(how);
  await settle();
  whip.close();
  give(null);
  await connected;
  assert.deepEqual(calls.map((c) => c.method), ["POST", "DELETE"]);
  assert.equal(pc.remote, "");
});

test("a refusal is thrown with its status", async () => {
  const { whip } = make();
  answer = async () => new Response("", { status: 503 });
  await assert.rejects(whip.connect(how), (err: Refused) => err instanceof Refused && err.passing);
});

test("a restart goes on after a request was lost, and takes over the new way", async () => {
  const { pc, whip } = make();
  answer = async () => {
    const text = "v=0\r\nm=audio 9 X 111\r\na=ice-ufrag:old\r\na=ice-pwd:old\r\na=candidate:9\r\nm=video 9 X 96\r\na=ice-ufrag:old\r\na=ice-pwd:old\r\n";
    const res = new Response(text, { status: 201, headers: { location: "/whip/r/s1", etag: '"e1"' } });
    Object.defineProperty(res, "url", { value: "https://mix.example/whip/r" });
    return res;
  };
  await whip.connect(how);
  patched = async () => {
    throw new TypeError("network");
  };
  const never = new AbortController().signal;
  await assert.rejects(whip.restart(never), TypeError);
  patched = async () =>
    new Response("m=audio 9 X 0\r\na=ice-ufrag:new\r\na=ice-pwd:secret\r\na=candidate:1\r\na=end-of-candidates\r\n", { headers: { etag: '"e2"' } });
  await whip.restart(never);
  assert.equal(pc.restarts, 1);
  const [first, second] = calls.filter((c) => c.headers["if-match"] === "*");
  assert.match(second?.body ?? "", /ufrag:u1/);
  assert.equal(first?.body, second?.body);
  assert.equal(pc.remote, "v=0\r\nm=audio 9 X 111\r\na=ice-ufrag:new\r\na=ice-pwd:secret\r\na=candidate:1\r\na=end-of-candidates\r\nm=video 9 X 96\r\na=ice-ufrag:new\r\na=ice-pwd:secret\r\n");
  pc.candidate("candidate:4");
  await settle();
  assert.equal(calls.at(-1)?.headers["if-match"], '"e2"');
  assert.match(calls.at(-1)?.body ?? "", /ufrag:u1[\s\S]*candidate:4/);

  patched = async () => new Response("", { status: 404 });
  await assert.rejects(whip.restart(never), (err: Refused) => err instanceof Refused && err.status === 404);
  whip.abandon();
  assert.ok(pc.closed);
  assert.ok(!calls.some((c) => c.method === "DELETE"));
});
