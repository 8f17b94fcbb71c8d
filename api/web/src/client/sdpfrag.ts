/** What of an offer a fragment needs to name its ICE session. */
export interface IceHead {
  ufrag: string;
  pwd: string;
  mid: string; // of the first, bundled media section
  media: string; // its m= line
}

/** Reads the ICE credentials of the first media section of an SDP. */
export function iceHead(sdp: string): IceHead {
  const find = (re: RegExp) => re.exec(sdp)?.[1] ?? "";
  return {
    ufrag: find(/^a=ice-ufrag:(\S+)/m),
    pwd: find(/^a=ice-pwd:(\S+)/m),
    mid: find(/^a=mid:(\S+)/m),
    media: find(/^m=(\S.*?)\r?$/m),
  };
}

/** An answer with the ICE credentials and candidates of a fragment, after a restart. */
export function renewed(answer: string, fragment: string): string {
  const head = iceHead(fragment);
  const candidates = fragment.split(/\r?\n/).filter((l) => /^a=(candidate:|end-of-candidates)/.test(l));
  const lines: string[] = [];
  let sections = 0;
  const finish = () => {
    if (sections === 1) lines.push(...candidates); // one transport for all
  };
  for (const l of answer.split(/\r?\n/)) {
    if (l === "" || /^a=(candidate:|end-of-candidates)/.test(l)) continue;
    if (l.startsWith("m=")) {
      finish();
      sections++;
    }
    if (l.startsWith("a=ice-ufrag:")) lines.push(`a=ice-ufrag:${head.ufrag}`);
    else if (l.startsWith("a=ice-pwd:")) lines.push(`a=ice-pwd:${head.pwd}`);
    else lines.push(l);
  }
  finish();
  return lines.join("\r\n") + "\r\n";
}

/**
 * Builds the body of a trickle PATCH (RFC 8840, section 9; RFC 9725, section
 * 4.3.2): all candidates of the bundle under its first media section. Lines of
 * candidates come as the browser gives them, without "a=".
 */
export function fragment(head: IceHead, candidates: string[], done: boolean): string {
  const lines = [
    `a=ice-ufrag:${head.ufrag}`,
    `a=ice-pwd:${head.pwd}`,
    `m=${head.media}`,
    `a=mid:${head.mid}`,
    ...candidates.map((c) => `a=${c.replace(/^a=/, "")}`),
  ];
  if (done) lines.push("a=end-of-candidates");
  return lines.join("\r\n") + "\r\n";
}

/**
 * An answer that names one way to the server, for links on which the browser's checks
 * of all of them stand before the sound: the UDP candidate of the page's own host, else the
 * first one of IPv4, which takes 20 bytes a packet less. rest are those that are left out.
 */
export function narrowed(answer: string, host: string): { sdp: string; rest: string[] } {
  const lines = answer.split("\r\n");
  const udp = lines.map(candidate).filter((c) => c?.protocol === "udp");
  const one = udp.find((c) => c!.address === host) ?? udp.find((c) => !c!.address.includes(":"));
  if (!one) return { sdp: answer, rest: [] };
  const rest: string[] = [];
  const kept = lines.filter((l) => {
    const c = candidate(l);
    if (!c || (c.protocol === "udp" && c.address === one.address)) return true;
    rest.push(l.slice("a=".length));
    return false;
  });
  return { sdp: kept.join("\r\n"), rest };
}

// A candidate line's parts (RFC 8839, section 5.1).
function candidate(line: string): { protocol: string; address: string } | null {
  const m = /^a=candidate:\S+ \d+ (\S+) \d+ (\S+) \d+ typ /.exec(line);
  return m && { protocol: m[1]!.toLowerCase(), address: m[2]! };
}
