import { render } from "preact";
import { useEffect } from "preact/hooks";
import { Landing } from "./landing.tsx";
import { Model } from "./model.ts";
import { Prejoin } from "./prejoin.tsx";
import { Room } from "./room.tsx";

const room = /^\/r\/([^/]+)\/?$/.exec(location.pathname)?.[1];

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
if (room) {
  const model = new Model(decodeURIComponent(room));
  document.title = `${model.room} · mixdown`;
  model.comeBack();
  addEventListener("pagehide", () => model.client.suspend());
  // A page that comes back from the cache has hung up: it starts anew.
  addEventListener("pageshow", (e) => e.persisted && location.reload());
  render(<App model={model} />, app);
} else {
  render(<Landing />, app);
}
