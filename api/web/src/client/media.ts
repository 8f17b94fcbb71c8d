/** What a person wants to send. */
export interface Wish {
  mic: boolean;
  camera: boolean;
}

/** What a person sends. */
export interface Sent extends Wish {
  screen: boolean; // in the camera's place
}

const audio: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
const video: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 25, max: 30 } };
const screen: MediaTrackConstraints = { width: { max: 1920 }, height: { max: 1080 }, frameRate: { ideal: 10, max: 15 } };

/** A device that was wanted and did not come: what to tell, and what to do. */
export class NoDevice extends Error {
  constructor(
    readonly kind: "mic" | "camera",
    cause: unknown,
  ) {
    super(explain(kind, cause instanceof DOMException ? cause.name : ""));
    this.name = "NoDevice";
  }
}

/** The sentence for a name of getUserMedia's errors. */
export function explain(kind: "mic" | "camera", name: string): string {
  const device = kind === "mic" ? "microphone" : "camera";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return `The browser was not allowed to use the ${device}. Allow it by the symbol in the address bar, then switch it on here.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No ${device} was found. Plug one in and switch it on here.`;
    case "NotReadableError":
    case "AbortError":
      return `The ${device} is in use by another program. Close that one, then switch it on here.`;
    case "Insecure":
      return `Browsers give no ${device} to a plain http address. Open the https:// address of this page.`;
    default:
      return `The ${device} stopped or did not start. Switch it on here to try again.`;
  }
}

/** What one person shows and says. A device that is off is closed, so that its light goes out. */
export class Media {
  mic: MediaStreamTrack | null = null;
  camera: MediaStreamTrack | null = null;
  screen: MediaStreamTrack | null = null;
  private opening: Promise<unknown> = Promise.resolve();

  /** onLost is called when a device goes away by itself, or the browser's own button ends a screen. */
  constructor(private readonly onLost: (kind: keyof Sent) => void) {}

  /** The picture to send. */
  get picture(): MediaStreamTrack | null {
    return this.screen ?? this.camera;
  }

  /** Opens what is wished, and resolves with what did not come; never rejects. */
  async open(wish: Wish): Promise<NoDevice[]> {
    const wanted = { mic: wish.mic && !this.mic, camera: wish.camera && !this.camera };
    if (wanted.mic && wanted.camera) {
      try {
        // Both at once is one question to the person instead of two.
        this.take(await this.get({ audio, video }));
        return [];
      } catch {
        // one of the two may still come
      }
    }
    const missing: NoDevice[] = [];
    for (const kind of ["mic", "camera"] as const) {
      if (!wanted[kind]) continue;
      try {
        this.take(await this.get(kind === "mic" ? { audio } : { video }));
      } catch (cause) {
        missing.push(new NoDevice(kind, cause));
      }
    }
    return missing;
  }

  /** Lets the person choose a screen, a window or a tab. Resolves with what went wrong; nothing if they chose none. */
  async share(): Promise<string> {
    if (!navigator.mediaDevices?.getDisplayMedia) return "This browser cannot show its screen. On a computer it can.";
    try {
      const [track] = (await navigator.mediaDevices.getDisplayMedia({ video: screen })).getVideoTracks();
      if (track) this.keep("screen", track, "detail");
      return "";
    } catch (cause) {
      return cause instanceof DOMException && cause.name === "NotAllowedError" ? "" : "The screen could not be shown. Choose another window or the whole screen.";
    }
  }

  /** Closes one device. */
  close(kind: keyof Sent): void {
    this[kind]?.stop();
    this[kind] = null;
  }

  private take(stream: MediaStream): void {
    for (const track of stream.getTracks()) {
      if (track.kind === "audio") this.keep("mic", track, "speech");
      else this.keep("camera", track, "motion");
    }
  }

  private keep(kind: keyof Sent, track: MediaStreamTrack, hint: string): void {
    this.close(kind);
    this[kind] = track;
    track.onended = () => {
      if (this[kind] !== track) return;
      this[kind] = null;
      this.onLost(kind);
    };
    if ("contentHint" in track) track.contentHint = hint;
  }

  // One question at a time: some browsers fail the second of two.
  private get(constraints: MediaStreamConstraints): Promise<MediaStream> {
    const next = this.opening
      .catch(() => {})
      .then(() => {
        if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("no media devices", "Insecure");
        return navigator.mediaDevices.getUserMedia(constraints);
      });
    this.opening = next;
    return next;
  }
}

/**
 * Reports the level of a track ten times a second, 0 (-60 dBFS and below) to
 * 1 (full scale). Returns the function that stops it.
 */
export function meter(track: MediaStreamTrack, onLevel: (level: number) => void): () => void {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 2048 });
  const source = context.createMediaStreamSource(new MediaStream([track]));
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    let sum = 0;
    for (const s of samples) sum += s * s;
    const dB = 10 * Math.log10(sum / samples.length + 1e-12);
    onLevel(Math.min(1, Math.max(0, 1 + dB / 60)));
  }, 100);
  return () => {
    clearInterval(timer);
    source.disconnect();
    void context.close();
  };
}
