import { setTimeout as sleep } from "node:timers/promises";

/**
 * Asks again until the answer is true (or anything that counts as true) and returns it.
 * The limit is there to end a broken test, not to measure: it is far beyond what is expected.
 * @template T
 * @param {string} what for the message
 * @param {() => Promise<T> | T} ask
 * @param {{limit?: number, every?: number, show?: () => unknown}} [how] ms
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, ask, { limit = 20_000, every = 100, show } = {}) {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) {
      const seen = show ? `; seen: ${JSON.stringify(await show())}` : "";
      throw new Error(`waited ${limit / 1000} s in vain: ${what}${seen}`);
    }
    await sleep(every);
  }
}
