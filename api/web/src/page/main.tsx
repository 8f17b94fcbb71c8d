import { render } from "preact";
import { useEffect } from "preact/hooks";
import { Landing } from "./landing.tsx";
import { Model } from "./model.ts";
import { Prejoin } from "./prejoin.tsx";
import { Room } from "./room.tsx";

const room = /^\/r\/([^/]+)\/?$/.exec(location.pathname)?.[1];

const watch = /^\/r\/([^/]+)\/watch\/([0-9a-f]+)\/?$/.exec(location.pathname);

function App({ model }: { model: Model }) {
  const phase = model.phase.value;
  const inside = phase === "connected" || phase === "interrupted" || phase === "reconnecting" || phase === "joining";
  const trouble = model.trouble.value;
  // What can wait does not stand before the picture for ever.
  useEffect(() => {
    if (!trouble || phase !== "connected") return;
    const timer = setTimeout(() => (model.trouble.value = ""), 12_000);
    return () => clearTimeout(timer);
  }, [trouble, phase]);
  return (
    <>
      {inside ? <Room model={model} /> : <Prejoin key={phase} model={model} />}
      <p role="status" class={trouble ? "status" : "status empty"} data-testid="status">
        {trouble}
      </p>
    </>
  );
}

const app = document.getElementById("app")!;
app.replaceChildren(); // what stood there while this was on its way
if (room) {
  const model = new Model(decodeURIComponent(room));
  document.title = `${model.room} · mixdown`;
  model.comeBack();
  addEventListener("pagehide", () => model.client.suspend());
  // A page that comes back from the cache has hung up: it starts anew.
  addEventListener("pageshow", (e) => e.persisted && location.reload());
  render(<App model={model} />, app);
} else if (watch) {
  const name = decodeURIComponent(watch[1]!);
  document.title = `${name} · mixdown`;
  // A chunk of its own: who is in a room needs no player.
  void import("./watch.tsx").then(({ Watch }) => render(<Watch room={name} output={watch[2]!} />, app));
} else {
  render(<Landing />, app);
}
