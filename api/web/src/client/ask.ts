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

/** What suffers first when bits are short: of a picture that is small already, or to be read, its rate. */
function preference(ask: Ask, track: MediaStreamTrack | null): RTCDegradationPreference {
  return track?.contentHint !== "detail" && ask.width * ask.height > 200 * 112 ? "balanced" : "maintain-resolution";
}

/** Brings a sender to what is asked, where the browser can; true if it changed something. */
export async function obey(sender: RTCRtpSender, ask: Ask): Promise<boolean> {
  const settings = sender.track?.getSettings?.();
  const next = encodingFor(ask, { width: settings?.width ?? 0, height: settings?.height ?? 0 });
  const params = sender.getParameters?.();
  const encoding = params?.encodings?.[0];
  if (!encoding || !sender.setParameters) return false; // nothing negotiated yet, or an old browser
  const prefers = preference(ask, sender.track);
  const settled = params as RTCRtpSendParameters & { degradationPreference?: RTCDegradationPreference };
  if (same(encoding as Encoding, next) && (settled.degradationPreference ?? "balanced") === prefers) return false;
  Object.assign(encoding, next);
  settled.degradationPreference = prefers;
  await sender.setParameters(params);
  return true;
}
