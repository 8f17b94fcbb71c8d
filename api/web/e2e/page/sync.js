/**
 * @typedef {{color: readonly number[], tone: number, offset: number}} Signal a flat colour (RGB) and a tone (Hz): the colour turns
 *   white and the tone sounds, both at once, whenever the machine's clock is offset ms into a second
 * @typedef {{x: number, y: number, w: number, h: number}} Tile in thousandths of the picture
 * @typedef {{pictures: {at: number, levels: number[]}[], sounds: {at: number, levels: number[]}[], latency: number[]}} Recording
 *   at: ms on the page's clock, when a picture is on the screen, when the middle of a window of sound leaves the loudspeaker;
 *   levels: 0…1, brightness of each tile, amplitude of each tone; latency: what the loudspeaker adds, ms
 */

import { Onset } from "./onset.js";

const cadence = 1000;
const flash = 120;
const beep = 100;
const frame = 40; // of the sender
const ahead = 240; // that a beep is scheduled before it sounds
const loud = 0.3;
const [across, down] = [64, 36]; // the picture as it is looked at

const wall = () => performance.timeOrigin + performance.now();

/** One sender or viewer: flashes and beeps go out, and are looked for in what comes back. */
export class Sync {
  audio = new AudioContext({ sampleRate: 48_000 });
  video = document.createElement("video");
  #element = new Audio();
  #rendered = new Line();
  /** @type {MediaStream | null} */
  #sent = null;
  /** @type {RTCPeerConnection[]} */
  #pcs = [];
  /** @type {Tile[]} */
  #tiles = [];
  /** @type {Recording | null} */
  #recording = null;

  constructor() {
    this.video.autoplay = this.video.muted = this.#element.muted = true;
    this.video.style.width = "100%";
    document.body.append(this.video);
    setInterval(() => this.#rendered.add(performance.now(), this.audio.currentTime * 1000), 10);
    this.#look();
    // A context that plays nothing tells its loudspeaker's delay anew all the time, up to 180 ms instead of 42.
    const faint = new ConstantSourceNode(this.audio, { offset: 1e-5 });
    faint.connect(this.audio.destination);
    faint.start();
  }

  /** Begins to flash and beep. @param {Signal} signal */
  async send({ color, tone, offset }) {
    await this.audio.resume();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [160, 90];
    const to = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const gain = new GainNode(this.audio, { gain: 0 });
    const out = this.audio.createMediaStreamDestination();
    const tones = new OscillatorNode(this.audio, { frequency: tone });
    tones.connect(gain).connect(out);
    tones.start();
    let next = Math.ceil((wall() + 1000 - offset) / cadence) * cadence + offset;
    const step = () => {
      const at = Math.round(wall() / frame) * frame; // the frame that this is
      to.fillStyle = (at - offset) % cadence < flash ? "#fff" : `rgb(${color.join()})`;
      to.fillRect(0, 0, canvas.width, canvas.height);
      if (at + ahead >= next) {
        this.#beep(gain.gain, next - performance.timeOrigin);
        next += cadence;
      }
      setTimeout(step, Math.max(1, at + frame - wall()));
    };
    step();
    this.#sent = new MediaStream([...canvas.captureStream().getTracks(), ...out.stream.getTracks()]);
  }

  /** What the context renders at a time is in the stream at once. @param {AudioParam} gain @param {number} at ms on the page's clock */
  #beep(gain, at) {
    const start = this.#rendered.at(at) / 1000;
    const ramp = 0.002;
    gain.setValueAtTime(0, start - ramp / 2);
    gain.linearRampToValueAtTime(loud, start + ramp / 2);
    gain.setValueAtTime(loud, start + beep / 1000);
    gain.linearRampToValueAtTime(0, start + beep / 1000 + ramp);
  }

  /** Sends to this very page, over no network. @param {number[]} tones */
  async loop(tones) {
    const [a, b] = [this.#connection(), this.#connection()];
    a.onicecandidate = (e) => void b.addIceCandidate(e.candidate ?? undefined);
    b.onicecandidate = (e) => void a.addIceCandidate(e.candidate ?? undefined);
    this.#receive(b, tones);
    this.#publish(a);
    await a.setLocalDescription();
    await b.setRemoteDescription(/** @type {RTCSessionDescription} */ (a.localDescription));
    await b.setLocalDescription();
    await a.setRemoteDescription(/** @type {RTCSessionDescription} */ (b.localDescription));
  }

  /** Makes the offer of one who sends, or of a viewer. @param {number[]} tones to listen for */
  async offer(tones) {
    const pc = this.#connection();
    this.#receive(pc, tones);
    if (this.#sent) this.#publish(pc);
    else for (const kind of ["audio", "video"]) pc.addTransceiver(kind, { direction: "recvonly" });
    await pc.setLocalDescription();
    return /** @type {RTCSessionDescription} */ (pc.localDescription).sdp;
  }

  /** @param {string} sdp */
  async answer(sdp) {
    await this.#pcs[0].setRemoteDescription({ type: "answer", sdp });
  }

  hangUp() {
    for (const pc of this.#pcs) pc.close();
    this.#pcs = [];
    this.video.srcObject = this.#element.srcObject = null;
  }

  #connection() {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.#pcs.push(pc);
    return pc;
  }

  /** @param {RTCPeerConnection} pc */
  #publish(pc) {
    const sent = /** @type {MediaStream} */ (this.#sent);
    const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
    for (const track of sent.getTracks()) {
      const t = pc.addTransceiver(track, { direction: "sendrecv", streams: [sent] });
      if (track.kind === "video") t.setCodecPreferences([...codecs].sort((x, y) => Number(y.mimeType === "video/VP8") - Number(x.mimeType === "video/VP8")));
    }
  }

  /** @param {RTCPeerConnection} pc @param {number[]} tones */
  #receive(pc, tones) {
    const mix = new MediaStream(); // of both: the browser keeps them together
    pc.ontrack = (e) => {
      mix.addTrack(e.track);
      if (e.track.kind === "video") this.video.srcObject = mix;
      else void this.#listen(e.track, tones);
    };
  }

  /**
   * Hears a track as it is pulled for the loudspeaker. WebAudio would hear it behind a queue of its own, which grows by up to
   * 100 ms whenever the page is late and never shrinks.
   * @param {MediaStreamTrack} track @param {number[]} tones
   */
  async #listen(track, tones) {
    // Chromium moves a remote track's sound only while an element plays it.
    this.#element.srcObject = new MediaStream([track]);
    void this.#element.play();
    await this.audio.resume();
    const pulled = new Line();
    // @ts-expect-error: it has no types yet.
    const { readable } = new MediaStreamTrackProcessor({ track });
    /** @type {Onset | null} */
    let onset = null;
    for await (const data of readable) {
      const at = data.timestamp / 1000;
      pulled.add(performance.now(), at);
      onset ??= new Onset(data.sampleRate, tones);
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex: 0, format: "f32-planar" }); // the mix is the same in both ears
      data.close();
      const windows = onset.hear(samples);
      if (!this.#recording) continue;
      // What the loudspeaker adds, which is the same for all sound of this page.
      const stamp = this.audio.getOutputTimestamp();
      const delay = (stamp.performanceTime ?? 0) - this.#rendered.when((stamp.contextTime ?? 0) * 1000);
      this.#recording.latency.push(delay);
      for (const w of windows) this.#recording.sounds.push({ at: pulled.when(at) + w.at + delay, levels: w.levels });
    }
  }

  /** Looks at each picture, for ever. */
  #look() {
    const canvas = new OffscreenCanvas(across, down);
    const to = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    /** @type {VideoFrameRequestCallback} */
    const look = (_, { expectedDisplayTime }) => {
      if (this.#recording) {
        to.drawImage(this.video, 0, 0, across, down);
        const { data } = to.getImageData(0, 0, across, down);
        const levels = this.#tiles.map(({ x, y, w, h }) => {
          const [cx, cy] = [Math.floor(((x + w / 2) / 1000) * across), Math.floor(((y + h / 2) / 1000) * down)];
          const p = (cy * across + cx) * 4;
          return Math.min(data[p], data[p + 1], data[p + 2]) / 255; // white is bright in all of them
        });
        this.#recording.pictures.push({ at: expectedDisplayTime, levels });
      }
      this.video.requestVideoFrameCallback(look);
    };
    this.video.requestVideoFrameCallback(look);
  }

  /** Looks and listens. @param {Tile[]} tiles @param {number} ms @returns {Promise<Recording>} */
  async record(tiles, ms) {
    this.#tiles = tiles;
    this.#recording = { pictures: [], sounds: [], latency: [] };
    await new Promise((resolve) => setTimeout(resolve, ms));
    const recording = this.#recording;
    this.#recording = null;
    return recording;
  }

  /** The newest layout of a room, from its control channel. @param {string} url @param {string} token @returns {Promise<any>} */
  state(url, token) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, ["mixdown", token]);
      socket.onerror = () => reject(new Error(`${url}: no control channel`));
      socket.onmessage = (e) => {
        const message = JSON.parse(e.data);
        if (message.type !== "state") return;
        socket.close();
        resolve(message.state);
      };
    });
  }

  /** What getStats tells of what comes in, and of what goes out. */
  async stats() {
    const out = { framesDecoded: 0, audioSeconds: 0, videoDelay: 0, audioDelay: 0, size: "", framesSent: 0 };
    for (const pc of this.#pcs) {
      for (const e of (await pc.getStats()).values()) {
        if (e.type === "inbound-rtp") {
          const delay = Math.round((e.jitterBufferDelay / (e.jitterBufferEmittedCount || 1)) * 1000);
          if (e.kind === "video") {
            out.framesDecoded += e.framesDecoded ?? 0;
            out.videoDelay = delay;
          } else {
            out.audioSeconds += e.totalSamplesDuration ?? 0;
            out.audioDelay = delay;
          }
        } else if (e.type === "outbound-rtp" && e.kind === "video") {
          out.framesSent += e.framesSent ?? 0;
          out.size = `${e.frameWidth}x${e.frameHeight} at ${e.framesPerSecond} fps`;
        }
      }
    }
    return out;
  }
}

/** Where one clock is on another that goes equally fast and is read late by chance: the most advanced reading of the last 2 s. */
class Line {
  /** @type {[number, number][]} */
  #readings = [];

  /** @param {number} x @param {number} y */
  add(x, y) {
    while (this.#readings.length && this.#readings[0][0] < x - 2000) this.#readings.shift();
    this.#readings.push([x, y - x]);
  }

  #ahead() {
    return Math.max(...this.#readings.map(([, d]) => d));
  }

  /** @param {number} x */
  at(x) {
    return x + this.#ahead();
  }

  /** @param {number} y */
  when(y) {
    return y - this.#ahead();
  }
}

window.sync = new Sync();
