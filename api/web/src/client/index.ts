export { Client, type Events, type Phase } from "./client.ts";
export { Refused } from "./errors.ts";
export { meter, Media, type NoDevice, type Sent, type Wish } from "./media.ts";
export { kept, type Kept } from "./place.ts";
export { self, type View } from "./state.ts";
export type { Quality } from "./stats.ts";
export { soundOnly } from "./types.ts";
export type { Ask, Call, Layout, Member, Place, Role, State } from "./types.ts";
