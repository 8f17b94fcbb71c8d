import type { Layout, Member } from "../client/index.ts";
import { Calls } from "./calls.tsx";
import { Icon } from "./icons.tsx";
import type { Model } from "./model.ts";

/** Who is here; a host can mute and remove. */
export function People({ model, onClose }: { model: Model; onClose: () => void }) {
  const me = model.me.value;
  const host = model.client.place?.role === "host";
  return (
    <aside class="people" aria-label="People in the room" data-testid="people">
      <header>
        <h2>In the room</h2>
        <button type="button" class="plain" onClick={onClose} title="Close">
          <Icon name="close" />
          <span class="sr">Close the list</span>
        </button>
      </header>
      {host && <Rules model={model} />}
      <ul>
        {model.people.value.map((p) => (
          <li key={p.id} data-testid="person" data-id={p.id}>
            <span class="who">
              {p.name || p.id}
              {p.id === me?.id && " (you)"}
              <small>{describe(p)}</small>
            </span>
            {host && p.id !== me?.id && (
              <span class="acts">
                {p.hand && (
                  <button type="button" onClick={() => void model.host("lower", p.id)} data-testid="lower-hand">
                    Lower hand<span class="sr"> of {p.name}</span>
                  </button>
                )}
                {p.role !== "viewer" && (
                  <button type="button" onClick={() => void model.host(p.muted ? "unmute" : "mute", p.id)} data-testid="mute-person">
                    {p.muted ? "Unmute" : "Mute"}
                    <span class="sr"> {p.name}</span>
                  </button>
                )}
                <button type="button" class="danger" onClick={() => void model.host("remove", p.id)} data-testid="remove-person">
                  Remove<span class="sr"> {p.name}</span>
                </button>
              </span>
            )}
          </li>
        ))}
      </ul>
      {host && model.client.place?.calls && <Calls model={model} />}
    </aside>
  );
}

/** What a host decides about the room. */
function Rules({ model }: { model: Model }) {
  return (
    <div class="rules">
      <button type="button" aria-pressed={model.locked.value} onClick={model.toggleLock} data-testid="lock">
        {model.locked.value ? "Unlock the room" : "Lock the room"}
      </button>
      <label>
        Layout{" "}
        <select value={model.layout.value} onChange={(e) => void model.setLayout(e.currentTarget.value as Layout)} data-testid="layout">
          <option value="gallery">Gallery</option>
          <option value="speaker">Speaker large</option>
          <option value="screen">Screen large</option>
        </select>
      </label>
    </div>
  );
}

function describe(p: Member): string {
  const words: string[] = p.role === "participant" ? [] : [p.role];
  if (p.hand) words.unshift("hand raised");
  if (p.role !== "viewer") {
    words.push(p.muted ? "muted by the host" : p.audio ? "microphone on" : "microphone off");
    words.push(p.hidden ? "hidden by the host" : p.screen ? "shows a screen" : p.video ? "camera on" : "camera off");
  }
  return words.join(", ");
}
