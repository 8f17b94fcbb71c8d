// nat-join.mjs URL ROOM TOKEN SECONDS: a Chromium that publishes a drawing and a
// tone to URL/whip/ROOM?return=mix, and exits with 0 once it has decoded five
// pictures of what comes back, with 3 if it was let in and has not within SECONDS.
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../api/web/package.json", import.meta.url))("playwright-core");
const [url, room, token, seconds] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
let result;
try {
  const page = await browser.newPage();
  await page.goto(`${url}/healthz`); // any document of that origin
  result = await page.evaluate(join, { room, token, deadline: Number(seconds) * 1000 });
} finally {
  await browser.close();
}
console.log(`nat-join: ${JSON.stringify(result)}`);
process.exit(result.decoded >= 5 ? 0 : result.status === 201 ? 3 : 1);

// join runs in the page. Canvas and oscillator need no permission and no secure
// context, as a camera would.
async function join({ room, token, deadline }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  const pen = canvas.getContext("2d");
  setInterval(() => {
    pen.fillStyle = `hsl(${performance.now() / 20} 80% 50%)`;
    pen.fillRect(0, 0, canvas.width, canvas.height);
  }, 40);
  const sound = new AudioContext();
  const out = sound.createMediaStreamDestination();
  const tone = sound.createOscillator();
  tone.connect(out);
  tone.start();

  const pc = new RTCPeerConnection();
  pc.addTransceiver(canvas.captureStream(25).getVideoTracks()[0], { direction: "sendrecv" });
  pc.addTransceiver(out.stream.getAudioTracks()[0], { direction: "sendrecv" });
  const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
  document.documentElement.append(video);
  pc.ontrack = (e) => {
    if (e.track.kind === "video") video.srcObject = new MediaStream([e.track]);
  };
  await pc.setLocalDescription();
  await new Promise((done) => {
    if (pc.iceGatheringState === "complete") return done();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
  });
  const answer = await fetch(`/whip/${room}?return=mix`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/sdp" },
    body: pc.localDescription.sdp,
  });
  const body = await answer.text();
  if (answer.status !== 201) return { status: answer.status, body, decoded: 0 };
  await pc.setRemoteDescription({ type: "answer", sdp: body });

  const end = performance.now() + deadline;
  let decoded = 0;
  while (decoded < 5 && performance.now() < end) {
    await new Promise((done) => setTimeout(done, 100));
    for (const s of (await pc.getStats()).values()) {
      if (s.type === "inbound-rtp" && s.kind === "video") decoded = s.framesDecoded ?? 0;
    }
  }
  const candidates = body.split("\r\n").filter((line) => line.startsWith("a=candidate:"));
  return { status: answer.status, state: pc.connectionState, decoded, candidates };
}
