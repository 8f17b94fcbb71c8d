import assert from "node:assert/strict";
import { test } from "node:test";
import { encodingFor, obey, same } from "./ask.ts";
import { Backoff } from "./backoff.ts";
import { Refused, refusal, sentence } from "./errors.ts";
import { explain } from "./media.ts";
import { fragment, iceHead } from "./sdpfrag.ts";
import { parse, reduce, self } from "./state.ts";
import { between, checked, count, type Counters } from "./stats.ts";
import type { Ask, State } from "./types.ts";

const ask: Ask = { active: true, width: 320, height: 180, fps: 15, bitrate: 150_000 };

test("an ask becomes parameters that fill the tile", () => {
  assert.deepEqual(encodingFor(ask, { width: 1280, height: 720 }), {
    active: true, maxBitrate: 150_000, maxFramerate: 15, scaleResolutionDownBy: 4,
  });
});

test("a tile of another shape is covered, not fitted", () => {
  // 640x480 in a 320x180 tile: half size is 320x240, which covers; 2.66 would be 240x180.
  assert.equal(encodingFor(ask, { width: 640, height: 480 }).scaleResolutionDownBy, 2);
  // A phone held upright.
  assert.equal(encodingFor(ask, { width: 720, height: 1280 }).scaleResolutionDownBy, 2.25);
});

test("nothing is scaled up, and the unknown is left alone", () => {
  assert.equal(encodingFor({ ...ask, width: 1920, height: 1080 }, { width: 640, height: 360 }).scaleResolutionDownBy, 1);
  assert.equal("scaleResolutionDownBy" in encodingFor(ask, { width: 0, height: 0 }), false);
  assert.deepEqual(encodingFor({ active: true, width: 0, height: 0, fps: 0, bitrate: 0 }, { width: 640, height: 360 }), { active: true });
});

test("who is on no canvas sends nothing", () => {
  assert.deepEqual(encodingFor({ ...ask, active: false }, { width: 640, height: 360 }), { active: false });
});

test("only changes count", () => {
  const now = encodingFor(ask, { width: 1280, height: 720 });
  assert.ok(same(now, { ...now }));
  assert.ok(same({ ...now }, { active: true }));
  assert.ok(!same(now, { ...now, maxBitrate: 200_000 }));
  assert.ok(!same(now, { active: false }));
  assert.ok(!same({ active: true }, now));
});

/** A sender of a camera that delivers a size; it counts how often it was changed. */
const fakeSender = (size: { width: number; height: number }, ...encodings: object[]) => {
  const fake = {
    set: 0,
    params: { encodings } as unknown as RTCRtpSendParameters,
    track: { getSettings: () => size },
    getParameters: () => structuredClone(fake.params),
    setParameters: async (p: RTCRtpSendParameters) => {
      fake.set++;
      fake.params = p;
    },
  };
  return fake;
};
const sends = (fake: object) => fake as unknown as RTCRtpSender;

test("a sender is changed once for one ask, and not at all before it is negotiated", async () => {
  const fake = fakeSender({ width: 640, height: 360 }, { active: true });
  assert.equal(await obey(sends(fake), ask), true);
  assert.equal(await obey(sends(fake), ask), false);
  assert.equal(fake.set, 1);
  assert.equal(fake.params.encodings[0]?.scaleResolutionDownBy, 2);
  const early = fakeSender({ width: 640, height: 360 });
  assert.equal(await obey(sends(early), ask), false);
  assert.equal(early.set, 0);
});

test("who pays for every change is asked for those that matter", async () => {
  const fake = fakeSender({ width: 1280, height: 720 }, { active: true, maxBitrate: 900_000, maxFramerate: 30 });
  const full = { active: true, width: 1280, height: 720, fps: 25, bitrate: 1_700_000 };
  const asks: [typeof full, number][] = [
    [full, 0],
    [{ ...full, fps: 13, bitrate: 1_070_000 }, 0], // pictures are halved
    [{ ...full, width: 640, height: 360 }, 0],
    [{ ...full, width: 426, height: 240, bitrate: 300_000 }, 1],
    [{ ...full, width: 320, height: 180, bitrate: 200_000 }, 1],
    [{ ...full, bitrate: 200_000, width: 426, height: 240, fps: 6 }, 2],
    [{ ...full, active: false }, 3],
    [full, 4],
  ];
  for (const [ask, changes] of asks) {
    await obey(sends(fake), ask, true);
    assert.equal(fake.set, changes, JSON.stringify(ask));
  }
});

const entry = (type: string, e: Record<string, unknown>) => ({ id: type + String(e.kind ?? e.n ?? ""), type, ...e });

test("a stats report is added up", () => {
  const c = count(
    [
      entry("inbound-rtp", { kind: "audio", bytesReceived: 100, headerBytesReceived: 10, packetsReceived: 5, packetsLost: 1 }),
      entry("inbound-rtp", {
        kind: "video", bytesReceived: 1000, packetsReceived: 10, packetsLost: 2, framesDecoded: 25, freezeCount: 1, frameWidth: 1280, frameHeight: 720,
      }),
      entry("outbound-rtp", { kind: "video", bytesSent: 500, headerBytesSent: 50, frameWidth: 320, frameHeight: 180 }),
      entry("transport", { selectedCandidatePairId: "candidate-pair2" }),
      entry("candidate-pair", { n: 1, currentRoundTripTime: 9 }),
      entry("candidate-pair", { n: 2, currentRoundTripTime: 0.02, localCandidateId: "local-candidate3" }),
      entry("local-candidate", { n: 3, protocol: "udp", relayProtocol: "tls" }),
    ],
    7,
  );
  assert.deepEqual(c, {
    at: 7, bytesIn: 1110, bytesOut: 550, frames: 25, packets: 15, lost: 3, freezes: 1,
    rtt: 0.02, width: 1280, height: 720, sentWidth: 320, sentHeight: 180, available: null, lossOut: null, path: "tcp",
  } satisfies Counters);
});

test("a pair marked selected gives the round trip where no transport names one", () => {
  const c = count([entry("candidate-pair", { n: 1, selected: false, currentRoundTripTime: 9 }), entry("candidate-pair", { n: 2, selected: true, currentRoundTripTime: 0.03 })], 0);
  assert.equal(c.rtt, 0.03);
});

test("quality is what happened between two looks", () => {
  const a = { ...count([], 1000), bytesIn: 1000, frames: 10, packets: 100, lost: 0 };
  const b = { ...a, at: 3000, bytesIn: 126_000, bytesOut: 25_000, frames: 60, packets: 190, lost: 10, rtt: 0.05 };
  const q = between(a, b);
  assert.equal(q.kbpsIn, 500);
  assert.equal(q.kbpsOut, 100);
  assert.equal(q.fps, 25);
  assert.equal(q.loss, 0.1);
  assert.equal(q.rtt, 50);
});

test("late packets and new streams give no negative quality", () => {
  const a = { ...count([], 0), bytesIn: 5000, packets: 50, lost: 9, frames: 40 };
  const q = between(a, { ...count([], 1000), bytesIn: 1000, packets: 5, lost: 3, frames: 2 });
  assert.equal(q.loss, 0);
  assert.equal(q.kbpsIn, 8);
  assert.equal(q.fps, 2);
});

const sdp = ["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=ice-ufrag:abcd", "a=ice-pwd:secretsecretsecretsecret", "a=mid:0", "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=ice-ufrag:abcd", "a=mid:1", ""].join("\r\n");

test("a fragment names its ICE session and its section", () => {
  const f = fragment(iceHead(sdp), ["candidate:1 1 udp 2 192.0.2.1 5000 typ host", "a=candidate:2 1 udp 1 192.0.2.1 5001 typ host"], true);
  assert.equal(
    f,
    [
      "a=ice-ufrag:abcd", "a=ice-pwd:secretsecretsecretsecret", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0",
      "a=candidate:1 1 udp 2 192.0.2.1 5000 typ host", "a=candidate:2 1 udp 1 192.0.2.1 5001 typ host", "a=end-of-candidates", "",
    ].join("\r\n"),
  );
  assert.ok(!fragment(iceHead(sdp), [], false).includes("end-of-candidates"));
});

const state = (version: number, ids: string[], room = "r"): State =>
  ({ room, version, participants: ids.map((id) => ({ id, name: id })) }) as unknown as State;

test("the newest state holds, whatever the order", () => {
  const first = reduce(null, { type: "state", state: state(2, ["a"]), you: "a" });
  assert.equal(self(first)?.id, "a");
  const second = reduce(first, { type: "state", state: state(3, ["a", "b"]), you: "" });
  assert.equal(second?.you, "a");
  assert.equal(second?.state.participants.length, 2);
  assert.equal(reduce(second, { type: "state", state: state(1, []), you: "a" }), second);
  assert.equal(self(reduce(second, { type: "state", state: state(4, ["b"]), you: "a" })), undefined);
});

test("changes are taken over", () => {
  const first = reduce(null, { type: "state", state: state(2, ["a", "b"]), you: "a" });
  const m = parse(JSON.stringify({ type: "changes", changes: { state: { version: 3, speaker: "b" }, participants: { b: { open: true }, c: { id: "c" } }, order: ["b", "c"] } }));
  const next = reduce(first, m!);
  assert.deepEqual(next?.state, { room: "r", version: 3, speaker: "b", participants: [{ id: "b", name: "b", open: true }, { id: "c" }] });
  const last = reduce(next, { type: "changes", changes: { state: { speaker: null } } });
  assert.ok(last && !("speaker" in last.state));
  assert.equal(last.state.participants.length, 2);
  assert.equal(reduce(null, m!), null);
});

test("messages that are not ours are not heard", () => {
  for (const junk of ["", "{", "null", "[]", '{"type":"state"}', '{"type":"state","state":{}}', '{"type":"x"}', new Blob()]) {
    assert.equal(parse(junk), null);
  }
  const m = parse(JSON.stringify({ type: "state", state: state(1, ["a"]), you: "a" }));
  assert.ok(m?.type === "state" && m.you === "a");
  assert.deepEqual(parse('{"type":"error","error":{"code":"bad_request","message":"no"}}'), { type: "error", message: "no" });
});

test("waiting doubles, has an end, and starts over", () => {
  const b = new Backoff(500, 4000, () => 0.5);
  assert.deepEqual([b.next(), b.next(), b.next(), b.next(), b.next()], [500, 1000, 2000, 4000, 4000]);
  b.reset();
  assert.equal(b.next(), 500);
  const low = new Backoff(1000, 4000, () => 0);
  const high = new Backoff(1000, 4000, () => 1);
  assert.deepEqual([low.next(), high.next()], [750, 1250]);
});

test("a refusal says what the problem document says", async () => {
  const r = await refusal(
    new Response(JSON.stringify({ title: "Forbidden", detail: "wrong key", status: 403 }), {
      status: 403,
      headers: { "content-type": "application/problem+json" },
    }),
  );
  assert.ok(r instanceof Refused && !r.passing);
  assert.equal(r.message, "Wrong key.");
  assert.match(sentence(403, ""), /after #/);
  const full = await refusal(new Response("", { status: 503, headers: { "retry-after": "7" } }));
  assert.ok(full.passing);
  assert.equal(full.retryAfter, 7);
  assert.match(sentence(418, ""), /418/);
  assert.match(sentence(423, 'room "a": the room is locked'), /^A host has locked/);
});

test("every missing device gets a sentence with something to do", () => {
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "Insecure", "?"]) {
    assert.match(explain("camera", name), /camera.*(switch|Switch|https)/s);
  }
});

test("the trip is that of the fastest way that ICE has checked", async () => {
  const pair = (e: object) => ({ type: "candidate-pair", state: "succeeded", ...e });
  const told = (...entries: object[]) => checked({ getStats: async () => new Map(entries.entries()) } as unknown as RTCPeerConnection);
  assert.equal(await told(pair({ currentRoundTripTime: 0.41 }), pair({ currentRoundTripTime: 0.3 }), pair({ state: "failed", currentRoundTripTime: 0.1 })), 300);
  assert.equal(await told(pair({}), { type: "transport" }), null);
  let asked = 0;
  const late = async () => new Map([[0, ++asked < 4 ? pair({}) : pair({ currentRoundTripTime: 0.34 })]]);
  assert.equal(await checked({ getStats: late } as unknown as RTCPeerConnection), 340); // what was known before the check is told again
});
