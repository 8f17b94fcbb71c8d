import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "./server.js";
import { until } from "./until.js";

/** A baresip with a flat colour as its camera and a tone as its voice, which writes down what it hears. */
export class Baresip {
  log = "";
  port = 0;
  #control = 0;
  #dir = "";
  /** @type {import("node:child_process").ChildProcess | null} */
  #process = null;

  /** @param {Readonly<{color: readonly number[], tone: number}>} voice @param {string} account what is added to its address, such as ";answermode=auto" */
  static async start(voice, account = "") {
    const phone = new Baresip();
    const dir = (phone.#dir = await mkdtemp(join(tmpdir(), "mixdown-baresip-")));
    phone.port = await freePort(true);
    phone.#control = await freePort(false);
    const run = promisify(execFile);
    const hex = voice.color.map((c) => c.toString(16).padStart(2, "0")).join("");
    await run("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", `color=0x${hex}:s=640x360:r=25:d=20`, "-c:v", "libx264", "-pix_fmt", "yuv420p", join(dir, "camera.mp4")]);
    await run("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", `sine=${voice.tone}:r=48000:d=60`, "-ac", "1", join(dir, "tone.wav")]);
    await writeFile(join(dir, "contacts"), "");
    await writeFile(join(dir, "accounts"), `<sip:cleo@127.0.0.1:${phone.port};transport=udp>;regint=0;audio_codecs=opus/48000/2;video_codecs=VP8${account}\n`);
    await writeFile(join(dir, "config"), `poll_method epoll
sip_listen 127.0.0.1:${phone.port}
audio_player aubridge,out
audio_source aufile,${join(dir, "tone.wav")}
audio_alert aubridge,alert
ausrc_srate 48000
auplay_srate 48000
ausrc_channels 1
auplay_channels 1
video_source avformat,${join(dir, "camera.mp4")}
video_display fakevideo,nil
video_size 640x360
video_bitrate 500000
video_fps 25.00
module_path /usr/lib/baresip/modules
module opus.so
module fakevideo.so
module avformat.so
module vp8.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:${phone.#control}
snd_path ${dir}
`);
    const child = spawn("baresip", ["-f", dir], { stdio: ["pipe", "pipe", "pipe"] });
    phone.#process = child;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (phone.log += text));
    await until("baresip is up", () => phone.tell("").then(() => true, () => false), { show: () => phone.log });
    return phone;
  }

  /** Gives a command, such as "dial", by ctrl_tcp's netstrings of JSON. @param {string} command @param {string} params */
  async tell(command, params = "") {
    const text = JSON.stringify({ command, params, token: "t" });
    const socket = connect(this.#control, "127.0.0.1");
    await once(socket, "connect");
    if (command) {
      socket.write(`${text.length}:${text},`);
      await once(socket, "data"); // it says little
    }
    socket.destroy();
  }

  /** Ends it, so that its file is whole, and returns the level of each tone (Hz) in the loudest second it heard, dBFS. @param {number[]} tones */
  async stop(...tones) {
    const child = this.#process;
    this.#process = null;
    if (child && child.exitCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 5000);
      await ended;
      clearTimeout(late);
    }
    if (!this.#dir) return [];
    const name = (await readdir(this.#dir)).filter((f) => /^dump-.*-dec\.wav$/.test(f)).sort().pop();
    const wav = name ? await readFile(join(this.#dir, name)) : Buffer.alloc(44);
    await rm(this.#dir, { recursive: true, force: true });
    this.#dir = "";
    return tones.map((hz) => loudest(wav, hz));
  }
}

/** @param {Buffer} wav 16 bit @param {number} hz */
function loudest(wav, hz) {
  const [channels, rate] = [wav.readUInt16LE(22), wav.readUInt32LE(24)];
  const count = Math.floor((wav.length - 44) / (2 * channels || 1));
  let best = -120;
  for (let at = 0; rate && at + rate <= count; at += rate >> 1) {
    let [re, im] = [0, 0];
    for (let i = 0; i < rate; i++) {
      const x = wav.readInt16LE(44 + 2 * channels * (at + i)) / 32768;
      re += x * Math.cos((2 * Math.PI * hz * i) / rate);
      im += x * Math.sin((2 * Math.PI * hz * i) / rate);
    }
    best = Math.max(best, 20 * Math.log10((2 * Math.hypot(re, im)) / rate + 1e-6));
  }
  return best;
}
