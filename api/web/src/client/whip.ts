import { Refused, refusal } from "./errors.ts";
import { beginning, resending, tuned, waited, type Sending, type Upload, type Voice } from "./uplink.ts";
import { fragment, iceHead, narrowed, renewed, type IceHead } from "./sdpfrag.ts";

/** Where a connection is made, and with what. */
export interface Endpoint {
  url: string;
  token: string;
}

const offerGood = 4_000; // ms; then the network may be another one than it was made in
const answerTime = 10_000; // ms that a server may take for an answer
const narrowTime = 3_000; // ms that one way alone to the server is tried

/**
 * One WHIP or WHEP session (RFC 9725): the offer goes out at once with the
 * candidates there are, later ones follow by PATCH. The answer has all of the
 * server's.
 */
export class Whip {
  private location = "";
  private etag = "";
  private head: IceHead | null = null;
  private waiting: string[] = [];
  private gathered = false;
  private patching: Promise<void> = Promise.resolve();
  private closed = false;
  private narrowly = false; // one way to the server is tried, and nothing said of our candidates
  private answer = ""; // the server's, with the newest ICE session
  private offered = 0; // when the restart that is going on was

  constructor(
    readonly pc: RTCPeerConnection,
    private readonly endpoint: Endpoint,
  ) {}

  /**
   * Offers, and applies the answer as how says, which is told how many bytes went
   * up and how long the answer was waited for.
   */
  async connect(how: (up: Upload) => Sending): Promise<void> {
    this.pc.addEventListener("icecandidate", (e) => this.trickle(e.candidate));
    await this.offer();
    const sdp = this.pc.localDescription?.sdp ?? "";
    this.head = iceHead(sdp);
    const offer = await packed(sdp);
    const began = performance.now();
    const res = await fetch(this.endpoint.url, {
      method: "POST",
      headers: { "content-type": "application/sdp", authorization: `Bearer ${this.endpoint.token}`, ...offer.headers },
      body: offer.body,
      signal: AbortSignal.timeout(answerTime),
    });
    const clock = performance.now() - began;
    if (!res.ok) throw await refusal(res);
    this.location = new URL(res.headers.get("location") ?? "", res.url).href;
    this.etag = res.headers.get("etag") ?? "";
    this.answer = await res.text();
    if (this.closed) {
      this.hangUp();
      return;
    }
    const { sound, picture } = how({ bytes: offer.body.byteLength, took: waited(this.endpoint.url, began, clock) });
    if (!picture) this.narrow(new URL(res.url).hostname);
    const answer = picture < 100_000 ? beginning(this.answer, Math.max(20_000, picture)) : this.answer;
    await this.pc.setRemoteDescription({ type: "answer", sdp: tuned(answer, sound) });
    this.flush();
  }

  // On a link for sound alone one way is tried first, and the server finds out by itself
  // where we are. Who is not there soon tries all.
  private narrow(host: string): void {
    const { sdp, rest } = narrowed(this.answer, host.replace(/^\[|\]$/g, ""));
    if (!rest.length) return;
    this.answer = sdp;
    this.narrowly = true;
    setTimeout(() => {
      this.narrowly = false;
      if (this.closed || !["new", "checking"].includes(this.pc.iceConnectionState)) return;
      for (const candidate of rest) void this.pc.addIceCandidate({ candidate, sdpMLineIndex: 0 }).catch(() => {});
      this.flush();
    }, narrowTime);
  }

  // Browsers that take no offer but their own make that one.
  private async offer(): Promise<void> {
    const { type, sdp } = await this.pc.createOffer();
    await this.pc.setLocalDescription({ type, sdp: resending(sdp ?? "") }).catch(() => this.pc.setLocalDescription());
  }

  /**
   * Changes how sound is sent, without a word to the server: the browser gets the
   * same answer with other parameters. False if it cannot be done now.
   */
  async retune(voice: Voice): Promise<boolean> {
    if (!this.answer || this.closed || this.pc.signalingState !== "stable") return false;
    await this.offer();
    await this.pc.setRemoteDescription({ type: "answer", sdp: tuned(this.answer, voice) });
    return true;
  }

  /**
   * Restarts ICE (RFC 9725, section 4.3.3): the connection stays, its way is
   * new. It may be called again after it failed or was aborted; then the same
   * restart goes on. A server that has no such session any more refuses.
   */
  async restart(signal: AbortSignal): Promise<void> {
    if (!this.location) throw new Refused(404, "There is no session to restart.");
    if (this.pc.signalingState !== "stable" && Date.now() - this.offered > offerGood) {
      await this.pc.setLocalDescription({ type: "rollback" });
    }
    if (this.pc.signalingState === "stable") {
      this.offered = Date.now();
      this.pc.restartIce();
      this.waiting = [];
      this.gathered = false;
      this.head = null; // holds back what is gathered until the server knows the new credentials
      await this.offer();
    }
    const head = iceHead(this.pc.localDescription?.sdp ?? "");
    const candidates = this.waiting.slice();
    const res = await fetch(this.location, {
      method: "PATCH",
      headers: {
        "content-type": "application/trickle-ice-sdpfrag",
        authorization: `Bearer ${this.endpoint.token}`,
        "if-match": "*",
      },
      body: fragment(head, candidates, false),
      signal,
    });
    if (!res.ok) throw await refusal(res);
    const answer = await res.text();
    this.etag = res.headers.get("etag") ?? this.etag;
    this.answer = renewed(this.answer, answer);
    const before = this.pc.remoteDescription?.sdp ?? "";
    await this.pc.setRemoteDescription({ type: "answer", sdp: renewed(before, answer) });
    this.waiting.splice(0, candidates.length);
    this.head = head;
    this.flush();
  }

  /** Ends the session; the request outlives the page. May be called twice. */
  close(): void {
    if (!this.closed) {
      this.closed = true;
      this.hangUp();
    }
    this.pc.close();
  }

  /** Closes the connection without a word to the server: another one is about to take the place. */
  abandon(): void {
    this.closed = true;
    this.pc.close();
  }

  private hangUp(): void {
    if (!this.location) return; // no answer yet: connect does it when it comes
    void fetch(this.location, {
      method: "DELETE",
      headers: { authorization: `Bearer ${this.endpoint.token}` },
      keepalive: true,
    }).catch(() => {}); // the server notices by itself, later
    this.location = "";
  }

  private trickle(candidate: RTCIceCandidate | null): void {
    if (!candidate?.candidate) this.gathered = true;
    else this.waiting.push(candidate.candidate);
    this.flush();
  }

  // Sends what has been gathered, one request after another. Trickle is an
  // optimization here: a refusal is no reason to give up.
  private flush(): void {
    if (!this.location || !this.head || this.narrowly || (!this.waiting.length && !this.gathered)) return;
    this.patching = this.patching.then(async () => {
      if (!this.head || this.closed || (!this.waiting.length && !this.gathered)) return;
      const candidates = this.waiting.splice(0);
      const done = this.gathered;
      this.gathered = false;
      const headers: Record<string, string> = {
        "content-type": "application/trickle-ice-sdpfrag",
        authorization: `Bearer ${this.endpoint.token}`,
      };
      if (this.etag) headers["if-match"] = this.etag;
      await fetch(this.location, { method: "PATCH", headers, body: fragment(this.head, candidates, done) }).catch(() => {});
    });
  }
}

/** Puts VP8 first where the browser lets us choose, keeping what repairs it. */
export function preferVP8(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const first = codecs.filter((c) => c.mimeType.toLowerCase() === "video/vp8");
  if (!first.length) return;
  transceiver.setCodecPreferences([...first, ...codecs.filter((c) => !first.includes(c))]);
}

/** A text in gzip where the browser has that: an offer is a third then, and fits a thin link's queue. */
async function packed(text: string): Promise<{ body: Uint8Array<ArrayBuffer>; headers: Record<string, string> }> {
  const plain = new TextEncoder().encode(text);
  if (!("CompressionStream" in globalThis)) return { body: plain, headers: {} };
  const gzip = new Response(new Blob([plain]).stream().pipeThrough(new CompressionStream("gzip")));
  return { body: new Uint8Array(await gzip.arrayBuffer()), headers: { "content-encoding": "gzip" } };
}
