import type { Peer } from "./peer.js";
import type { Phone } from "./phone.js";
import type { Sync } from "./sync.js";

declare global {
  interface Window {
    peer: Peer;
    phone: Phone;
    sync: Sync;
  }
}
