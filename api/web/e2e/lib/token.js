import { createHmac } from "node:crypto";

/** @param {unknown} value */
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/**
 * A token as `mixdown token` prints it, or one that is wrong on purpose.
 * @param {{key: string, secret: string, room: string, identity: string, name?: string, role?: string,
 *          ttl?: number, alg?: string}} t  ttl in seconds
 */
export function mint({ key, secret, room, identity, name = identity, role = "participant", ttl = 3600, alg = "HS256" }) {
  const now = Math.floor(Date.now() / 1000);
  const issued = ttl > 0 ? now : now + ttl - 60;
  const claims = { iss: key, sub: identity, name, room: { room, role }, iat: issued, nbf: issued, exp: now + ttl };
  const signed = `${part({ alg, typ: "JWT" })}.${part(claims)}`;
  const signature = alg === "none" ? "" : createHmac("sha256", secret).update(signed).digest("base64url");
  return `${signed}.${signature}`;
}
