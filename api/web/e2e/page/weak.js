// @ts-nocheck: runs before the page's own scripts, without modules; window.weakConfig is what the client was told.
//
// Instruments in the real join page. The camera shows a bar-coded clock, the microphone a tone in turns; what comes back
// is looked at and listened to in a worker, frame by frame, beside the page's own elements.
(() => {
  const { code, tone, turn, fps, loop, slot, worker } = window.weakConfig;
  if (!navigator.mediaDevices) return;

  /** The clock as cmd/mixdown/load draws it: see barcode.go there. */
  const bits = (id, index) => {
    let crc = 0x1f;
    for (let bit = 14; bit >= 0; bit--) {
      const top = ((crc >> 4) ^ (((id << 8) | index) >> bit)) & 1;
      crc = (crc << 1) & 0x1f;
      if (top) crc ^= 0x05;
    }
    return [(1 << 7) | ((index >> 2) << 1), ((index & 3) << 6) | (id >> 1), ((id & 1) << 6) | (crc << 1) | 1];
  };

  const [width, height] = [640, 360];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const to = canvas.getContext("2d");
  const paint = () => {
    const index = Math.floor((Date.now() * fps) / 1000) % (loop * fps);
    const t = (2 * Math.PI * index) / (loop * fps);
    const wall = to.createLinearGradient(0, 0, width, height);
    wall.addColorStop(0, `hsl(${code * 47} 40% 70%)`);
    wall.addColorStop(1, `hsl(${code * 47} 40% 40%)`);
    to.fillStyle = wall;
    to.fillRect(0, 0, width, height);
    const [x, y] = [width / 2 + 14 * Math.sin(t), height * 0.55 + 5 * Math.sin(3 * t)];
    const round = (cx, cy, rx, ry, colour) => {
      to.fillStyle = colour;
      to.beginPath();
      to.ellipse(cx, cy, rx, ry, 0, 0, 2 * Math.PI);
      to.fill();
    };
    round(x, height, 150, 110, "#345"); // shoulders, head, eyes, mouth
    round(x, y, 58, 76, "#c98f70");
    round(x - 22, y - 12, 7, index % 75 < 3 ? 1 : 5, "#222");
    round(x + 22, y - 12, 7, index % 75 < 3 ? 1 : 5, "#222");
    round(x, y + 36, 20, 4 + 6 * Math.abs(Math.sin(9 * t)), "#722");
    to.fillStyle = "rgb(110 110 110)";
    to.fillRect(0.238 * width, 0.06 * height - 0.012 * width, 0.524 * width, 0.19 * height + 0.024 * width);
    const rows = bits(code, index);
    for (let i = 0; i < 24; i++) {
      to.fillStyle = (rows[i >> 3] >> (7 - (i & 7))) & 1 ? "#fff" : "#000";
      to.fillRect((0.25 + (i & 7) * 0.0625) * width, (0.06 + ((i >> 3) * 0.19) / 3) * height, 0.0625 * width + 0.5, (0.19 / 3) * height + 0.5);
    }
  };
  paint();
  setInterval(paint, 1000 / fps);

  /** The microphone: a tone from 0.3 to 2.8 s of every other slot. */
  let sound = null;
  const microphone = () => {
    sound ??= (() => {
      const context = new AudioContext({ sampleRate: 48_000 });
      const gain = new GainNode(context, { gain: 0 });
      const out = context.createMediaStreamDestination();
      const oscillator = new OscillatorNode(context, { frequency: tone });
      oscillator.connect(gain).connect(out);
      oscillator.start();
      let next = 0; // slot
      const plan = () => {
        const now = Date.now() / 1000;
        const wanted = Math.floor((now + 0.5) / slot);
        if (wanted <= next) return;
        next = wanted;
        if (wanted % 2 !== turn) return;
        const begin = context.currentTime + (wanted * slot + 0.3 - now);
        gain.gain.setValueAtTime(0, begin);
        gain.gain.linearRampToValueAtTime(0.1, begin + 0.02);
        gain.gain.setValueAtTime(0.1, begin + 2.48);
        gain.gain.linearRampToValueAtTime(0, begin + 2.5);
      };
      setInterval(plan, 50);
      void context.resume();
      return out;
    })();
    return sound.stream.getAudioTracks()[0].clone();
  };

  navigator.mediaDevices.getUserMedia = async ({ audio, video }) => new MediaStream([
    ...(audio ? [microphone()] : []),
    ...(video ? canvas.captureStream(fps).getVideoTracks() : []),
  ]);

  const eye = new Worker(URL.createObjectURL(new Blob([worker], { type: "text/javascript" })));
  eye.postMessage({ config: { tones: window.weakConfig.tones } });
  const connections = [];
  const stats = [];
  let first = 0; // when the first picture or sound came

  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      connections.push(this);
      this.addEventListener("track", ({ track }) => {
        const { readable } = new MediaStreamTrackProcessor({ track });
        eye.postMessage({ kind: track.kind, readable }, [readable]);
      });
    }
  };

  /** What getStats counts now, of the connection that is in use. */
  const look = async () => {
    const pc = connections.at(-1);
    if (!pc || pc.connectionState === "closed") return;
    const report = [...(await pc.getStats()).values()];
    const s = { t: Date.now(), state: pc.connectionState };
    for (const e of report) {
      if (e.type === "inbound-rtp") {
        s[e.kind] = {
          bytes: e.bytesReceived + (e.headerBytesReceived ?? 0), packets: e.packetsReceived, lost: e.packetsLost, nacks: e.nackCount ?? 0,
          frames: e.framesDecoded ?? 0, keyframes: e.keyFramesDecoded ?? 0, freezes: e.freezeCount ?? 0, frozen: e.totalFreezesDuration ?? 0,
          plis: e.pliCount ?? 0, width: e.frameWidth ?? 0, height: e.frameHeight ?? 0,
          samples: e.totalSamplesReceived ?? 0, concealed: e.concealedSamples ?? 0, silent: e.silentConcealedSamples ?? 0, events: e.concealmentEvents ?? 0,
          delay: e.jitterBufferDelay ?? 0, target: e.jitterBufferTargetDelay ?? 0, least: e.jitterBufferMinimumDelay ?? 0,
          emitted: e.jitterBufferEmittedCount ?? 0,
        };
      } else if (e.type === "outbound-rtp") {
        s[`${e.kind}Out`] = {
          bytes: e.bytesSent + (e.headerBytesSent ?? 0), frames: e.framesEncoded ?? 0, keyframes: e.keyFramesEncoded ?? 0,
          width: e.frameWidth ?? 0, height: e.frameHeight ?? 0, target: e.targetBitrate ?? 0, active: e.active ?? true,
        };
      } else if (e.type === "candidate-pair" && e.nominated) {
        s.rtt = e.currentRoundTripTime ?? 0;
        s.available = e.availableOutgoingBitrate ?? 0;
      } else if (e.type === "local-candidate" || e.type === "remote-candidate") {
        s[e.type === "local-candidate" ? "local" : "remote"] ??= `${e.protocol} ${e.address}`;
      }
    }
    stats.push(s);
  };
  setInterval(() => void look().catch(() => {}), 500);

  const ask = () => new Promise((resolve) => {
    eye.addEventListener("message", (e) => resolve(e.data), { once: true });
    eye.postMessage({ take: true });
  });

  window.weak = {
    /** @param {{x: number, y: number, w: number, h: number}[]} tiles in thousandths of the picture */
    tiles: (tiles) => eye.postMessage({ tiles }),
    /** All that was seen and heard since the last call. */
    take: async () => ({ ...(await ask()), stats: stats.splice(0) }),
  };
})();
