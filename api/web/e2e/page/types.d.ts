import type { Peer } from "./peer.js";
import type { Sync } from "./sync.js";

declare global {
  interface Window {
    peer: Peer;
    sync: Sync;
  }
}
