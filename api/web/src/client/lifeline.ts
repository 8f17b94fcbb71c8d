/** What a lifeline needs of its connection. */
export interface Lines {
  /** Packets received so far. */
  received(): Promise<number>;
  /** Asks the server for anything by HTTP; resolves if it answers. */
  reach(signal: AbortSignal): Promise<unknown>;
  /** Finds a new way for the same connection. */
  restart(signal: AbortSignal): Promise<unknown>;
  /** Makes a new connection. */
  redial(): void;
  /** silent: nothing comes. reached: but the server answers. flowing: all is well again. */
  on(event: "silent" | "reached" | "flowing"): void;
}

/** Times in ms. */
export const pace = {
  look: 200, // between two looks at what has come
  silent: 700, // this long nothing means that the way is broken, where much comes
  sparse: 2500, // and where little does: sound without a picture comes every 1.2 s while nobody speaks, and some is lost
  dense: 6, // packets a look that are much
  request: 1500, // for one request; then another connection is tried
  ask: 400, // between two questions whether the server is there
  pause: 200, // between two requests
  grace: 400, // in which media come back by themselves when the network has
  again: 3000, // in which they come after a restart
};

/**
 * Watches whether anything comes in and finds out why when not. While the
 * server cannot be reached either, the network is away: the connection keeps,
 * and goes on by itself on the same way. If the server can be reached and media
 * still do not come, the way is gone (another network, a translator that
 * forgot us): ICE restarts, and if that does not help, a new connection is made.
 */
export class Lifeline {
  private timer: ReturnType<typeof setInterval> | undefined;
  private packets = -1;
  private since = 0; // when something came
  private usual = 0; // packets in a look that saw any
  private mending: AbortController | null = null;

  constructor(
    private readonly lines: Lines,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Begins to watch; the first packet arms it. */
  start(): void {
    this.timer ??= setInterval(() => void this.look(), pace.look);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.mending?.abort();
    this.mending = null;
  }

  /** Something says that the way is gone: there is no need to wait for silence. */
  suspect(): void {
    if (this.timer && this.packets > 0 && !this.mending) void this.mend();
  }

  private async look(): Promise<void> {
    const n = await this.lines.received().catch(() => this.packets);
    if (!this.timer) return;
    if (n !== this.packets) {
      if (this.packets > 0) this.usual += (n - this.packets - this.usual) / 8;
      this.packets = n;
      this.since = this.now();
      if (this.mending) {
        this.mending.abort();
        this.mending = null;
        this.lines.on("flowing");
      }
    } else if (n > 0 && !this.mending && this.now() - this.since > (this.usual < pace.dense ? pace.sparse : pace.silent)) {
      void this.mend();
    }
  }

  private async mend(): Promise<void> {
    const mending = new AbortController();
    this.mending = mending;
    const { signal } = mending;
    this.lines.on("silent");
    await this.reach(signal);
    if (signal.aborted) return;
    this.lines.on("reached");
    await wait(pace.grace, signal);
    // A refusal means that the session is no more; anything else is tried again.
    const found = await this.insist(signal, (s) => this.lines.restart(s), (err) => err instanceof Error && err.name === "Refused");
    if (found) await wait(pace.again, signal);
    if (signal.aborted) return;
    this.stop();
    this.lines.redial();
  }

  // Asks several times at once: a request that the network swallowed may take
  // seconds to notice that it is back, the next one does not.
  private reach(signal: AbortSignal): Promise<void> {
    const reached = new AbortController();
    const over = AbortSignal.any([signal, reached.signal]);
    return new Promise((resolve) => {
      over.addEventListener("abort", () => resolve(), { once: true });
      const ask = () => {
        if (over.aborted) return;
        this.lines.reach(AbortSignal.any([over, AbortSignal.timeout(pace.request)])).then(
          () => reached.abort(),
          () => {}, // the next one is under way
        );
        setTimeout(ask, pace.ask);
      };
      ask();
    });
  }

  // Tries until it works (true), is hopeless (false) or signal ends it.
  private async insist(signal: AbortSignal, what: (s: AbortSignal) => Promise<unknown>, hopeless: (err: unknown) => boolean): Promise<boolean> {
    while (!signal.aborted) {
      try {
        await what(AbortSignal.any([signal, AbortSignal.timeout(pace.request)]));
        return true;
      } catch (err) {
        if (hopeless(err)) return false;
      }
      await wait(pace.pause, signal);
    }
    return false;
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
