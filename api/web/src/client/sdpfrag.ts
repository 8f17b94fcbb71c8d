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
