// What the server says, as it says it: mixer.State and the join contract.

export type Role = "host" | "participant" | "viewer";

/** How the picture is arranged: everybody alike, who speaks large, or the newest screen large. */
export type Layout = "gallery" | "speaker" | "screen";

/** What the server wants from a sender: nobody uploads what nobody sees. */
export interface Ask {
  active: boolean;
  width: number; // of the tile, pixels
  height: number;
  fps: number;
  bitrate: number; // bit/s
  uplink?: number; // what our way up carries as the server measures it, bit/s; absent: no bound is known
}

/** One participant in a State. */
export interface Member {
  id: string;
  name: string;
  role: Role;
  publishes: boolean;
  receives: boolean;
  audio: boolean; // sends sound and is not muted
  video: boolean;
  muted: boolean; // sound muted by a host
  hidden: boolean; // picture muted by a host
  hand?: string; // since when it is raised, RFC 3339
  screen?: boolean; // its picture is a screen
  open: boolean; // is in the sum now
  level: number; // dBov
  tier?: string;
  ask?: Ask;
}

/** A telephone call of the room. */
export interface Call {
  id: string;
  outgoing: boolean; // placed from the room
  state: "dialing" | "ringing" | "asking" | "connected" | "held" | "ended";
  peer: string; // its address, or number
  name: string;
  code?: number; // status of RFC 3261 that it ended with
  reason?: string; // why it ended
}

/** All that a member of a room may know of it. It comes whole each time. */
export interface State {
  room: string;
  version: number;
  participants: Member[];
  speaker?: string;
  recording?: boolean; // somebody keeps what is seen and heard
  streaming?: boolean; // or sends it on
  locked?: boolean; // newcomers are kept out
  layout?: Layout; // of the picture that everybody sees
  calls?: Call[]; // oldest first; those placed from the room for a moment after their end
}

/** The name of no pictures, wherever a tier is asked for. */
export const soundOnly = "sound";

/** The answer to a join. */
export interface Place {
  token: string;
  identity: string;
  name: string;
  role: Role;
  room: string;
  expires: string; // RFC 3339
  ice_servers: RTCIceServer[];
  tiers: string[]; // names of the ladder, best first
  low_data: string; // that of them which is for who wants to spend little
  calls: boolean; // we may call telephones
}
