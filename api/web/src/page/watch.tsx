import Hls from "hls.js/light";
import { useEffect, useRef, useState } from "preact/hooks";

// How long to wait before asking again for what is not there yet, or not any more.
const patience = 2000;

// Watch plays a room's programme for people who are not in the room. Browsers that
// play HLS by themselves and have no Media Source Extensions do so.
export function Watch({ room, output }: { room: string; output: string }) {
  const video = useRef<HTMLVideoElement>(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    const v = video.current!;
    const source = `/api/v1/rooms/${encodeURIComponent(room)}/outputs/${output}/hls/index.m3u8`;
    let hls: Hls | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    // Starts only once there is something: a playlist that is not there yet is no error.
    const start = async () => {
      const there = await fetch(source, { cache: "no-store" }).catch(() => undefined);
      if (!there?.ok) {
        setTrouble("Nothing is on yet.");
        timer = setTimeout(start, patience);
        return;
      }
      setTrouble("");
      if (!Hls.isSupported()) {
        v.src = source;
        return;
      }
      hls = new Hls({ liveSyncDurationCount: 2, enableWorker: false });
      hls.on(Hls.Events.ERROR, (_, data) => {
        if (!data.fatal) return;
        hls?.destroy();
        timer = setTimeout(start, patience);
      });
      hls.loadSource(source);
      hls.attachMedia(v);
    };
    void start();
    return () => {
      clearTimeout(timer);
      hls?.destroy();
    };
  }, [room, output]);
  return (
    <main class="watch">
      <video ref={video} controls autoplay muted playsinline data-testid="programme" />
      <p role="status" class={trouble ? "status" : "status empty"} data-testid="status">
        {trouble}
      </p>
    </main>
  );
}
