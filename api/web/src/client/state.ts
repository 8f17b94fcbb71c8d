import type { Member, State } from "./types.ts";

/** A State and who in it we are. */
export interface View {
  state: State;
  you: string;
}

/** The messages of the control channel that we know. */
export type Message =
  | { type: "state"; state: State; you: string }
  | { type: "changes"; changes: Changes }
  | { type: "error"; message: string };

type Patch = Record<string, unknown>;

/** Merge patches of a State and of those of its participants that changed; who is there if that did. */
export interface Changes {
  state?: Patch;
  participants?: Record<string, Patch>;
  order?: string[];
}

/** Reads one message of the control channel; null if it is none that we know. */
export function parse(data: unknown): Message | null {
  if (typeof data !== "string") return null;
  let m: Partial<{ type: string; state: State; changes: Changes; you: string; error: { message: string } }>;
  try {
    m = JSON.parse(data);
  } catch {
    return null;
  }
  if (m?.type === "state" && Array.isArray(m.state?.participants)) {
    return { type: "state", state: m.state, you: m.you ?? "" };
  }
  if (m?.type === "changes" && m.changes) return { type: "changes", changes: m.changes };
  if (m?.type === "error") return { type: "error", message: m.error?.message ?? "" };
  return null;
}

/** The newer of two views. A State that was overtaken on its way is dropped. */
export function reduce(now: View | null, m: Message): View | null {
  if (m.type === "changes") return now && { ...now, state: change(now.state, m.changes) };
  if (m.type !== "state") return now;
  const older = now && now.state.room === m.state.room && m.state.version < now.state.version;
  return older ? now : { state: m.state, you: m.you || now?.you || "" };
}

function change(state: State, { state: own = {}, participants = {}, order }: Changes): State {
  const members = new Map(state.participants.map((p) => [p.id, p]));
  const ids = order ?? state.participants.map((p) => p.id);
  return {
    ...merge(state, own),
    participants: ids.map((id) => merge(members.get(id) ?? ({} as Member), participants[id] ?? {})),
  };
}

/** RFC 7396, for fields that are replaced whole. */
function merge<T extends object>(to: T, patch: Patch): T {
  const out: Record<string, unknown> = { ...to, ...patch };
  for (const key of Object.keys(patch)) if (patch[key] === null) delete out[key];
  return out as T;
}

/** Our own entry. */
export function self(view: View | null): Member | undefined {
  return view?.state.participants.find((p) => p.id === view.you);
}
