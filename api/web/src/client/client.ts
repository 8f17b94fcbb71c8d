import { Api } from "./api.ts";
import { obey } from "./ask.ts";
import { Backoff } from "./backoff.ts";
import { Control } from "./control.ts";
import { Refused } from "./errors.ts";
import { Media, NoDevice, type Sent, type Wish } from "./media.ts";
import { Lifeline } from "./lifeline.ts";
import { giveUp, keep, kept } from "./place.ts";
import { reduce, self, type Message, type View } from "./state.ts";
import { checked, received, Sampler, type Quality } from "./stats.ts";
import { soundOnly, type Ask, type Place } from "./types.ts";
import { allowance, far, fast, slow, Uplink, uploaded, waited, within, type Upload, type Voice, type Wait } from "./uplink.ts";
import { preferVP8, Whip } from "./whip.ts";

/** Before the server has asked for anything. */
const anything: Ask = { active: true, width: 0, height: 0, fps: 0, bitrate: 0 };

/** Where a client is on its way. */
export type Phase = "idle" | "joining" | "connected" | "interrupted" | "reconnecting" | "left";

/** What a client tells its page. */
export interface Events {
  onPhase(phase: Phase): void;
  onView(view: View): void;
  onMix(mix: MediaStream): void; // the one picture and the one sound; a new one after each reconnect
  onQuality(quality: Quality): void;
  onMedia(sent: Sent): void; // what is sent now
  onPaused(paused: boolean): void; // the picture is not sent because the link carries no more than sound
  onTrouble(sentence: string): void; // to be shown; empty when it is over
}

/**
 * One person in one room. join gets a place, connect makes the connection
 * and holds it until leave: media by WHIP, state by the control channel.
 *
 *     join ─▶ connect ─▶ connected ⇄ interrupted ─▶ reconnecting ─▶ connected … ─▶ left
 */
export class Client {
  readonly media = new Media((kind) => this.lost(kind));
  readonly api: Api;
  place: Place | null = null;
  view: View | null = null;

  private phase: Phase = "idle";
  private key = "";
  private tier = "";
  private shown = true; // whether anybody sees the picture
  private roundTrip: Wait = { ms: 0, exact: false }; // of the last request that was small
  private whip: Whip | null = null;
  private audio: RTCRtpSender | null = null;
  private video: RTCRtpSender | null = null;
  private control: Control | null = null;
  private sampler: Sampler | null = null;
  private lifeline: Lifeline | null = null;
  private twins: BroadcastChannel | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private obeying: Promise<unknown> = Promise.resolve();
  private readonly uplink = new Uplink();
  private voice: Voice = this.uplink.sending.sound; // as sound is sent now
  private quality: Quality | null = null; // of the last second

  /** base is the server's origin, as in "https://mix.example". */
  constructor(
    private readonly base: string,
    private readonly events: Events,
  ) {
    this.api = new Api(base);
  }

  /** Gets a place in a room; throws Refused or a network error. A reload gets the place it had. */
  async join(room: string, key: string, name: string): Promise<Place> {
    this.key = key;
    const began = performance.now();
    this.place = await this.api.join(room, key, name, kept(room)?.token);
    this.roundTrip = waited(this.api.joinURL(room), began, performance.now() - began);
    this.remember(true);
    return this.place;
  }

  /** Opens the wished devices and connects; what did not come is told by onTrouble and not sent. */
  async connect(wish: Wish, tier = ""): Promise<void> {
    if (!this.place) throw new Error("connect before join");
    this.tier = tier;
    this.uplink.spare(this.thrifty(tier));
    if (thinLink()) this.uplink.begin(slow);
    this.to("joining");
    const missing = this.place.role === "viewer" ? [] : await this.media.open(wish);
    this.tell(missing);
    this.control = new Control(
      this.controlURL(),
      () => this.place?.token ?? "",
      (m) => this.hear(m),
      (reason) => this.end(reason ? `You were disconnected: ${reason}.` : "The server ended the connection."),
    );
    this.announce();
    globalThis.addEventListener("online", this.online);
    this.soleTab(this.place);
    try {
      await this.dial();
      this.control?.open(); // not before: both at once are more than a thin link's queue holds
    } catch (err) {
      this.close();
      this.to("idle");
      throw err;
    }
    this.remember(true);
  }

  /** Sends the microphone or not; the track stays, so that it is back at once. */
  async setMic(on: boolean): Promise<void> {
    if (on && !this.media.mic) {
      this.tell(await this.media.open({ mic: true, camera: false }));
      await this.audio?.replaceTrack(this.media.mic);
    }
    if (this.media.mic) this.media.mic.enabled = on;
    this.announce();
  }

  /** Sends the camera or not; off closes the device. */
  async setCamera(on: boolean): Promise<void> {
    if (on) this.tell(await this.media.open({ mic: false, camera: true }));
    else this.media.close("camera");
    await this.showPicture();
  }

  /** Shows a screen in the camera's place, or the camera again. */
  async setScreen(on: boolean): Promise<void> {
    if (on) this.events.onTrouble(await this.media.share());
    else this.media.close("screen");
    await this.showPicture();
  }

  private async showPicture(): Promise<void> {
    await this.video?.replaceTrack(this.media.picture);
    this.announce();
    this.obeyAsk();
  }

  /** Moves to a tier of the ladder by name, also for coming reconnects; empty leaves the choice to the server. */
  setTier(tier: string): void {
    this.tier = tier;
    this.uplink.spare(this.thrifty(tier));
    this.send();
    this.ask();
  }

  /** Says whether the picture can be seen at all: a page in the background has no use for it. */
  setShown(shown: boolean): void {
    if (shown === this.shown) return;
    this.shown = shown;
    this.ask();
  }

  private ask(): void {
    const name = this.wanted || this.place?.tiers[0];
    if (name) this.control?.send({ type: "tier", tier: name });
  }

  private get wanted(): string {
    return this.shown ? this.tier : soundOnly;
  }

  // Whether a tier is for those who want to spend little, on the way up, too.
  private thrifty(tier: string): boolean {
    const { tiers = [], low_data = "" } = this.place ?? {};
    return tier === soundOnly || low_data !== "" && tier !== "" && tiers.indexOf(tier) >= tiers.indexOf(low_data);
  }

  /** Leaves for good. May be called twice. */
  leave(): void {
    if (this.place) giveUp(this.place.room);
    this.end("");
  }

  /** Hangs up because the page goes away; a reload may come back. */
  suspend(): void {
    this.close();
  }

  private get sending(): Sent {
    return { mic: this.media.mic?.enabled ?? false, camera: this.media.camera !== null, screen: this.media.screen !== null };
  }

  // A duplicated tab has our place, too. The newer one keeps it, or the two
  // would take it from each other for ever.
  private soleTab(place: Place): void {
    if (!("BroadcastChannel" in globalThis)) return;
    this.twins = new BroadcastChannel(`mixdown.${place.room}.${place.identity}`);
    this.twins.onmessage = () => this.end("You joined in another tab, which has your place now.");
    this.twins.postMessage("joined");
  }

  // Makes a connection; the former one, if any, is closed first.
  private async dial(): Promise<void> {
    const place = this.place!;
    this.sampler?.stop();
    this.lifeline?.stop();
    this.whip?.abandon();
    const pc = new RTCPeerConnection({ iceServers: place.ice_servers, bundlePolicy: "max-bundle" });
    const viewer = place.role === "viewer";
    const whip = new Whip(pc, { url: this.mediaURL(viewer), token: place.token });
    this.whip = whip;
    this.addTransceivers(pc, viewer);

    const mix = new MediaStream();
    pc.addEventListener("track", (e) => {
      mix.addTrack(e.track);
      this.events.onMix(mix);
    });
    pc.addEventListener("connectionstatechange", () => {
      if (this.whip === whip) this.connection(pc.connectionState);
    });
    this.sampler = new Sampler(pc, (q) => {
      this.quality = q;
      this.events.onQuality(q);
      if (!viewer) this.measure(q);
    });
    this.lifeline = this.watch(pc, whip);
    await whip.connect((up) => {
      const rate = uploaded(up, this.roundTrip);
      this.size(rate);
      if (this.roundTrip.ms >= far) this.sizeAgain(pc, up, rate);
      this.voice = this.uplink.sending.sound;
      return this.uplink.sending;
    });
    this.obeyAsk();
  }

  // Begins with what an upload says that the way up carries, bit/s. The way down is as good, or
  // better, and the server waits for this word, whatever it is.
  private size(rate: number): void {
    const was = this.uplink.paused;
    this.uplink.begin(rate);
    if (this.roundTrip.ms >= far) this.control?.send({ type: "link", down: Math.round(Math.min(rate, fast)) });
    if (this.uplink.paused !== was) this.announce();
  }

  // The request that the upload is held against may have been lost on its way, and then all
  // looks fast. ICE's checks tell the trip once more, shortly before there is media: twice, for
  // the first may have stood behind our candidates. Later trips are of other ways, perhaps.
  private sizeAgain(pc: RTCPeerConnection, up: Upload, first: number): void {
    const until = new AbortController();
    const look = async () => {
      if (!["connected", "completed"].includes(pc.iceConnectionState)) return;
      if (pc.connectionState === "connected") until.abort();
      const ms = await checked(pc).catch(() => null); // a closed connection
      const rate = ms === null ? Infinity : uploaded(up, { ms, exact: true }, true);
      if (rate >= first) return;
      first = rate;
      this.size(rate);
      this.send();
    };
    pc.addEventListener("iceconnectionstatechange", look, until);
    pc.addEventListener("connectionstatechange", look, until);
  }

  // Follows the way up, from what the last second was like.
  private measure(q: Quality): void {
    const was = this.uplink.paused;
    const ask = self(this.view)?.ask;
    const changed = this.uplink.look({ available: q.available, measured: ask?.uplink || null, loss: q.lossOut, rtt: q.rtt || null, asked: allowance(ask) });
    if (changed || this.uplink.sending.sound !== this.voice) this.send();
    if (this.uplink.paused !== was) this.announce();
  }

  // Brings what is sent in line with the way up.
  private send(): void {
    this.obeyAsk();
    const { sound } = this.uplink.sending;
    if (sound === this.voice || !this.whip || !this.audio) return;
    const { whip, audio } = this;
    this.obeying = this.obeying
      .then(async () => {
        if (sound === this.voice || !(await whip.retune(sound))) return; // the next look tries again
        this.voice = sound;
        const params = audio.getParameters?.();
        if (!params?.encodings?.[0]) return;
        params.encodings[0].maxBitrate = sound.bitrate;
        await audio.setParameters(params);
      })
      .catch(() => {}); // a closed connection
  }

  private watch(pc: RTCPeerConnection, whip: Whip): Lifeline {
    return new Lifeline({
      received: () => received(pc),
      // Read to its end, so that the restart finds a connection that works.
      reach: (signal) => fetch(new URL("/healthz", this.base), { signal, cache: "no-store" }).then((res) => res.text()),
      restart: (signal) => whip.restart(signal),
      redial: () => this.redial(0),
      on: (event) => {
        switch (event) {
          case "silent":
            this.to("interrupted");
            this.events.onTrouble("Reconnecting …");
            break;
          case "reached":
            this.control?.hurry();
            break;
          case "flowing":
            this.to("connected");
            this.events.onTrouble("");
            break;
        }
      },
    });
  }

  private addTransceivers(pc: RTCPeerConnection, viewer: boolean): void {
    if (viewer) {
      pc.addTransceiver("audio", { direction: "recvonly" });
      preferVP8(pc.addTransceiver("video", { direction: "recvonly" }));
      return;
    }
    // Both tracks belong to one stream, and both are sent from the start even
    // without a device: replaceTrack then needs no new offer.
    const streams = [new MediaStream()];
    const audio = pc.addTransceiver(this.media.mic ?? "audio", { direction: "sendrecv", streams });
    const video = pc.addTransceiver(this.media.picture ?? "video", {
      direction: "sendrecv",
      streams,
      sendEncodings: [{ maxBitrate: Math.min(900_000, Math.max(30_000, this.uplink.sending.picture)), maxFramerate: 30 }], // until the server asks
    });
    preferVP8(video);
    this.audio = audio.sender;
    this.video = video.sender;
  }

  private connection(state: RTCPeerConnectionState): void {
    switch (state) {
      case "connected":
        this.backoff.reset();
        this.sampler?.start();
        this.lifeline?.start();
        if (this.phase !== "joining") this.events.onTrouble("");
        this.to("connected");
        break;
      case "disconnected":
        this.lifeline?.suspect();
        break;
      case "failed":
        // Once it was connected, the lifeline knows better: the network may only be away.
        if (this.phase === "interrupted" || this.phase === "connected") this.lifeline?.suspect();
        else this.redial(this.backoff.next());
        break;
      case "closed":
        this.redial(this.backoff.next());
        break;
    }
  }

  private redial(after: number): void {
    if (this.phase === "left" || this.phase === "idle") return;
    this.lifeline?.stop();
    this.to("reconnecting");
    this.events.onTrouble("Reconnecting …");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      void this.again().catch((err: unknown) => {
        if (err instanceof Refused && !err.passing) this.end(err.message);
        else this.redial(this.backoff.next());
      });
    }, after);
  }

  // The network is back: no reason to wait any longer.
  private readonly online = (): void => {
    this.backoff.reset();
    this.control?.hurry();
    if (this.phase === "reconnecting") this.redial(0);
    else this.lifeline?.suspect();
  };

  private async again(): Promise<void> {
    try {
      await this.dial();
    } catch (err) {
      // The token may have run out meanwhile: the key of the room gives a new one.
      if (!(err instanceof Refused) || err.status !== 401) throw err;
      const { room, name, token } = this.place!;
      this.place = await this.api.join(room, this.key, name, token);
      this.remember(true);
      await this.dial();
    }
  }

  private hear(m: Message): void {
    if (m.type === "error") this.events.onTrouble(`The server could not do that: ${m.message}.`);
    const view = reduce(this.view, m);
    if (!view || view === this.view) return;
    const before = self(this.view)?.ask?.uplink || Infinity;
    this.view = view;
    this.events.onView(view);
    this.obeyAsk();
    // The way up carries less than it did: each second more of the same stands in it.
    if (this.quality && (self(view)?.ask?.uplink || Infinity) < before) this.measure({ ...this.quality, lossOut: null });
  }

  // Asks are obeyed one after another: setParameters refuses what was read
  // before the last change.
  private obeyAsk(): void {
    const ask = self(this.view)?.ask ?? (this.uplink.paused ? anything : null);
    const sender = this.video;
    if (!ask || !sender?.track) return;
    this.obeying = this.obeying.then(() => obey(sender, within(ask, this.uplink.sending.picture))).catch(() => {}); // a closed connection
  }

  private announce(): void {
    const { mic, camera, screen } = this.sending;
    const { paused } = this.uplink;
    const picture = camera || screen;
    if (this.place?.role !== "viewer") this.control?.send({ type: "media", audio: mic, video: picture && !paused, screen });
    this.events.onPaused(picture && paused);
    this.events.onMedia({ mic, camera, screen });
    if (this.place && this.phase !== "left") this.remember(true);
  }

  // A device that was pulled out, or taken back by the browser.
  private lost(kind: keyof Sent): void {
    if (kind !== "screen") this.tell([new NoDevice(kind, null)]);
    if (kind !== "mic") return void this.showPicture();
    void this.audio?.replaceTrack(null);
    this.announce();
  }

  private tell(missing: NoDevice[]): void {
    if (missing.length) this.events.onTrouble(missing.map((m) => m.message).join(" "));
  }

  private remember(joined: boolean): void {
    if (this.place) keep({ ...this.place, ...this.sending, joined });
  }

  private end(reason: string): void {
    if (this.phase === "left") return;
    if (this.place) giveUp(this.place.room);
    this.close();
    this.media.close("mic");
    this.media.close("camera");
    this.media.close("screen");
    this.to("left");
    this.events.onTrouble(reason);
  }

  private close(): void {
    clearTimeout(this.timer);
    globalThis.removeEventListener("online", this.online);
    this.sampler?.stop();
    this.lifeline?.stop();
    this.control?.close();
    this.control = null;
    this.twins?.close();
    this.twins = null;
    const whip = this.whip;
    this.whip = null; // its last events are not for us
    whip?.close();
    this.audio = this.video = null;
    this.view = null;
  }

  private to(phase: Phase): void {
    if (phase === this.phase) return;
    this.phase = phase;
    this.events.onPhase(phase);
  }

  private mediaURL(viewer: boolean): string {
    const url = new URL(`/${viewer ? "whep" : "whip"}/${encodeURIComponent(this.place!.room)}`, this.base);
    if (!viewer) url.searchParams.set("return", "mix");
    if (this.wanted) url.searchParams.set("tier", this.wanted);
    return url.href;
  }

  private controlURL(): string {
    const url = new URL(`/api/v1/rooms/${encodeURIComponent(this.place!.room)}/control`, this.base);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("changes", "true");
    return url.href;
  }
}

// Where the browser says that the network is of the slowest kinds (Chromium only).
function thinLink(): boolean {
  const c = (navigator as Navigator & { connection?: { effectiveType?: string; saveData?: boolean } }).connection;
  return c?.saveData === true || c?.effectiveType === "slow-2g" || c?.effectiveType === "2g";
}
