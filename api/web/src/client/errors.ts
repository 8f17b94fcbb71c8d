/** A refusal by the server, from its problem details (RFC 9457). */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfter = 0, // seconds
  ) {
    super(message);
    this.name = "Refused";
  }

  /** Whether trying again later, unchanged, can help. */
  get passing(): boolean {
    return this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Turns a response that is not ok into a Refused. */
export async function refusal(res: Response): Promise<Refused> {
  let text = "";
  try {
    const body = await res.text();
    if (/json/.test(res.headers.get("content-type") ?? "")) {
      const problem = JSON.parse(body) as { title?: string; detail?: string };
      text = problem.detail || problem.title || "";
    } else if (body.length < 300) {
      text = body.trim();
    }
  } catch {
    // The status says enough.
  }
  return new Refused(res.status, sentence(res.status, text), Number(res.headers.get("retry-after")) || 0);
}

/** What a person should read about an HTTP status. The server's own words are shown where they are for people. */
export function sentence(status: number, detail: string): string {
  const said = detail ? `${detail[0]?.toUpperCase()}${detail.slice(1)}${/[.!?]$/.test(detail) ? "" : "."}` : "";
  switch (status) {
    case 401:
      return "Your pass for this room is no longer good. Open the link of the room again.";
    case 404:
      return "There is no such room. Check the link, or ask its host to open the room.";
    case 423:
      return "A host has locked this room. Ask for it to be opened, and try again.";
    case 503:
      return "The server or the room is full. Try again in a little while.";
    case 403:
      return said || "You may not do that. Check that the link is complete, with the part after #.";
    case 429:
      return said || "Too many tries. Wait a moment and try again.";
    default:
      return said || `The server answered with status ${status}. Try again.`;
  }
}
