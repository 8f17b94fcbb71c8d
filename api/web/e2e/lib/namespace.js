import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "./browser.js";

/**
 * A Chromium in a network namespace; with none, an ordinary one.
 * @param {string} namespace its name, as `ip netns` has it; the caller must be root @param {string[]} flags
 * @returns {Promise<import("playwright-core").Browser>}
 */
export const launchIn = (namespace, ...flags) => (namespace ? start(namespace, "", flags) : launch(...flags));

/** The same with a home of its own, in which certificates are trusted (lib/authority.js). @param {string} namespace @param {string} home @param {string[]} flags */
export const launchAt = (namespace, home, ...flags) => start(namespace, `HOME=${home} `, flags);

/** @param {string} namespace @param {string} env @param {string[]} flags */
async function start(namespace, env, flags) {
  const before = process.env.CHROMIUM;
  const dir = await mkdtemp(join(tmpdir(), "mixdown-netns-"));
  const wrapper = join(dir, "chromium");
  await writeFile(wrapper, `#!/bin/sh\n${env}exec ip netns exec ${namespace} ${before ?? "/usr/bin/chromium"} "$@"\n`);
  await chmod(wrapper, 0o755);
  try {
    process.env.CHROMIUM = wrapper;
    const launched = launch(...flags); // reads its path before it waits
    if (before === undefined) delete process.env.CHROMIUM;
    else process.env.CHROMIUM = before;
    return await launched;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Flags that let the page of a plain http server have camera and microphone. @param {string} origin */
export const trusting = (origin) => [`--unsafely-treat-insecure-origin-as-secure=${origin}`];
