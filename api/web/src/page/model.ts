import { computed, signal } from "@preact/signals";
import { Client, kept, self, type Phase, type Quality, type View, type Wish } from "../client/index.ts";

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
  readonly sending = signal<Wish>({ mic: false, camera: false });
  readonly trouble = signal("");
  readonly busy = signal(false); // joining, or a device is being opened
  readonly paused = signal(false); // the picture, for want of a link
  readonly tiers = signal<string[]>([]);
  readonly tier = signal("");
  readonly me = computed(() => self(this.view.value));
  readonly recording = computed(() => this.view.value?.state.recording ?? false);
  readonly streaming = computed(() => this.view.value?.state.streaming ?? false);
  readonly calls = computed(() => this.view.value?.state.calls ?? []);
  readonly people = computed(() => this.view.value?.state.participants ?? []);

  readonly client: Client;

  constructor(readonly room: string) {
    this.client = new Client(location.origin, {
      onPhase: (phase) => (this.phase.value = phase),
      onView: (view) => (this.view.value = view),
      onMix: (mix) => (this.mix.value = mix),
      onQuality: (quality) => this.measure(quality),
      onMedia: (wish) => (this.sending.value = wish),
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

  toggleMic = (): Promise<void> => this.device(() => this.client.setMic(!this.sending.value.mic));

  toggleCamera = (): Promise<void> => this.device(() => this.client.setCamera(!this.sending.value.camera));

  setTier(tier: string): void {
    this.tier.value = tier;
    this.client.setTier(tier);
  }

  /** Does what a host may do to another; a refusal is shown. */
  async host(action: "mute" | "unmute" | "remove", id: string): Promise<void> {
    const { api, place } = this.client;
    if (!place) return;
    try {
      await (action === "remove" ? api.remove(place, id) : api.mute(place, id, action === "mute"));
    } catch (err) {
      this.trouble.value = (err as Error).message;
    }
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

  /** Hangs up a call; a refusal is shown. */
  async hangup(id: string): Promise<void> {
    const { api, place } = this.client;
    try {
      if (place) await api.hangup(place, id);
    } catch (err) {
      this.trouble.value = (err as Error).message;
    }
  }

  /** Records the room, or stops that; the mark follows the server's state. */
  toggleRecording = async (): Promise<void> => {
    const { api, place } = this.client;
    if (!place) return;
    try {
      await (this.recording.value ? api.stopRecording(place) : api.record(place));
    } catch (err) {
      this.trouble.value = (err as Error).message;
    }
  };

  private async device(change: () => Promise<void>): Promise<void> {
    if (this.busy.value || this.me.value?.role === "viewer") return;
    this.busy.value = true;
    this.trouble.value = "";
    try {
      await change();
    } finally {
      this.busy.value = false;
    }
  }
}
