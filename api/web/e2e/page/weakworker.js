// @ts-nocheck: there are no types of a worker's scope.
//
// Looks at every picture and listens to all sound that a page receives: the bar codes in the tiles, and the level of each
// tone through Hann windows of 40 ms, one each 10 ms. Times are ms of the machine's clock.
const now = () => performance.timeOrigin + performance.now();
const columns = 8;
const rows = 3;
const aspect = 16 / 9;
const guards = [[0, 0, true], [0, columns - 1, false], [rows - 1, 0, false], [rows - 1, columns - 1, true]];

let tiles = [];
let tones = [];
let frames = [];
let sounds = [];

onmessage = ({ data }) => {
  if (data.config) tones = data.config.tones;
  if (data.tiles) tiles = data.tiles;
  if (data.kind === "video") void watch(data.readable);
  if (data.kind === "audio") void listen(data.readable);
  if (data.take) {
    postMessage({ frames, sounds });
    frames = [];
    sounds = [];
  }
};

async function watch(readable) {
  let buffer = new Uint8Array(0);
  for await (const frame of readable) {
    const t = now();
    const size = frame.allocationSize();
    if (buffer.length < size) buffer = new Uint8Array(size);
    const [y] = await frame.copyTo(buffer); // I420 and NV12 both begin with luma
    const { width: w, height: h } = frame.visibleRect;
    frame.close();
    const picture = { at: buffer.subarray(y.offset), stride: y.stride, w, h };
    frames.push([t, w, h, ...tiles.map((tile) => read(picture, {
      x: (tile.x * w) / 1000, y: (tile.y * h) / 1000, w: (tile.w * w) / 1000, h: (tile.h * h) / 1000,
    }))]);
  }
}

/** The code of the picture that fills a tile, cropped to its middle or whole: id * 256 + index, or -1. */
function read(picture, tile) {
  const place = (w, h) => readAt(picture, { x: tile.x + (tile.w - w) / 2, y: tile.y + (tile.h - h) / 2, w, h });
  const cover = place(Math.max(tile.w, tile.h * aspect), Math.max(tile.h, tile.w / aspect));
  return cover >= 0 ? cover : place(Math.min(tile.w, tile.h * aspect), Math.min(tile.h, tile.w / aspect));
}

function readAt(picture, pic) {
  const [bw, bh] = [(0.5 * pic.w) / columns, (0.19 * pic.h) / rows];
  const levels = [];
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < columns; col++) {
      const level = mean(picture, pic.x + 0.25 * pic.w + (col + 0.25) * bw, pic.y + 0.06 * pic.h + (row + 0.25) * bh, bw / 2, bh / 2);
      if (level < 0) return -1;
      levels.push(level);
    }
  }
  let [white, black] = [255, 0];
  for (const [row, col, bright] of guards) {
    const level = levels[row * columns + col];
    if (bright) white = Math.min(white, level);
    else black = Math.max(black, level);
  }
  if (white - black < 24) return -1;
  let code = 0;
  for (const level of levels) code = (code << 1) | (level > (white + black) / 2 ? 1 : 0);
  const index = (((code >> 17) & 0x3f) << 2) | ((code >> 14) & 3);
  const id = (((code >> 8) & 0x3f) << 1) | ((code >> 6) & 1);
  return bits(id, index) === code ? id * 256 + index : -1;
}

/** The panel's blocks in reading order, as cmd/mixdown/load/barcode.go has them. */
function bits(id, index) {
  let crc = 0x1f;
  for (let bit = 14; bit >= 0; bit--) {
    const top = ((crc >> 4) ^ (((id << 8) | index) >> bit)) & 1;
    crc = (crc << 1) & 0x1f;
    if (top) crc ^= 0x05;
  }
  return (((1 << 7) | ((index >> 2) << 1)) << 16) | ((((index & 3) << 6) | (id >> 1)) << 8) | ((id & 1) << 6) | (crc << 1) | 1;
}

function mean({ at, stride, w, h }, x, y, width, height) {
  const [x0, y0] = [Math.floor(x + 0.5), Math.floor(y + 0.5)];
  const [x1, y1] = [Math.max(x0 + 1, Math.floor(x + width + 0.5)), Math.max(y0 + 1, Math.floor(y + height + 0.5))];
  if (x0 < 0 || y0 < 0 || x1 > w || y1 > h) return -1;
  let sum = 0;
  for (let r = y0; r < y1; r++) for (let c = x0; c < x1; c++) sum += at[r * stride + c];
  return sum / ((x1 - x0) * (y1 - y0));
}

const size = 1920; // samples of a window
const hop = 480;

async function listen(readable) {
  const waves = tones.map((f) => [Math.cos, Math.sin].map((of) => Float32Array.from({ length: size },
    (_, i) => (2 / size) * (1 - Math.cos((2 * Math.PI * (i + 0.5)) / size)) * of((2 * Math.PI * f * i) / 48_000))));
  const ring = new Float32Array(size);
  const line = []; // [samples, when they came], of the last two seconds
  let [n, filled, part] = [0, 0, new Float32Array(0)];
  for await (const data of readable) {
    const t = now();
    const length = data.numberOfFrames;
    if (part.length < length) part = new Float32Array(length);
    data.copyTo(part, { planeIndex: 0, format: "f32-planar" });
    const rate = data.sampleRate;
    data.close();
    if (rate !== 48_000) throw new Error(`sound at ${rate} Hz`);
    // Where the sound's clock is on the machine's: what came least late tells.
    line.push([t, t - (n + length) / 48]);
    while (line[0][0] < t - 2000) line.shift();
    const base = Math.min(...line.map(([, d]) => d));
    for (let i = 0; i < length; i++) {
      ring[n++ % size] = part[i];
      if (++filled < hop) continue;
      filled = 0;
      sounds.push([base + (n - size / 2) / 48, ...waves.map((w) => level(ring, n, w))]);
    }
  }
}

/** dB of full scale of one tone, a whole number. */
function level(ring, n, [cos, sin]) {
  let [re, im] = [0, 0];
  for (let i = 0, k = n % size; i < size; i++, k = k + 1 === size ? 0 : k + 1) {
    re += ring[k] * cos[i];
    im += ring[k] * sin[i];
  }
  return Math.max(-120, Math.round(10 * Math.log10(re * re + im * im + 1e-12)));
}
