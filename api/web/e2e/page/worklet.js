// Measures tones: each 20 ms, by a Hann window and Goertzel's recurrence. Tones
// are multiples of 50 Hz, so that their phase stands still from window to window.
class Tones extends AudioWorkletProcessor {
  constructor(options) {
    super();
    this.frequencies = options.processorOptions.frequencies;
    this.size = Math.round(sampleRate / 50);
    this.window = Float64Array.from({ length: this.size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / this.size));
    this.samples = new Float64Array(this.size);
    this.filled = 0;
  }

  process([input]) {
    const channels = input?.length ?? 0;
    const length = channels ? input[0].length : 128;
    for (let i = 0; i < length; i++) {
      let s = 0;
      for (let c = 0; c < channels; c++) s += input[c][i] / channels;
      this.samples[this.filled++] = s;
      if (this.filled === this.size) {
        this.port.postMessage(this.frequencies.map((f) => this.amplitude(f)));
        this.filled = 0;
      }
    }
    return true;
  }

  // Complex amplitude of a tone, of size 1 for a sine of full scale.
  amplitude(frequency) {
    const phase = (2 * Math.PI * frequency) / sampleRate;
    const w = 2 * Math.cos(phase);
    let [a, b] = [0, 0];
    for (let i = 0; i < this.size; i++) [a, b] = [this.samples[i] * this.window[i] + w * a - b, a];
    const scale = 4 / this.size; // a Hann window halves the amplitude
    return [(a - b * Math.cos(phase)) * scale, b * Math.sin(phase) * scale];
  }
}

registerProcessor("tones", Tones);
