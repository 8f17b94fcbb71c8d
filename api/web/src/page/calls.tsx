import { useState } from "preact/hooks";
import type { Call } from "../client/index.ts";
import type { Model } from "./model.ts";

/** The room's telephone calls, and a way to place one; for hosts. */
export function Calls({ model }: { model: Model }) {
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  const dial = async (e: SubmitEvent) => {
    e.preventDefault();
    const form = e.currentTarget as HTMLFormElement;
    const word = (name: string) => String(new FormData(form).get(name) ?? "").trim();
    setBusy(true);
    const wrong = await model.dial(word("to"), word("name"));
    setBusy(false);
    setTrouble(wrong);
    if (!wrong) form.reset();
  };
  return (
    <section class="calls" aria-label="Telephone calls">
      <h2>Call a telephone</h2>
      <form onSubmit={(e) => void dial(e as unknown as SubmitEvent)}>
        <label for="call-to">Address or number</label>
        <input id="call-to" name="to" required maxLength={256} autocomplete="off" spellcheck={false} placeholder="sip:room@example.org" aria-describedby="call-trouble" data-testid="call-to" />
        <label for="call-name">Name on the tile</label>
        <input id="call-name" name="name" maxLength={128} autocomplete="off" data-testid="call-name" />
        <button type="submit" class="primary" disabled={busy} data-testid="call">Call</button>
        <p id="call-trouble" role="alert" data-testid="call-trouble">{trouble}</p>
      </form>
      <ul role="log" aria-label="Calls">
        {model.calls.value.map((c) => (
          <li key={c.id} data-testid="phone-call" data-state={c.state}>
            <span class="who">
              {c.name || c.peer}
              <small>{progress(c)}</small>
            </span>
            {c.state !== "ended" && (
              <span class="acts">
                <button type="button" class="danger" onClick={() => void model.hangup(c.id)} data-testid="hang-up">
                  Hang up<span class="sr"> {c.name || c.peer}</span>
                </button>
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function progress(c: Call): string {
  switch (c.state) {
    case "dialing":
      return "Calling…";
    case "ringing":
      return c.outgoing ? "Ringing…" : "Is calling";
    case "asking":
      return "Enters the PIN";
    case "connected":
      return "In the room";
    case "held":
      return "On hold";
    case "ended":
      return !c.code || c.code < 300 ? `Ended: ${c.reason ?? "hung up"}` : `Failed: ${c.reason ?? ""} (${c.code})`;
  }
}
