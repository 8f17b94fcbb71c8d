import type { Ask } from "./types.ts";

/** The size of what a camera delivers, pixels. */
export interface Size {
  width: number;
  height: number;
}

/** What of RTCRtpEncodingParameters an Ask decides. */
export interface Encoding {
  active: boolean;
  maxBitrate?: number;
  maxFramerate?: number;
  scaleResolutionDownBy?: number;
}

/**
 * Says how to encode a picture of the captured size so that it fills the
 * asked tile and no more. The mixer crops to cover, so the smaller of the two
 * ratios counts; it is never scaled up. Zeros in an Ask mean "as you like".
 */
export function encodingFor(ask: Ask, captured: Size): Encoding {
  const out: Encoding = { active: ask.active };
  if (!ask.active) return out;
  if (ask.bitrate > 0) out.maxBitrate = ask.bitrate;
  if (ask.fps > 0) out.maxFramerate = ask.fps;
  if (ask.width > 0 && ask.height > 0 && captured.width > 0 && captured.height > 0) {
    const ratio = Math.min(captured.width / ask.width, captured.height / ask.height);
    out.scaleResolutionDownBy = Math.max(1, Math.floor(ratio * 1e4) / 1e4);
  }
  return out;
}

/** Whether applying next to what a sender does now would change nothing. */
export function same(now: Encoding, next: Encoding): boolean {
  const fields = ["active", "maxBitrate", "maxFramerate", "scaleResolutionDownBy"] as const;
  return fields.every((f) => next[f] === undefined || now[f] === next[f]);
}

/**
 * Firefox begins to receive anew whenever what it sends is changed: what it
 * receives then stands still until the next keyframe, up to four seconds.
 */
const receivesAnew = globalThis.navigator?.userAgent?.includes("Firefox/") ?? false;

/** Whether next is so much more or less than now that it is worth a picture that stands still. */
export function matters(now: Encoding, next: Encoding): boolean {
  const far = (a: number | undefined, b: number | undefined) => a !== undefined && b !== undefined && Math.max(a / b, b / a) > 2.5;
  return (
    now.active !== next.active ||
    far(now.maxBitrate, next.maxBitrate) ||
    far(now.maxFramerate, next.maxFramerate) ||
    far(now.scaleResolutionDownBy ?? 1, next.scaleResolutionDownBy)
  );
}

/** What suffers first when bits are short: of a picture that is small already, or to be read, its rate. */
function preference(ask: Ask, track: MediaStreamTrack | null): RTCDegradationPreference {
  return track?.contentHint !== "detail" && ask.width * ask.height > 200 * 112 ? "balanced" : "maintain-resolution";
}

/** Brings a sender to what is asked, where the browser can; true if it changed something. */
export async function obey(sender: RTCRtpSender, ask: Ask, anew = receivesAnew): Promise<boolean> {
  const settings = sender.track?.getSettings?.();
  const next = encodingFor(ask, { width: settings?.width ?? 0, height: settings?.height ?? 0 });
  const params = sender.getParameters?.();
  const encoding = params?.encodings?.[0];
  if (!encoding || !sender.setParameters) return false; // nothing negotiated yet, or an old browser
  const prefers = preference(ask, sender.track);
  const settled = params as RTCRtpSendParameters & { degradationPreference?: RTCDegradationPreference };
  if (same(encoding as Encoding, next) && (settled.degradationPreference ?? "balanced") === prefers) return false;
  if (anew && !matters(encoding as Encoding, next)) return false;
  Object.assign(encoding, next);
  settled.degradationPreference = prefers;
  await sender.setParameters(params);
  return true;
}
