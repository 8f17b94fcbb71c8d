/**
 * Levels of tones through Hann windows of 20 ms, one each 5 ms. A tone that begins in the middle of a window has half its
 * amplitude in it, so that its beginning can be told more finely than 5 ms. Neighbours of 100 Hz are apart.
 */
const hops = 4; // in a window

export class Onset {
  #filled = 0;
  #next = 0;

  /** @param {number} rate samples a second @param {number[]} tones Hz */
  constructor(rate, tones) {
    this.rate = rate;
    this.hop = Math.round(rate / 200);
    this.size = hops * this.hop;
    this.ring = new Float32Array(this.size);
    this.waves = tones.map((f) => {
      const step = (2 * Math.PI * f) / rate;
      const hann = (/** @type {number} */ i) => (2 / this.size) * (1 - Math.cos((2 * Math.PI * (i + 0.5)) / this.size));
      const wave = (/** @type {(x: number) => number} */ of) => Float32Array.from({ length: this.size }, (_, i) => hann(i) * of(step * i));
      return [wave(Math.cos), wave(Math.sin)];
    });
  }

  /**
   * Takes the next samples. Returns the windows that end in them: at is when the middle of one was, ms after the first of
   * these samples (negative if before); levels are the tones' amplitudes, 1 for a sine of full scale.
   * @param {Float32Array} samples @returns {{at: number, levels: number[]}[]}
   */
  hear(samples) {
    const out = [];
    for (const [i, s] of samples.entries()) {
      this.ring[this.#next] = s;
      this.#next = (this.#next + 1) % this.size;
      if (++this.#filled < this.hop) continue;
      this.#filled = 0;
      out.push({ at: ((i + 1 - this.size / 2) / this.rate) * 1000, levels: this.waves.map((w) => this.#level(w)) });
    }
    return out;
  }

  /** @param {Float32Array[]} wave */
  #level([cos, sin]) {
    let [re, im] = [0, 0];
    for (let i = 0, k = this.#next; i < this.size; i++, k = k + 1 === this.size ? 0 : k + 1) {
      re += this.ring[k] * cos[i];
      im += this.ring[k] * sin[i];
    }
    return Math.hypot(re, im);
  }
}
