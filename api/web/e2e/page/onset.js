// @ts-nocheck: there are no types of an AudioWorklet's scope.
// Levels of tones through Hann windows of 20 ms, one each 5 ms. A tone that
// begins in the middle of a window has half its amplitude in it, so that its
// beginning can be told more finely than 5 ms. Neighbours of 100 Hz are apart.
const hops = 4; // in a window
const batch = 10; // hops in a message

class Onset extends AudioWorkletProcessor {
  constructor(options) {
    super();
    this.hop = Math.round(sampleRate / 200);
    this.size = hops * this.hop;
    this.samples = new Float32Array(this.size); // a ring
    this.next = 0;
    this.filled = 0;
    this.levels = [];
    this.ended = false;
    this.port.onmessage = () => (this.ended = true);
    this.tones = options.processorOptions.tones.map((f) => {
      const step = (2 * Math.PI * f) / sampleRate;
      const hann = (i) => (2 / this.size) * (1 - Math.cos((2 * Math.PI * (i + 0.5)) / this.size));
      const wave = (of) => Float32Array.from({ length: this.size }, (_, i) => hann(i) * of(step * i));
      return [wave(Math.cos), wave(Math.sin)];
    });
  }

  process([input]) {
    if (this.ended) return false;
    const channels = input?.length ?? 0;
    const length = channels ? input[0].length : 128;
    for (let i = 0; i < length; i++) {
      let s = 0;
      for (let c = 0; c < channels; c++) s += input[c][i] / channels;
      this.samples[this.next] = s;
      this.next = (this.next + 1) % this.size;
      if (++this.filled < this.hop) continue;
      this.filled = 0;
      this.levels.push(this.tones.map((t) => this.level(t)));
      if (this.levels.length < batch) continue;
      // When the middle of the last window was, on the context's clock.
      const at = currentTime + (i + 1 - this.size / 2) / sampleRate;
      this.port.postMessage({ at, step: this.hop / sampleRate, levels: this.levels });
      this.levels = [];
    }
    return true;
  }

  // Amplitude, 1 for a sine of full scale.
  level([cos, sin]) {
    let [re, im] = [0, 0];
    for (let i = 0, k = this.next; i < this.size; i++, k = k + 1 === this.size ? 0 : k + 1) {
      re += this.samples[k] * cos[i];
      im += this.samples[k] * sin[i];
    }
    return Math.hypot(re, im);
  }
}

registerProcessor("onset", Onset);
