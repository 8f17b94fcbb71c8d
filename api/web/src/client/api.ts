import { refusal } from "./errors.ts";
import type { Layout, Place, Role } from "./types.ts";

/** The REST calls that a member of a room makes. base is the server's origin. */
export class Api {
  constructor(private readonly base: string) {}

  /** Where join asks. */
  joinURL(room: string): string {
    return `${this.room(room)}/join`;
  }

  /** Asks for a place in a room. An old token keeps the identity it was made for. */
  async join(room: string, key: string, name: string, token?: string): Promise<Place> {
    const res = await fetch(this.joinURL(room), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(token ? { key, name, token } : { key, name }),
    });
    if (!res.ok) throw await refusal(res);
    const p = (await res.json()) as Partial<Place>;
    return {
      token: p.token ?? "",
      identity: p.identity ?? "",
      name: p.name || name,
      role: p.role ?? ("participant" satisfies Role),
      room: p.room || room,
      expires: p.expires ?? "",
      ice_servers: p.ice_servers ?? [],
      tiers: p.tiers ?? [],
      low_data: p.low_data ?? "",
      calls: p.calls ?? false,
    };
  }

  /** Mutes or unmutes another participant's sound; a host's right. */
  async mute(place: Place, id: string, muted: boolean): Promise<void> {
    await this.call(place, "PATCH", this.participant(place.room, id), { audio_muted: muted });
  }

  /** Raises one's own hand, or lowers one; others' are for hosts. */
  async hand(place: Place, id: string, raised: boolean): Promise<void> {
    await this.call(place, "PUT", `${this.participant(place.room, id)}/hand`, { raised });
  }

  /** Keeps newcomers out of the room, or lets them in again; a host's right. */
  async lock(place: Place, locked: boolean): Promise<void> {
    await this.call(place, "PUT", `${this.room(place.room)}/lock`, { locked });
  }

  /** Arranges everybody's picture; a host's right. */
  async layout(place: Place, layout: Layout): Promise<void> {
    await this.call(place, "PUT", `${this.room(place.room)}/layout`, { layout });
  }

  /** Takes a participant out of the room; a host's right. */
  async remove(place: Place, id: string): Promise<void> {
    await this.call(place, "DELETE", this.participant(place.room, id));
  }

  /** Starts recording the room as the server is configured; a host's right. */
  async record(place: Place): Promise<void> {
    await this.call(place, "POST", `${this.room(place.room)}/recordings`, {});
  }

  /** Stops all recordings of the room that run or are paused; a host's right. */
  async stopRecording(place: Place): Promise<void> {
    const all = `${this.room(place.room)}/recordings`;
    const res = await fetch(all, { headers: { authorization: `Bearer ${place.token}` } });
    if (!res.ok) throw await refusal(res);
    for (const { id, state } of (await res.json()) as { id: string; state: string }[]) {
      if (state === "recording" || state === "paused") await this.call(place, "POST", `${all}/${encodeURIComponent(id)}/stop`);
    }
  }

  /** Calls a telephone, whose tile shall have a name; a host's right. How it goes on is in the State. */
  async dial(place: Place, to: string, name: string): Promise<void> {
    await this.call(place, "POST", `${this.room(place.room)}/calls`, name ? { to, name } : { to });
  }

  /** Hangs up a call of the room; a host's right. */
  async hangup(place: Place, id: string): Promise<void> {
    await this.call(place, "DELETE", `${this.room(place.room)}/calls/${encodeURIComponent(id)}`);
  }

  private room(room: string): string {
    return `${this.base}/api/v1/rooms/${encodeURIComponent(room)}`;
  }

  private participant(room: string, id: string): string {
    return `${this.room(room)}/participants/${encodeURIComponent(id)}`;
  }

  private async call(place: Place, method: string, url: string, body?: unknown): Promise<void> {
    const headers: Record<string, string> = { authorization: `Bearer ${place.token}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    const res = await fetch(url, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
    if (!res.ok) throw await refusal(res);
  }
}
