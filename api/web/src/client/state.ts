import type { Member, State } from "./types.ts";

/** A State and who in it we are. */
export interface View {
  state: State;
  you: string;
}

/** The messages of the control channel that we know. */
export type Message = { type: "state"; state: State; you: string } | { type: "error"; message: string };

/** Reads one message of the control channel; null if it is none that we know. */
export function parse(data: unknown): Message | null {
  if (typeof data !== "string") return null;
  let m: Partial<{ type: string; state: State; you: string; error: { message: string } }>;
  try {
    m = JSON.parse(data);
  } catch {
    return null;
  }
  if (m?.type === "state" && Array.isArray(m.state?.participants)) {
    return { type: "state", state: m.state, you: m.you ?? "" };
  }
  if (m?.type === "error") return { type: "error", message: m.error?.message ?? "" };
  return null;
}

/** The newer of two views. A State that was overtaken on its way is dropped. */
export function reduce(now: View | null, m: Message): View | null {
  if (m.type !== "state") return now;
  const older = now && now.state.room === m.state.room && m.state.version < now.state.version;
  return older ? now : { state: m.state, you: m.you || now?.you || "" };
}

/** Our own entry. */
export function self(view: View | null): Member | undefined {
  return view?.state.participants.find((p) => p.id === view.you);
}
