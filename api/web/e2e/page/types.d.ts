import type { Peer } from "./peer.js";

declare global {
  interface Window {
    peer: Peer;
  }
}
