import { useEffect, useRef, useState } from "preact/hooks";
import { kept, meter } from "../client/index.ts";
import { Icon } from "./icons.tsx";
import { lastName, type Model } from "./model.ts";

/** The page before the room: name, devices, Join. */
export function Prejoin({ model }: { model: Model }) {
  const { media } = model.client;
  const before = kept(model.room);
  const [wish, setWish] = useState({ mic: before?.mic ?? true, camera: before?.camera ?? true });
  const name = useRef<HTMLInputElement>(null);
  const busy = model.busy.value;
  const left = model.phase.value === "left";

  const open = async (wanted: typeof wish) => {
    const missing = await media.open(wanted);
    if (missing.length) model.trouble.value = missing.map((m) => m.message).join(" ");
    setWish({ mic: media.mic !== null, camera: media.camera !== null });
  };
  // After leaving the devices stay closed; rejoining opens what was on before.
  useEffect(() => {
    if (!left) void open(wish);
  }, []);

  const toggle = (kind: "mic" | "camera") => {
    model.trouble.value = "";
    const wanted = { ...wish, [kind]: !wish[kind] };
    setWish(wanted);
    if (!wanted[kind]) media.close(kind);
    else if (!left) void open(wanted);
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
        <Preview track={media.camera} note={left && wish.camera ? "Your camera starts when you rejoin" : wish.camera ? "Starting the camera…" : "Camera off"} />
        <div class="preview-bar">
          <Toggle kind="mic" on={wish.mic} onClick={() => toggle("mic")} />
          <Level track={media.mic} />
          <Toggle kind="camera" on={wish.camera} onClick={() => toggle("camera")} />
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
function Preview({ track, note }: { track: MediaStreamTrack | null; note: string }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = track ? new MediaStream([track]) : null;
  }, [track]);
  return track ? <video ref={video} class="mirror" autoplay muted playsInline data-testid="preview" /> : <p>{note}</p>;
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
