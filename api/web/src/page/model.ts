import { computed, signal } from "@preact/signals";
import { Client, kept, self, type Layout, type Phase, type Place, type Quality, type Sent, type View, type Wish } from "../client/index.ts";

const nameKey = "mixdown.name";

/** The name given last time, on this machine. */
export function lastName(): string {
  try {
    return localStorage.getItem(nameKey) ?? "";
  } catch {
    return "";
  }
}

function rememberName(name: string): void {
  try {
    localStorage.setItem(nameKey, name);
  } catch {
    // private mode: it is typed again
  }
}

/** What the page of one room shows, and what its buttons do. */
export class Model {
  readonly phase = signal<Phase>("idle");
  readonly view = signal<View | null>(null);
  readonly mix = signal<MediaStream | null>(null);
  readonly quality = signal<Quality | null>(null);
  readonly sending = signal<Sent>({ mic: false, camera: false, screen: false });
  readonly trouble = signal("");
  readonly busy = signal(false); // joining
  readonly paused = signal(false); // the picture, for want of a link
  readonly tiers = signal<string[]>([]);
  readonly tier = signal("");
  readonly me = computed(() => self(this.view.value));
  readonly recording = computed(() => this.view.value?.state.recording ?? false);
  readonly streaming = computed(() => this.view.value?.state.streaming ?? false);
  readonly calls = computed(() => this.view.value?.state.calls ?? []);
  readonly locked = computed(() => this.view.value?.state.locked ?? false);
  readonly layout = computed(() => this.view.value?.state.layout ?? "gallery");
  readonly hands = computed(() => this.people.value.filter((p) => p.hand).sort((a, b) => Date.parse(a.hand!) - Date.parse(b.hand!)));
  readonly people = computed(() => this.view.value?.state.participants ?? []);

  readonly client: Client;

  constructor(readonly room: string) {
    this.client = new Client(location.origin, {
      onPhase: (phase) => (this.phase.value = phase),
      onView: (view) => (this.view.value = view),
      onMix: (mix) => (this.mix.value = mix),
      onQuality: (quality) => this.measure(quality),
      onMedia: (sent) => (this.sending.value = sent),
      onPaused: (paused) => (this.paused.value = paused),
      onTrouble: (sentence) => (this.trouble.value = sentence),
    });
  }

  /** Joins with the room's key, which is the part of the link after #. */
  async join(name: string, wish: Wish): Promise<void> {
    if (this.busy.value) return;
    this.busy.value = true;
    this.trouble.value = "";
    try {
      const place = await this.client.join(this.room, decodeURIComponent(location.hash.slice(1)), name);
      rememberName(place.name);
      this.tiers.value = place.tiers;
      await this.client.connect(wish, this.tier.value);
    } catch (err) {
      this.phase.value = "idle";
      this.trouble.value =
        err instanceof TypeError ? "The server cannot be reached. Check your connection and try again." : (err as Error).message;
    } finally {
      this.busy.value = false;
    }
  }

  /** After a reload: comes back as the same person, true if there was one. */
  comeBack(): boolean {
    const place = kept(this.room);
    if (!place?.joined) return false;
    this.phase.value = "joining"; // no preview in between, which would open both devices
    void this.join(place.name, { mic: place.mic, camera: place.camera });
    return true;
  }

  private measure(quality: Quality): void {
    const before = this.quality.value?.path;
    this.quality.value = quality;
    if (quality.path === "tcp" && before !== "tcp" && !this.trouble.value) {
      this.trouble.value = "Your network blocks video traffic, using TCP. Sound and picture may come a little later.";
    }
  }

  private turns = { sound: Promise.resolve(), picture: Promise.resolve() };

  toggleMic = (): Promise<void> => this.device("sound", () => this.client.setMic(!this.sending.value.mic));

  toggleCamera = (): Promise<void> => this.device("picture", () => this.client.setCamera(!this.sending.value.camera));

  toggleScreen = (): Promise<void> => this.device("picture", () => this.client.setScreen(!this.sending.value.screen));

  setTier(tier: string): void {
    this.tier.value = tier;
    this.client.setTier(tier);
  }

  /** Does what a host may do to another. */
  host(action: "mute" | "unmute" | "remove" | "lower", id: string): Promise<void> {
    return this.ask((api, place) => {
      switch (action) {
        case "remove":
          return api.remove(place, id);
        case "lower":
          return api.hand(place, id, false);
        default:
          return api.mute(place, id, action === "mute");
      }
    });
  }

  /** Raises one's own hand, or lowers it. */
  toggleHand = (): Promise<void> => this.ask((api, place) => api.hand(place, place.identity, !this.me.value?.hand));

  /** Keeps newcomers out, or lets them in again. */
  toggleLock = (): Promise<void> => this.ask((api, place) => api.lock(place, !this.locked.value));

  setLayout(layout: Layout): Promise<void> {
    return this.ask((api, place) => api.layout(place, layout));
  }

  /** Calls a telephone; what is wrong with that is the answer. */
  async dial(to: string, name: string): Promise<string> {
    const { api, place } = this.client;
    try {
      if (place) await api.dial(place, to, name);
      return "";
    } catch (err) {
      return (err as Error).message;
    }
  }

  /** Hangs up a call. */
  hangup(id: string): Promise<void> {
    return this.ask((api, place) => api.hangup(place, id));
  }

  /** Records the room, or stops that. */
  toggleRecording = (): Promise<void> => this.ask((api, place) => (this.recording.value ? api.stopRecording(place) : api.record(place)));

  // Asks for something by REST; a refusal is shown. What became of it is in the server's state.
  private async ask(what: (api: Client["api"], place: Place) => Promise<void>): Promise<void> {
    const { api, place } = this.client;
    if (!place) return;
    try {
      await what(api, place);
    } catch (err) {
      this.trouble.value = (err as Error).message;
    }
  }

  // Clicks are obeyed one after another, those for the picture apart from those for the sound:
  // a camera may take long to open, and a click meanwhile counts.
  private device(kind: "sound" | "picture", change: () => Promise<void>): Promise<void> {
    if (this.busy.value || this.me.value?.role === "viewer") return Promise.resolve();
    this.trouble.value = "";
    const turn = this.turns[kind].then(change);
    this.turns[kind] = turn.catch(() => {});
    return turn;
  }
}
