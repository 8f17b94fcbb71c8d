import { useEffect, useRef, useState } from "preact/hooks";
import { meter } from "../client/index.ts";
import { Icon } from "./icons.tsx";
import { lastName, type Model } from "./model.ts";

/** The page before the room: name, devices, Join. */
export function Prejoin({ model }: { model: Model }) {
  const { media } = model.client;
  const [wish, setWish] = useState({ mic: true, camera: true });
  const [, redraw] = useState({});
  const name = useRef<HTMLInputElement>(null);
  const busy = model.busy.value;
  const left = model.phase.value === "left";

  // After leaving the devices stay closed until they are wanted again.
  const open = async (wanted: typeof wish) => {
    const missing = await media.open(wanted);
    if (missing.length) model.trouble.value = missing.map((m) => m.message).join(" ");
    setWish({ mic: media.mic !== null, camera: media.camera !== null });
    redraw({});
  };
  useEffect(() => {
    if (left) setWish({ mic: false, camera: false });
    else void open(wish);
  }, []);

  const toggle = (kind: "mic" | "camera") => {
    model.trouble.value = "";
    if (media[kind]) {
      media.close(kind);
      setWish({ ...wish, [kind]: false });
    } else {
      void open({ mic: kind === "mic" || media.mic !== null, camera: kind === "camera" || media.camera !== null });
    }
  };
  const join = (e: SubmitEvent) => {
    e.preventDefault();
    void model.join(name.current?.value.trim() || "Guest", wish);
  };

  return (
    <main class="card" data-testid="prejoin">
      <h1>{left ? "You left." : model.room}</h1>
      {left && <p>The room is “{model.room}”.</p>}
      <div class="preview">
        <Preview track={media.camera} />
        <div class="preview-bar">
          <Toggle kind="mic" on={media.mic !== null} onClick={() => toggle("mic")} />
          <Level track={media.mic} />
          <Toggle kind="camera" on={media.camera !== null} onClick={() => toggle("camera")} />
        </div>
      </div>
      <form onSubmit={join}>
        <label for="name">Your name</label>
        <input id="name" ref={name} defaultValue={lastName()} maxLength={64} autocomplete="name" required data-testid="name" />
        <button class="primary" type="submit" disabled={busy} data-testid="join">
          {busy ? "Joining…" : left ? "Rejoin" : "Join"}
        </button>
      </form>
      {!isSecureContext && (
        <p class="warning">
          This address is plain http: browsers give it no camera and no microphone. Open <a href={location.href.replace(/^http:/, "https:")}>the https:// address</a>{" "}
          that the server printed at its start. Without it you can watch and listen.
        </p>
      )}
    </main>
  );
}

function Toggle({ kind, on, onClick }: { kind: "mic" | "camera"; on: boolean; onClick: () => void }) {
  const label = `${kind === "mic" ? "Microphone" : "Camera"} ${on ? "on" : "off"}`;
  return (
    <button type="button" class={on ? "round" : "round off"} aria-pressed={on} title={label} onClick={onClick} data-testid={`preview-${kind}`}>
      <Icon name={kind} off={!on} />
      <span class="sr">{label}</span>
    </button>
  );
}

/** One's own camera, mirrored as in a mirror. */
function Preview({ track }: { track: MediaStreamTrack | null }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = track ? new MediaStream([track]) : null;
  }, [track]);
  return track ? <video ref={video} class="mirror" autoplay muted playsInline data-testid="preview" /> : <p class="dark">Camera off</p>;
}

function Level({ track }: { track: MediaStreamTrack | null }) {
  const bar = useRef<HTMLMeterElement>(null);
  useEffect(() => {
    if (bar.current) bar.current.value = 0;
    if (!track) return;
    return meter(track, (level) => {
      if (bar.current) bar.current.value = level;
    });
  }, [track]);
  return <meter ref={bar} class="level" min={0} max={1} aria-label="Level of your microphone" data-testid="level" />;
}
