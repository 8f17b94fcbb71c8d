import { useEffect, useRef, useState } from "preact/hooks";
import { soundOnly, type Quality } from "../client/index.ts";
import { Icon } from "./icons.tsx";
import type { Model } from "./model.ts";
import { People } from "./people.tsx";

/** The room: the one picture, and a bar under it. */
export function Room({ model }: { model: Model }) {
  const [people, setPeople] = useState(false);
  useKeys(model, () => setPeople(false));
  useShown(model);
  useWakeLock();
  const me = model.me.value;
  const { mic, camera, screen } = model.sending.value;
  const viewer = model.client.place?.role === "viewer";
  return (
    <main class="room" data-testid="room-view" data-phase={model.phase.value}>
      <div class="stage">
        <Mix model={model} />
        <Marks model={model} />
        {people && <People model={model} onClose={() => setPeople(false)} />}
      </div>
      <div class="bar" role="toolbar" aria-label="Your controls">
        <div class="buttons">
          {!viewer && (
            <>
              <Button kind="mic" on={mic && !me?.muted} forced={me?.muted ? "Muted by the host" : ""} onClick={model.toggleMic} />
              <Button kind="camera" on={camera && !me?.hidden} forced={me?.hidden ? "Hidden by the host" : ""} onClick={model.toggleCamera} />
              {"getDisplayMedia" in (navigator.mediaDevices ?? {}) && (
                <button
                  type="button"
                  class={screen ? "round raised" : "round"}
                  aria-pressed={screen}
                  title={screen ? "Stop showing your screen" : "Show your screen"}
                  onClick={model.toggleScreen}
                  data-testid="screen"
                >
                  <Icon name="screen" />
                  <span class="sr">Your screen is {screen ? "shown" : "not shown"}</span>
                </button>
              )}
            </>
          )}
          <button
            type="button"
            class={me?.hand ? "round raised" : "round"}
            aria-pressed={!!me?.hand}
            title={me?.hand ? "Lower your hand (H)" : "Raise your hand (H)"}
            onClick={model.toggleHand}
            data-testid="hand"
          >
            <Icon name="hand" />
            <span class="sr">Your hand is {me?.hand ? "raised" : "not raised"}</span>
          </button>
          <button type="button" class="round" aria-expanded={people} title="People" onClick={() => setPeople(!people)} data-testid="people-button">
            <Icon name="people" />
            <span class="count" data-testid="count">{model.people.value.length}</span>
            <span class="sr">people in the room</span>
          </button>
          {me?.role === "host" && (
            <button
              type="button"
              class={model.recording.value ? "round recording" : "round"}
              aria-pressed={model.recording.value}
              title={model.recording.value ? "Stop recording" : "Record"}
              onClick={model.toggleRecording}
              data-testid="record"
            >
              <Icon name="record" />
              <span class="sr">{model.recording.value ? "Stop recording" : "Record this room"}</span>
            </button>
          )}
          <Quality model={model} />
          <button type="button" class="round leave" title="Leave" onClick={() => model.client.leave()} data-testid="leave">
            <Icon name="leave" />
            <span class="sr">Leave</span>
          </button>
        </div>
        {model.paused.value && (
          <p class="line" role="status" data-testid="paused">
            Your connection is too slow to send your picture now. The others hear you and see your name.
          </p>
        )}
        <p class="line" data-testid="quality-line">{line(model.quality.value)}</p>
      </div>
    </main>
  );
}

/** Says to everybody what holds in the room: that it is kept, or leaves it, who may come, who wants to speak. */
function Marks({ model }: { model: Model }) {
  return (
    <p class="marks" role="status">
      {model.recording.value && <span data-testid="recording">Recording</span>}
      {model.streaming.value && <span data-testid="streaming">Live</span>}
      {model.locked.value && <span class="calm" data-testid="locked">Locked</span>}
      {model.hands.value.length > 0 && (
        <span class="calm" data-testid="hands">
          <span class="sr">Raised hands: </span>✋ {model.hands.value.map((p) => p.name || p.id).join(", ")}
        </span>
      )}
    </p>
  );
}

function Button({ kind, on, forced, onClick }: { kind: "mic" | "camera"; on: boolean; forced: string; onClick: () => void }) {
  const noun = kind === "mic" ? "Microphone" : "Camera";
  const label = forced || `${noun} ${on ? "on" : "off"}`;
  return (
    <button type="button" class={on ? "round" : "round off"} aria-pressed={on} title={`${label} (${kind === "mic" ? "M" : "V"})`} onClick={onClick} data-testid={kind}>
      <Icon name={kind} off={!on} />
      <span class="sr">{label}</span>
    </button>
  );
}

/** The picture and the sound. If the browser refuses to play sound unasked, it plays silently until a tap. */
function Mix({ model }: { model: Model }) {
  const video = useRef<HTMLVideoElement>(null);
  const [silent, setSilent] = useState(false);
  const mix = model.mix.value;
  useEffect(() => {
    const v = video.current;
    if (!v || !mix) return;
    v.srcObject = mix;
    const play = () =>
      v.play().catch((err: unknown) => {
        if ((err as DOMException).name !== "NotAllowedError" || v.muted) return;
        v.muted = true;
        setSilent(true);
        void v.play().catch(() => {});
      });
    void play();
    mix.addEventListener("addtrack", play);
    return () => mix.removeEventListener("addtrack", play);
  }, [mix]);
  const hear = () => {
    const v = video.current;
    if (!v) return;
    v.muted = false;
    void v.play().then(() => setSilent(false));
  };
  return (
    <>
      <video ref={video} class="mix" autoplay playsInline data-testid="mix" aria-label="Everybody in the room" />
      {model.tier.value === soundOnly && <p class="curtain" role="status" data-testid="sound-only">Sound only. Choose another quality to see the room again.</p>}
      {silent && (
        <button type="button" class="hear" onClick={hear} data-testid="hear">
          Tap to hear the room
        </button>
      )}
    </>
  );
}

function Quality({ model }: { model: Model }) {
  const tiers = model.tiers.value;
  if (tiers.length < 2) return null;
  return (
    <label class="quality">
      <span class="sr">Quality of the picture</span>
      <select value={model.tier.value} onChange={(e) => model.setTier(e.currentTarget.value)} data-testid="tier">
        <option value="">Auto</option>
        {tiers.map((tier, i) => (
          <option key={tier} value={tier}>
            {i === 0 ? "HD" : tier === model.client.place?.low_data ? "Low data" : tier}
          </option>
        ))}
        <option value={soundOnly}>Sound only</option>
      </select>
    </label>
  );
}

/** The quality in one line, as "↓ 612 ↑ 240 kb/s · 25 fps · 0.0 % lost · 31 ms". */
export function line(q: Quality | null): string {
  if (!q) return "\u00a0";
  const loss = (q.loss * 100).toFixed(1);
  return `↓ ${q.kbpsIn.toFixed(0)} ↑ ${q.kbpsOut.toFixed(0)} kb/s · ${q.width}×${q.height} · ${q.fps.toFixed(0)} fps · ${loss} % lost · ${q.rtt.toFixed(0)} ms`;
}

function useKeys(model: Model, onEscape: () => void): void {
  useEffect(() => {
    const down = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.repeat || (e.target as Element).closest("input, select, textarea")) return;
      if (e.key === "m" || e.key === "M") void model.toggleMic();
      else if (e.key === "v" || e.key === "V") void model.toggleCamera();
      else if (e.key === "h" || e.key === "H") void model.toggleHand();
      else if (e.key === "Escape") onEscape();
    };
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, []);
}

const glance = 5000; // ms

/** Spares the way down, and a phone's battery, pictures that nobody sees. A glance elsewhere is too short for that. */
function useShown(model: Model): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      clearTimeout(timer);
      const shown = document.visibilityState === "visible" || !!document.pictureInPictureElement;
      timer = setTimeout(() => model.client.setShown(shown), shown ? 0 : glance);
    };
    document.addEventListener("visibilitychange", look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
      model.client.setShown(true);
    };
  }, []);
}

/** Keeps a phone's screen on while the room is shown. */
function useWakeLock(): void {
  useEffect(() => {
    let lock: WakeLockSentinel | null = null;
    let gone = false;
    const take = async () => {
      if (document.visibilityState !== "visible" || !("wakeLock" in navigator)) return;
      lock = await navigator.wakeLock.request("screen").catch(() => null);
      if (gone) void lock?.release();
    };
    void take();
    document.addEventListener("visibilitychange", take);
    return () => {
      gone = true;
      document.removeEventListener("visibilitychange", take);
      void lock?.release();
    };
  }, []);
}
