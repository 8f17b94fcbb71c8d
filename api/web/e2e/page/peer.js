import * as barcode from "./barcode.js";

/** @typedef {Readonly<{color: readonly number[], tone: number}>} Voice */

/** Level of a complex amplitude, dBFS. @param {number[]} amplitude */
const dB = ([re, im]) => 10 * Math.log10(re * re + im * im + 1e-12);

/** One raw peer: a flat colour with a clock and a tone go out, instruments look at what comes back. */
export class Peer {
  pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  audio = new AudioContext({ sampleRate: 48_000 });
  video = document.createElement("video");
  /** @type {Record<string, Voice>} */
  voices = {};
  /** @type {GainNode | null} */
  #gain = null;
  #sent = new MediaStream();
  #location = "";
  #token = "";
  /** @type {number[][][] | null} complex amplitudes of all voices' tones in each 20 ms since record */
  #tones = null;

  /** @param {{url: string, token: string, voice?: Voice, voices: Record<string, Voice>, silent: boolean, sound: boolean, codec?: string}} o */
  async join({ url, token, voice, voices, silent, sound, codec }) {
    this.voices = voices;
    this.#token = token;
    this.take();
    if (voice) for (const track of this.stream(voice, silent, sound).getTracks()) this.pc.addTransceiver(track, { direction: "sendrecv", streams: [this.#sent] });
    else for (const kind of sound ? ["audio", "video"] : ["video"]) this.pc.addTransceiver(kind, { direction: "recvonly" });
    this.#prefer(codec);

    await this.pc.setLocalDescription();
    await this.#gathered();
    const res = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/sdp", authorization: `Bearer ${token}` },
      body: this.pc.localDescription?.sdp,
    });
    const text = await res.text();
    if (res.status !== 201) throw new Error(`POST ${url}: ${res.status} ${text}`);
    this.#location = new URL(res.headers.get("location") ?? "", url).href;
    await this.pc.setRemoteDescription({ type: "answer", sdp: text });
  }

  /** Shows what comes in over pc, and looks at it. */
  take() {
    this.video.autoplay = this.video.muted = true;
    this.video.style.width = "100%";
    document.body.append(this.video);
    const mix = new MediaStream();
    this.pc.addEventListener("track", (e) => {
      mix.addTrack(e.track);
      if (e.track.kind === "video") this.video.srcObject = mix;
      else void this.#instrument(e.track);
    });
  }

  /** What goes out, sound first. @param {Voice} voice @param {boolean} silent @param {boolean} sound */
  stream(voice, silent, sound) {
    const canvas = document.createElement("canvas");
    canvas.width = barcode.width;
    canvas.height = barcode.height;
    const to = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const paint = () => {
      to.fillStyle = `rgb(${voice.color.join()})`;
      to.fillRect(0, 0, barcode.width, barcode.height);
      barcode.draw(to, Date.now());
    };
    paint();
    setInterval(paint, 40);
    const pictures = canvas.captureStream(25).getVideoTracks();
    return (this.#sent = new MediaStream([...(sound ? this.#speak(voice, silent) : []), ...pictures]));
  }

  /** Offers one codec for pictures only, or all with VP8 first. @param {string | undefined} codec */
  #prefer(codec) {
    const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
    const first = codecs.filter((c) => c.mimeType === `video/${codec ?? "VP8"}`);
    if (codec && !first.length) throw new Error(`this browser has no ${codec}`);
    for (const t of this.pc.getTransceivers()) {
      if (t.receiver.track.kind === "video" && first.length) {
        t.setCodecPreferences(codec ? first : [...first, ...codecs.filter((c) => !first.includes(c))]);
      }
    }
  }

  /** @param {Voice} voice @param {boolean} silent */
  #speak(voice, silent) {
    const tone = new OscillatorNode(this.audio, { frequency: voice.tone });
    this.#gain = new GainNode(this.audio, { gain: silent ? 0 : 0.2 });
    const out = this.audio.createMediaStreamDestination();
    tone.connect(this.#gain).connect(out);
    tone.start();
    return out.stream.getAudioTracks();
  }

  // Many clients never trickle: an offer with all candidates must do.
  #gathered() {
    return new Promise((resolve) => {
      const look = () => this.pc.iceGatheringState === "complete" && resolve(undefined);
      this.pc.addEventListener("icegatheringstatechange", look);
      look();
    });
  }

  /** @param {MediaStreamTrack} track */
  async #instrument(track) {
    // Chromium moves a remote track's sound only while an element plays it.
    const element = new Audio();
    element.muted = true;
    element.srcObject = new MediaStream([track]);
    void element.play();
    await this.audio.resume();
    await this.audio.audioWorklet.addModule("worklet.js");
    const tones = new AudioWorkletNode(this.audio, "tones", {
      numberOfOutputs: 1,
      processorOptions: { frequencies: Object.values(this.voices).map((v) => v.tone) },
    });
    tones.port.onmessage = (e) => this.#tones?.push(e.data);
    this.audio.createMediaStreamSource(new MediaStream([track])).connect(tones);
    tones.connect(new GainNode(this.audio, { gain: 0 })).connect(this.audio.destination);
  }

  async stats() {
    const out = {
      inboundVideo: 0, inboundAudio: 0, framesDecoded: 0, framesSent: 0, freezes: 0, width: 0, height: 0,
      audioSeconds: 0, concealed: 0, lost: 0, codec: "", state: /** @type {string} */ (this.pc.connectionState),
    };
    const report = [...(await this.pc.getStats()).values()];
    const codecs = new Map(report.filter((e) => e.type === "codec").map((e) => [e.id, e.mimeType]));
    for (const e of report) {
      if (e.type === "inbound-rtp") {
        out.lost += e.packetsLost;
        if (e.kind === "video") {
          out.inboundVideo++;
          out.codec = codecs.get(e.codecId) ?? "";
          out.framesDecoded += e.framesDecoded ?? 0;
          out.freezes += e.freezeCount ?? 0;
          out.width = e.frameWidth ?? 0;
          out.height = e.frameHeight ?? 0;
        } else {
          out.inboundAudio++;
          out.audioSeconds += e.totalSamplesDuration ?? 0;
          out.concealed += (e.concealedSamples ?? 0) - (e.silentConcealedSamples ?? 0);
        }
      } else if (e.type === "outbound-rtp" && e.kind === "video") out.framesSent += e.framesSent ?? 0;
    }
    return out;
  }

  /** @param {number} ms */
  async watch(ms) {
    /** @type {Map<string, {id: string, x: number, y: number, w: number, h: number, ages: number[]}>} */
    const seen = new Map();
    const end = performance.now() + ms;
    let located = -Infinity;
    while (performance.now() < end) {
      const shown = await this.#frame(end - performance.now());
      if (!shown) break;
      if (performance.now() - located > 1000) {
        for (const tile of this.#locate()) seen.set(tile.id, { ...tile, ages: seen.get(tile.id)?.ages ?? [] });
        located = performance.now();
        continue; // looking took long: this picture is no measure of age
      }
      const luma = await this.#luma();
      for (const tile of seen.values()) {
        const value = this.#readClock(tile, luma);
        if (value !== null) tile.ages.push(barcode.age(value, shown));
      }
    }
    return [...seen.values()];
  }

  /** Waits for the next picture and returns when it was presented, ms; null after limit. @param {number} limit @returns {Promise<number | null>} */
  #frame(limit) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), limit);
      this.video.requestVideoFrameCallback(() => {
        clearTimeout(timer);
        resolve(Date.now());
      });
    });
  }

  #canvas = new OffscreenCanvas(1, 1);

  /** Pixels of a part of the picture. @param {number} x @param {number} y @param {number} w @param {number} h @param {number} step */
  #pixels(x, y, w, h, step = 1) {
    const [cw, ch] = [Math.max(1, Math.round(w / step)), Math.max(1, Math.round(h / step))];
    if (this.#canvas.width < cw || this.#canvas.height < ch) {
      this.#canvas.width = Math.max(cw, this.#canvas.width);
      this.#canvas.height = Math.max(ch, this.#canvas.height);
    }
    const to = /** @type {OffscreenCanvasRenderingContext2D} */ (this.#canvas.getContext("2d", { willReadFrequently: true }));
    to.drawImage(this.video, x, y, w, h, 0, 0, cw, ch);
    return { data: to.getImageData(0, 0, cw, ch).data, w: cw, h: ch };
  }

  /** Finds each voice's tile by its colour. */
  #locate() {
    const [vw, vh] = [this.video.videoWidth, this.video.videoHeight];
    if (!vw) return [];
    const step = 2;
    const { data, w, h } = this.#pixels(0, 0, vw, vh, step);
    const tiles = [];
    for (const [id, { color }] of Object.entries(this.voices)) {
      const columns = new Uint32Array(w);
      const rows = new Uint32Array(h);
      let n = 0;
      for (let i = 0, p = 0; p < data.length; i++, p += 4) {
        const far = Math.abs(data[p] - color[0]) + Math.abs(data[p + 1] - color[1]) + Math.abs(data[p + 2] - color[2]);
        if (far > 60) continue;
        columns[i % w]++;
        rows[Math.floor(i / w)]++;
        n++;
      }
      if (n < (w * h) / 100) continue; // under a hundredth of the picture is no tile
      // Stray pixels do not count: a column or a row needs a fair part of what the fullest has.
      const [x0, x1] = extent(columns);
      const [y0, y1] = extent(rows);
      tiles.push({ id, x: x0 * step, y: y0 * step, w: (x1 - x0 + 1) * step, h: (y1 - y0 + 1) * step });
    }
    return tiles;
  }

  #planes = new Uint8Array(0);

  /** The picture's luma as it was decoded; null where the browser gives none. A canvas would turn all of it into RGBA for each tile. */
  async #luma() {
    if (!("VideoFrame" in window)) return null;
    const frame = new VideoFrame(this.video);
    try {
      if (frame.format !== "I420" && frame.format !== "NV12") return null;
      const size = frame.allocationSize();
      if (this.#planes.length < size) this.#planes = new Uint8Array(size);
      const [y] = await frame.copyTo(this.#planes); // both begin with it
      return { pixels: this.#planes, start: y.offset, stride: y.stride };
    } finally {
      frame.close();
    }
  }

  /**
   * @param {{x: number, y: number, w: number, h: number}} tile a source cropped to cover it
   * @param {{pixels: Uint8Array, start: number, stride: number} | null} luma
   */
  #readClock({ x, y, w, h }, luma) {
    const scale = Math.max(w / barcode.width, h / barcode.height);
    const { area } = barcode;
    const left = x + w / 2 + (area.x - barcode.width / 2) * scale;
    const top = y + h / 2 + (area.y - barcode.height / 2) * scale;
    const [width, height] = [area.w * scale, area.h * scale];
    if (luma) {
      const { pixels, start, stride } = luma;
      return barcode.read(pixels, width, height, { start: start + Math.round(top) * stride + Math.round(left), step: 1, stride });
    }
    const px = this.#pixels(left, top, width, height);
    return barcode.read(px.data, px.w, px.h);
  }

  record() {
    this.#tones = [];
  }

  /** Levels of each voice since record, one for each run of so many windows. */
  recorded(windows = 1) {
    const tones = this.#tones ?? [];
    this.#tones = null;
    return Object.fromEntries(Object.keys(this.voices).map((id, voice) => {
      const levels = [];
      for (let i = 0; i + windows <= tones.length; i += windows) {
        const mean = [0, 0];
        for (let k = i; k < i + windows; k++) {
          for (const part of [0, 1]) mean[part] += tones[k][voice][part] / windows;
        }
        levels.push(dB(mean));
      }
      return [id, levels];
    }));
  }

  /** @param {number} ms */
  async listen(ms) {
    this.record();
    await new Promise((resolve) => setTimeout(resolve, ms));
    const levels = this.recorded(10);
    if (!Object.values(levels)[0].length) throw new Error("no sound came");
    return Object.fromEntries(Object.entries(levels).map(([id, list]) => {
      list.sort((a, b) => a - b);
      return [id, { p50: list[Math.floor(list.length * 0.5)], p90: list[Math.floor(list.length * 0.9)] }];
    }));
  }

  /** @type {ReturnType<typeof setInterval> | undefined} */
  #chatter;

  chatter() {
    this.#chatter = setInterval(() => this.#tone(600), 1000);
  }

  /** @param {number | null} ms null for ever */
  sound(ms) {
    clearInterval(this.#chatter);
    this.#tone(ms);
  }

  /** @param {number | null} ms */
  #tone(ms) {
    const gain = /** @type {GainNode} */ (this.#gain).gain;
    const now = this.audio.currentTime;
    const ramp = 0.005; // a click would sound at every frequency
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(gain.value, now);
    if (ms !== 0) gain.linearRampToValueAtTime(0.2, now + ramp);
    if (ms === null) return;
    gain.setValueAtTime(ms ? 0.2 : gain.value, now + Math.max(ramp, ms / 1000));
    gain.linearRampToValueAtTime(0, now + Math.max(ramp, ms / 1000) + ramp);
  }

  async leave() {
    const location = this.#location;
    this.#location = "";
    this.pc.close();
    if (location) await fetch(location, { method: "DELETE", headers: { authorization: `Bearer ${this.#token}` } });
  }
}

/** First and last index that has at least a quarter of the most. @param {Uint32Array} counts */
function extent(counts) {
  const least = Math.max(...counts) / 4;
  return [counts.findIndex((n) => n >= least), counts.findLastIndex((n) => n >= least)];
}

window.peer = new Peer();
