import { refusal } from "./errors.ts";
import { fragment, iceHead, type IceHead } from "./sdpfrag.ts";

/** Where a connection is made, and with what. */
export interface Endpoint {
  url: string;
  token: string;
}

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

  constructor(
    readonly pc: RTCPeerConnection,
    private readonly endpoint: Endpoint,
  ) {}

  /** Offers, and applies the answer. */
  async connect(): Promise<void> {
    this.pc.addEventListener("icecandidate", (e) => this.trickle(e.candidate));
    await this.pc.setLocalDescription();
    const sdp = this.pc.localDescription?.sdp ?? "";
    this.head = iceHead(sdp);
    const res = await fetch(this.endpoint.url, {
      method: "POST",
      headers: { "content-type": "application/sdp", authorization: `Bearer ${this.endpoint.token}` },
      body: sdp,
    });
    if (!res.ok) throw await refusal(res);
    this.location = new URL(res.headers.get("location") ?? "", res.url).href;
    this.etag = res.headers.get("etag") ?? "";
    const answer = await res.text();
    if (this.closed) {
      this.hangUp();
      return;
    }
    await this.pc.setRemoteDescription({ type: "answer", sdp: answer });
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
    if (!this.location || (!this.waiting.length && !this.gathered)) return;
    this.patching = this.patching.then(async () => {
      const candidates = this.waiting.splice(0);
      const done = this.gathered;
      if (!this.head || this.closed || (!candidates.length && !done)) return;
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
