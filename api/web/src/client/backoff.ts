/** Waiting times that double, up to a limit, and start over after a success. */
export class Backoff {
  private tries = 0;

  constructor(
    private readonly first = 500,
    private readonly most = 15_000,
    private readonly random: () => number = Math.random,
  ) {}

  /** The next waiting time in ms: 75 to 125 % of the doubled one, so that a room does not come back all at once. */
  next(): number {
    const base = Math.min(this.most, this.first * 2 ** this.tries);
    this.tries++;
    return Math.round(base * (0.75 + this.random() / 2));
  }

  reset(): void {
    this.tries = 0;
  }
}
