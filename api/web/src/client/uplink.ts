import type { Ask } from "./types.ts";

/** What one look at getStats says of the way up; null is what a browser does not tell. */
export interface Upward {
  available: number | null; // the browser's estimate, bit/s
  measured: number | null; // the server's, where it saw a queue
  asked: number; // what the server lets us send at most, which bounds the estimate, bit/s
  loss: number | null; // share of our sound that the server misses, 0 to 1; null while it says nothing new
  rtt?: number | null; // there and back, ms
}

/** How to send: sound comes first, the picture has what it leaves. */
export interface Sending {
  sound: Voice;
  picture: number; // bit/s at most; 0 pauses it
}

/** How sound is sent. */
export interface Voice {
  bitrate: number; // bit/s of Opus
  packet: number; // ms of sound in one; all headers take 26 kbit/s at 20, 8.5 at 60
  quiet: boolean; // next to nothing is sent in silence
  twice: boolean; // each packet repeats the one before it (RFC 2198)
}

const headers = 36; // bytes a packet, of those that a browser's estimate is about

/** The rungs, best first: from which estimate on, bit/s. 36 are about 45 on the wire. */
const rungs: (Sending & { from: number })[] = [
  { from: 150_000, sound: { bitrate: 32_000, packet: 20, quiet: false, twice: false }, picture: Infinity },
  { from: 70_000, sound: { bitrate: 24_000, packet: 40, quiet: false, twice: false }, picture: Infinity },
  { from: 36_000, sound: { bitrate: 16_000, packet: 60, quiet: true, twice: false }, picture: Infinity },
  { from: 0, sound: { bitrate: 12_000, packet: 60, quiet: true, twice: false }, picture: 0 },
];
/** The same for links that lose some: what is said comes through although a packet does not, for no more delay than one is long. */
const doubled: Voice[] = rungs.map((r) => ({ ...r.sound, twice: true }));

/** The rung of somebody who wants to spend little: the first that is quiet in silence. */
export const thrifty = 2;
const silent = rungs.length - 1;

/** What sound takes of the estimate, bit/s. */
export function wire(v: Voice): number {
  return (v.twice ? 2 : 1) * v.bitrate + (headers * 8 * 1000) / v.packet;
}

/** A link of which is known only that it is slow, bit/s. */
export const slow = 100_000;
const soundOnly = 70_000; // up to which it has hardly room for more than sound
const unsure = 100_000; // up to which it may be such a one, by what an upload tells

const atEase = 1.4; // times what sound takes has to be there for it to begin twice
const losing = 0.008; // share of sound, in the mean of some reports, from which on it is sent twice
const kept = 0.002; // and below which, for calm looks, once again
const calm = 30;
const leastPicture = 10_000;

// What is lost although next to nothing is sent, or where there is no time for a queue, is
// not lost for being too much: such a way is foul, and is sent more in spite of it.
const foulNear = 200; // ms there and back
const foulFrom = 0.07; // share of sound
const foulUntil = 0.03;
const foulAfter = 3; // reports in a row, and
const foulAgain = 60; // where sending more made a queue, or more loss

const downAfter = 2; // looks in a row that say so, one a second
const upAfter = 8;
const heavy = 0.1; // loss that is taken for too much being sent, where the browser has no estimate
const tryAfter = 10; // looks from a pause to the first attempt to send a picture again
const tryThin = 30; // on a link that has hardly room for one
const tryLongest = 120;
const proof = 6; // looks that an attempt has to last

/**
 * Follows one's own way up. It goes down fast and up slowly, and a picture that
 * was paused is tried again after a while, later after each failure: without one
 * the browser finds out little about the link.
 */
export class Uplink {
  private rung = 0;
  private least = 0; // no better rung than this
  private low = 0; // looks in a row that were too low for the rung
  private high = 0;
  private waited = 0;
  private wait = tryAfter;
  private tried = 0; // looks since the picture was tried again; 0: it was not
  private estimate = Infinity;
  private steady = Infinity; // falls with the estimate and rises slowly
  private told = 0; // share of our sound that was lost as of the last report
  private known = 0; // reports, up to 8
  private lost = 0; // share of our sound, in the mean of the last reports
  private quiet = 0; // looks in a row with next to nothing lost
  private twice = false;
  private thin = false; // it has hardly room for more than sound
  private foul = 0; // loss that is the way's own, which no rate makes less; 0: none is
  private poor = 0; // reports in a row that speak for such loss
  private doubt = foulAfter; // so many that it takes

  /** How to send now. */
  get sending(): Sending {
    const r = rungs[this.rung]!;
    const sound = this.twice ? doubled[this.rung]! : r.sound;
    const left = this.rung > 0 ? Math.max(1, Math.floor((0.9 * this.steady - wire(sound)) / leastPicture)) * leastPicture : Infinity;
    const most = this.least > 0 ? 80_000 : Infinity;
    return { sound, picture: r.picture && Math.min(left, most) };
  }

  /** Whether the picture is paused because the link carries no more than sound. */
  get paused(): boolean {
    return this.rung === silent;
  }

  /** Holds to what takes little, or does not any more. */
  spare(on: boolean): void {
    this.least = on ? thrifty : 0;
    this.rung = Math.max(this.rung, this.least);
  }

  /**
   * Begins on a link that carries about that, bit/s; it goes up from there. Where
   * that is hardly more than sound, or may be, a picture would fill the link before sound has
   * come through once: it is tried when that is known to. Slow ways lose some more often than
   * not, which takes a hundred packets to tell: until then sound goes twice.
   */
  begin(rate: number): void {
    if (rate >= 150_000) return;
    this.rung = Math.max(this.rung, rate < unsure ? silent : thrifty);
    if (rate < soundOnly) [this.thin, this.wait] = [true, tryThin];
    this.steady = Math.min(this.steady, Math.max(rate, 40_000));
    this.twice = this.paused && rate >= atEase * wire(doubled[silent]!);
  }

  /** Takes one look, one a second; true if sending changes. */
  look(u: Upward): boolean {
    const before = JSON.stringify(this.sending);
    this.weigh(u);
    const lossy = !this.foul && u.available === null && u.measured === null && this.told > heavy;
    // The browser's own is bounded by what it was asked for, and stays low after a
    // pause: it counts where something is lost and the server does not know better. Much
    // that is lost on the radio takes it to next to nothing (Chromium), for no queue.
    const own = this.foul || u.available === null || u.available >= 0.85 * u.asked || this.told < 0.02 ? Infinity : u.available;
    this.estimate = u.measured ?? own;
    const slowly = Number.isFinite(this.steady) ? Math.max((this.foul ? 1.3 : 1.08) * this.steady, 20_000) : Infinity;
    this.steady = this.rung === 0 && this.estimate === Infinity ? Infinity : Math.min(this.estimate, slowly);
    if (this.paused) this.resume(u);
    else this.follow(u, lossy);
    this.repeat(u);
    return JSON.stringify(this.sending) !== before;
  }

  // Tells a way that loses by itself from one that is full.
  private weigh(u: Upward): void {
    this.told = u.loss ?? this.told;
    if (u.loss !== null) {
      this.known = Math.min(8, this.known + 1);
      this.lost += (u.loss - this.lost) / this.known;
    }
    this.quiet = this.lost < kept ? this.quiet + 1 : 0;
    if (this.foul > 0) {
      const fuller = u.measured !== null || this.lost > 1.5 * this.foul + 0.05;
      if (fuller) this.doubt = foulAgain;
      if (fuller || this.lost < foulUntil) this.foul = this.poor = 0;
      return;
    }
    const little = this.paused || (u.rtt ?? foulNear) < foulNear;
    if (!little || u.measured !== null || this.lost <= foulFrom) this.poor = 0;
    else if (u.loss !== null) this.poor++;
    if (this.poor < this.doubt) return;
    this.foul = this.lost;
    this.thin = false; // what was lost of the offer took its time
    this.steady = Math.max(this.steady, 1.2 * wire(doubled[silent]!));
  }

  // Sound goes twice while some of it is lost, if there is room: a way up that
  // loses for being full would lose more.
  private repeat(u: Upward): void {
    const loses = this.lost > losing || this.twice; // or may do so, for all that is known
    if (u.measured !== null && u.measured < soundOnly && loses) this.thin = true;
    if (this.thin && loses && !this.paused) {
      this.rung = silent; // there is no room for both, and sound comes first
      this.waited = this.tried = 0;
    }
    const room = this.steady - wire(doubled[this.rung]!) - (this.paused ? 0 : leastPicture);
    if (this.twice) this.twice = this.quiet < calm && room >= 0;
    else this.twice = this.lost > losing && room >= 0.1 * this.steady;
  }

  private follow(u: Upward, lossy: boolean): void {
    if (this.foul && this.rung > this.least && this.steady >= 1.15 * rungs[this.rung - 1]!.from) {
      this.rung--;
      this.low = this.high = 0;
      return;
    }
    const fits = lossy ? this.rung + 1 : rungs.findIndex((r) => this.estimate >= r.from);
    this.low = fits > this.rung ? this.low + 1 : 0;
    // Up only with some room: an estimate swings.
    const better = rungs[this.rung - 1];
    this.high = !lossy && better && this.estimate >= 1.15 * better.from && this.rung > this.least ? this.high + 1 : 0;
    if (this.tried > 0 && ++this.tried > proof) {
      this.tried = 0;
      this.wait = tryAfter;
    }
    // The server has looked for a while before it says so.
    if (this.low >= (u.measured === null ? downAfter : 1)) {
      this.rung = Math.min(silent, lossy ? this.rung + 1 : fits);
      this.low = 0;
      if (this.paused) {
        this.wait = this.tried > 0 ? Math.min(2 * this.wait, tryLongest) : this.wait;
        this.waited = this.tried = 0;
      }
    } else if (this.high >= upAfter) {
      this.rung--;
      this.high = 0;
    }
  }

  private resume(u: Upward): void {
    const carries = u.measured !== null && this.estimate >= 1.3 * rungs[thrifty]!.from;
    if (this.foul && this.steady >= 1.15 * rungs[thrifty]!.from) this.waited = this.wait;
    if (++this.waited < (carries ? tryAfter / 2 : this.wait) || (this.thin && this.twice)) return;
    this.rung = thrifty;
    this.twice = this.twice && this.lost > losing;
    this.low = this.high = 0;
    this.tried = 1;
  }
}

/** What the server lets somebody send who is asked for that, bit/s. */
export function allowance(ask: Ask | undefined): number {
  if (!ask) return Infinity;
  return (ask.active ? Math.max(ask.bitrate, 50_000) : 50_000) + 64_000;
}

/** An ask as far as the way up carries it: fewer, smaller pictures rather than bad ones. */
export function within(ask: Ask, picture: number): Ask {
  if (picture <= 0) return { ...ask, active: false };
  if (picture >= ask.bitrate || !ask.active) return ask;
  const small = picture < 40_000;
  const size = Math.min(1, Math.sqrt((small ? 160 * 90 : 320 * 180) / Math.max(1, ask.width * ask.height)));
  const even = (n: number) => Math.max(2, 2 * Math.round((n * size) / 2));
  return { ...ask, bitrate: Math.floor(picture), fps: Math.min(ask.fps, small ? 5 : 10), width: even(ask.width), height: even(ask.height) };
}

/** How long an answer was waited for, ms; exact: without what was waited for a connection, or at the server. */
export interface Wait {
  ms: number;
  exact: boolean;
}

const framed = 1.05; // bytes on the wire for one of a body
const headed = 900; // bytes that go with an offer and not with a request for a place, as measured
const whole = 2600; // and that go besides it, answer and all
const quick = 150; // ms, in which next to anything may have come between

/** What was waited for the answer to an offer of so many bytes. */
export interface Upload {
  bytes: number;
  took: Wait;
}

/**
 * What an upload says of the way up, bit/s, where an answer to next to nothing takes a round
 * trip: a small request's, or, bare, one of ICE's checks. Infinity if it was quick.
 */
export function uploaded(up: Upload, trip: Wait, bare = false): number {
  const sending = up.took.ms - trip.ms;
  return sending < (up.took.exact && trip.exact ? quick : 500) ? Infinity : ((framed * up.bytes + (bare ? whole : headed)) * 8000) / sending;
}

/** There and back, ms, from which on the server is told, and waits for it, whether the way is thin: nearer it finds out as soon by itself. */
export const far = 250;

/** What is said where nothing was found that is thin, bit/s. */
export const fast = 100_000_000;

/** What was waited for the answer, which is here, to a request that began then; by our own clock it took so many ms. */
export function waited(url: string, began: number, clock: number): Wait {
  const all = performance.getEntriesByName(url, "resource") as PerformanceResourceTiming[];
  const last = all.findLast((e) => e.startTime >= began - 1 && e.requestStart > 0 && e.responseStart > 0);
  if (!last) return { ms: clock, exact: false };
  return { ms: last.responseStart - last.requestStart - (last.serverTiming?.[0]?.duration ?? 0), exact: true };
}

/** An answer that makes the browser begin its pictures at so many bit/s; Chromium only. */
export function beginning(answer: string, bitrate: number): string {
  return answer
    .split(/(?=^m=)/m)
    .map((part) => {
      if (!part.startsWith("m=video")) return part;
      const pt = /^m=video \d+ \S+ (\d+)/.exec(part)?.[1];
      const param = `x-google-start-bitrate=${Math.round(bitrate / 1000)}`;
      if (new RegExp(`^a=fmtp:${pt} `, "m").test(part)) return part.replace(new RegExp(`^(a=fmtp:${pt} .*?)\r?$`, "m"), `$1;${param}\r`);
      return part.replace(new RegExp(`^(a=rtpmap:${pt} .*?)\r?$`, "m"), `$1\r\na=fmtp:${pt} ${param}\r`);
    })
    .join("");
}

/**
 * An offer to send sound again that was lost (RFC 4585, section 4.2): Chromium does
 * so when it is asked, but does not say so by itself.
 */
export function resending(offer: string): string {
  return offer
    .split(/(?=^m=)/m)
    .map((part) => {
      const pt = part.startsWith("m=audio") && /^a=rtpmap:(\d+) opus\//im.exec(part)?.[1];
      if (!pt || new RegExp(`^a=rtcp-fb:(${pt}|\\*) nack\\s*$`, "m").test(part)) return part;
      return part.replace(new RegExp(`^a=rtpmap:${pt} .*\r?\n`, "m"), `$&a=rtcp-fb:${pt} nack\r\n`);
    })
    .join("");
}

/**
 * An answer that makes the browser send sound like this: a=ptime, and the format
 * parameters of Opus (RFC 7587, section 6.1). It is between the page and its
 * browser; the server takes any of it.
 */
export function tuned(answer: string, v: Voice): string {
  return answer
    .split(/(?=^m=)/m)
    .map((part) => (part.startsWith("m=audio") ? tuneAudio(part, v) : part))
    .join("");
}

function tuneAudio(part: string, v: Voice): string {
  const pt = /^a=rtpmap:(\d+) opus\//im.exec(part)?.[1];
  if (!pt) return part;
  const lines = part.split("\r\n").filter((l) => !/^a=(max)?ptime:/.test(l));
  prefer(lines, pt, v.twice);
  const ours = ["maxaveragebitrate", "usedtx", "ptime"];
  const at = lines.findIndex((l) => l.startsWith(`a=fmtp:${pt} `));
  const kept = at < 0 ? [] : lines[at]!.slice(`a=fmtp:${pt} `.length).split(";").filter((p) => !ours.includes(p.split("=")[0]!.trim()));
  const fmtp = `a=fmtp:${pt} ${[...kept, `maxaveragebitrate=${v.bitrate}`, ...(v.quiet ? ["usedtx=1"] : [])].join(";")}`;
  if (at >= 0) lines[at] = fmtp;
  else lines.splice(lines.findIndex((l) => l.startsWith(`a=rtpmap:${pt} `)) + 1, 0, fmtp);
  const end = lines.at(-1) === "" ? lines.length - 1 : lines.length;
  lines.splice(end, 0, `a=ptime:${v.packet}`);
  return lines.join("\r\n");
}

/** Puts redundant sound, if it was agreed on, before or behind the codec that it repeats: the browser sends the first. */
function prefer(lines: string[], pt: string, twice: boolean): void {
  const red = lines.map((l) => /^a=rtpmap:(\d+) red\//i.exec(l)?.[1]).find((n) => n);
  if (!red) return;
  const [media, port, proto, ...formats] = lines[0]!.split(" ");
  const others = formats.filter((f) => f !== red);
  others.splice(others.indexOf(pt) + (twice ? 0 : 1), 0, red);
  lines[0] = [media, port, proto, ...others].join(" ");
}
