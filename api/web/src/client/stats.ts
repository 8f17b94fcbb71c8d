/** What one look at getStats counts; times in ms, the rest since the start. */
export interface Counters {
  at: number;
  bytesIn: number;
  bytesOut: number;
  frames: number; // decoded
  packets: number; // received
  lost: number;
  freezes: number;
  rtt: number; // s
  width: number; // of the received picture
  height: number;
  sentWidth: number;
  sentHeight: number;
  available: number | null; // the browser's estimate of the way up, bit/s
  lossOut: number | null; // share of our sound that the server missed before its last report
  lossAt?: number; // when that came, ms of any origin
  path: Path;
}

/** What carries the media: UDP, or TCP where a network lets no UDP through. */
export type Path = "udp" | "tcp" | "";

/** The quality of the last second. */
export interface Quality {
  kbpsIn: number;
  kbpsOut: number;
  fps: number;
  loss: number; // share of the received packets, 0 to 1
  rtt: number; // ms
  freezes: number; // since the start
  width: number;
  height: number;
  sentWidth: number;
  sentHeight: number;
  available: number | null; // the browser's estimate of the way up, bit/s
  lossOut: number | null; // share of our sound that the server misses, 0 to 1; null while it says nothing new
  path: Path;
}

type Entry = Record<string, unknown> & { id: string; type: string };

/** Adds up the entries of a stats report. */
export function count(report: Iterable<Entry>, at: number): Counters {
  const c: Counters = {
    at, bytesIn: 0, bytesOut: 0, frames: 0, packets: 0, lost: 0, freezes: 0,
    rtt: 0, width: 0, height: 0, sentWidth: 0, sentHeight: 0,
    available: null, lossOut: null, path: "",
  };
  const entries = [...report];
  const n = (e: Entry, key: string) => (typeof e[key] === "number" ? (e[key] as number) : 0);
  const chosen = entries.find((e) => e.type === "transport" && e.selectedCandidatePairId)?.selectedCandidatePairId;
  for (const e of entries) {
    switch (e.type) {
      case "inbound-rtp":
        c.bytesIn += n(e, "bytesReceived") + n(e, "headerBytesReceived");
        c.packets += n(e, "packetsReceived");
        c.lost += n(e, "packetsLost");
        if (e.kind === "video") {
          c.frames += n(e, "framesDecoded");
          c.freezes += n(e, "freezeCount");
          c.width = n(e, "frameWidth") || c.width;
          c.height = n(e, "frameHeight") || c.height;
        }
        break;
      case "outbound-rtp":
        c.bytesOut += n(e, "bytesSent") + n(e, "headerBytesSent");
        if (e.kind === "video") {
          c.sentWidth = n(e, "frameWidth") || c.sentWidth;
          c.sentHeight = n(e, "frameHeight") || c.sentHeight;
        }
        break;
      case "remote-inbound-rtp":
        if (e.kind === "audio" && typeof e.fractionLost === "number") [c.lossOut, c.lossAt] = [e.fractionLost, n(e, "timestamp")];
        break;
      case "candidate-pair":
        // Firefox has no selectedCandidatePairId and marks the pair itself.
        if (chosen ? e.id === chosen : e.selected === true) {
          c.rtt = n(e, "currentRoundTripTime");
          if (typeof e.availableOutgoingBitrate === "number") c.available = e.availableOutgoingBitrate;
          c.path = path(entries.find((l) => l.id === e.localCandidateId));
        }
        break;
    }
  }
  return c;
}

// A relayed candidate's own protocol is that of the far side of the relay.
function path(local: Entry | undefined): Path {
  if (!local) return "";
  return (local.relayProtocol ?? local.protocol) === "udp" ? "udp" : "tcp";
}

/** The quality between two looks. A counter that starts over counts from zero. */
export function between(a: Counters, b: Counters): Quality {
  const seconds = Math.max(1e-3, (b.at - a.at) / 1000);
  const grown = (from: number, to: number) => (to < from ? Math.max(0, to) : to - from);
  // packetsLost may shrink when packets come late (RFC 3550, appendix A.3).
  const lost = Math.max(0, b.lost - a.lost);
  const packets = grown(a.packets, b.packets);
  return {
    kbpsIn: (grown(a.bytesIn, b.bytesIn) * 8) / 1000 / seconds,
    kbpsOut: (grown(a.bytesOut, b.bytesOut) * 8) / 1000 / seconds,
    fps: grown(a.frames, b.frames) / seconds,
    loss: packets + lost > 0 ? lost / (packets + lost) : 0,
    rtt: b.rtt * 1000,
    freezes: b.freezes,
    width: b.width,
    height: b.height,
    sentWidth: b.sentWidth,
    sentHeight: b.sentHeight,
    available: b.available,
    lossOut: b.lossAt !== undefined && b.lossAt === a.lossAt ? null : b.lossOut,
    path: b.path,
  };
}

/** Looks at a peer connection once a second until stopped. */
export class Sampler {
  private timer: ReturnType<typeof setInterval> | undefined;
  private last: Counters | null = null;

  constructor(
    private readonly pc: RTCPeerConnection,
    private readonly onQuality: (q: Quality) => void,
  ) {}

  start(): void {
    this.timer ??= setInterval(() => void this.look(), 1000);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async look(): Promise<void> {
    const entries: Entry[] = [];
    (await this.pc.getStats()).forEach((e: Entry) => entries.push(e));
    const now = count(entries, performance.now());
    if (this.last && this.timer) this.onQuality(between(this.last, now));
    this.last = now;
  }
}

/** Packets of media received so far. */
export async function received(pc: RTCPeerConnection): Promise<number> {
  let n = 0;
  (await pc.getStats()).forEach((e: Entry) => {
    if (e.type === "inbound-rtp" && typeof e.packetsReceived === "number") n += e.packetsReceived;
  });
  return n;
}

const remembered = 60; // ms, a little longer than browsers give the same statistics again (Chromium: 50)

/**
 * There and back by the fastest of ICE's last checks, ms; null where the browser does not tell.
 * What it told just before a check was answered it tells for a while, so it is asked some times.
 */
export async function checked(pc: RTCPeerConnection, tries = 8): Promise<number | null> {
  for (;;) {
    let ms: number | null = null;
    (await pc.getStats()).forEach((e: Entry) => {
      if (e.type !== "candidate-pair" || e.state !== "succeeded" || typeof e.currentRoundTripTime !== "number") return;
      ms = Math.min(ms ?? Infinity, 1000 * e.currentRoundTripTime);
    });
    if (ms !== null || --tries <= 0) return ms;
    await new Promise((resolve) => setTimeout(resolve, remembered));
  }
}
