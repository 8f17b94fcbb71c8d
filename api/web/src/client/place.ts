import type { Place } from "./types.ts";

/** What a reload needs to come back as the same person. */
export interface Kept extends Place {
  mic: boolean;
  camera: boolean;
  joined: boolean; // false after leaving: then only the name is of use
}

const key = (room: string) => `mixdown.place.${room}`;

/** Keeps a place for this tab. Storage may be off; then a reload asks again. */
export function keep(place: Kept): void {
  try {
    sessionStorage.setItem(key(place.room), JSON.stringify(place));
  } catch {
    // private mode or full
  }
}

/** The place kept for a room, or null; an expired token is not worth keeping. */
export function kept(room: string, now = Date.now()): Kept | null {
  try {
    const place = JSON.parse(sessionStorage.getItem(key(room)) ?? "null") as Kept | null;
    if (!place?.token || !place.identity) return null;
    const end = Date.parse(place.expires);
    return Number.isNaN(end) || end > now ? place : null;
  } catch {
    return null;
  }
}

/** Gives the place up; the name stays for a rejoin. */
export function giveUp(room: string): void {
  const place = kept(room);
  if (place) keep({ ...place, joined: false });
}
