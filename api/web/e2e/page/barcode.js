// A clock that can be read from a picture: 18 blocks in 6 columns and 3 rows
// in the middle of the tile, so that neither cropping nor a third of the size
// hurts it. 16 bits of milliseconds, their parity, and its opposite: all black
// or all white is no time.

export const width = 640;
export const height = 360;
const columns = 6;
const rows = 3;
const block = 36; // pixels of the source

const left = (width - columns * block) / 2;
const top = (height - rows * block) / 2;

/** @param {number} n */
const parity = (n) => {
  let p = 0;
  for (let v = n; v; v >>>= 1) p ^= v & 1;
  return p;
};

/** @param {CanvasRenderingContext2D} to @param {number} ms */
export function draw(to, ms) {
  const value = ms & 0xffff;
  const p = parity(value);
  const bits = (value << 2) | (p << 1) | (p ^ 1);
  for (let i = 0; i < columns * rows; i++) {
    to.fillStyle = (bits >> i) & 1 ? "#fff" : "#000";
    to.fillRect(left + (i % columns) * block, top + Math.floor(i / columns) * block, block, block);
  }
}

/** Where the blocks are in a source of width x height. */
export const area = { x: left, y: top, w: columns * block, h: rows * block };

/**
 * Reads the clock from the pixels of the area, w x h; null if it is none. They are RGBA, or as layout says: where the first
 * one's brightness is, and how far on those of the next one and of the next row are.
 * @param {Uint8Array | Uint8ClampedArray} pixels @param {number} w @param {number} h
 * @param {{start: number, step: number, stride: number}} layout
 */
export function read(pixels, w, h, { start, step, stride } = { start: 1, step: 4, stride: 4 * w }) {
  let bits = 0;
  const [bw, bh] = [w / columns, h / rows];
  for (let i = 0; i < columns * rows; i++) {
    const [cx, cy] = [(i % columns) * bw, Math.floor(i / columns) * bh];
    let sum = 0;
    let n = 0;
    for (let y = Math.ceil(cy + bh * 0.3); y < cy + bh * 0.7; y++) {
      for (let x = Math.ceil(cx + bw * 0.3); x < cx + bw * 0.7; x++, n++) sum += pixels[start + y * stride + x * step];
    }
    const level = sum / n;
    if (!(level < 90 || level > 165)) return null; // grey is neither
    if (level > 128) bits |= 1 << i;
  }
  const p = (bits >> 1) & 1;
  const value = (bits >> 2) & 0xffff;
  return (bits & 1) === (p ^ 1) && parity(value) === p ? value : null;
}

/** How long ago a clock was read that shows value, now being ms. @param {number} value @param {number} ms */
export const age = (value, ms) => (ms - value) & 0xffff;
