import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * A certificate authority for one test: a certificate for some addresses, and
 * a home directory whose browsers trust it. Browsers take no self-signed
 * certificate for TURN over TLS, whatever flags they are given.
 */
export class Authority {
  dir = "";

  /** @param {string[]} addresses */
  static async make(addresses) {
    const a = new Authority();
    a.dir = await mkdtemp(join(tmpdir(), "mixdown-ca-"));
    const at = (/** @type {string} */ name) => join(a.dir, name);
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    await run("openssl", ["req", "-x509", ...key, "-keyout", at("ca.key"), "-out", at("ca.crt"), "-days", "2", "-subj", "/CN=mixdown test authority"]);
    await run("openssl", ["req", "-new", ...key, "-keyout", at("key.pem"), "-out", at("req.pem"), "-subj", "/CN=mixdown test"]);
    await writeFile(at("san.txt"), `subjectAltName=${addresses.map((ip) => `IP:${ip}`).join(",")}\n`);
    await run("openssl", ["x509", "-req", "-in", at("req.pem"), "-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial",
      "-out", at("chain.pem"), "-days", "2", "-extfile", at("san.txt")]);
    const db = at(".pki/nssdb");
    await mkdir(db, { recursive: true });
    await run("certutil", ["-N", "-d", `sql:${db}`, "--empty-password"]);
    await run("certutil", ["-A", "-d", `sql:${db}`, "-n", "mixdown test", "-t", "C,,", "-i", at("ca.crt")]);
    return a;
  }

  get flags() {
    return ["--tls", "files", "--tls-cert", join(this.dir, "chain.pem"), "--tls-key", join(this.dir, "key.pem")];
  }

  remove() {
    return rm(this.dir, { recursive: true, force: true });
  }
}
