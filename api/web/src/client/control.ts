import { Backoff } from "./backoff.ts";
import { parse, type Message } from "./state.ts";

/** What we send. */
export type Command =
  | { type: "media"; audio: boolean; video: boolean; screen: boolean }
  | { type: "tier"; tier: string }
  | { type: "link"; down: number }; // bit/s; holds for one connection of media

/**
 * The control channel: state comes in whole, commands go out. It comes back by
 * itself after an outage, and says again what held before.
 */
export class Control {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly standing = new Map<string, Command>(); // the last command of each type
  private readonly backoff = new Backoff();
  private closed = false;

  constructor(
    private readonly url: string,
    private readonly token: () => string, // the one that is good now
    private readonly onMessage: (m: Message) => void,
    private readonly onEnd: (reason: string) => void, // the server does not want us back
  ) {}

  open(): void {
    if (this.closed || this.socket) return;
    // A browser sets no headers here; a token in the address would end up in logs.
    const socket = new WebSocket(this.url, ["mixdown", this.token()]);
    this.socket = socket;
    socket.onopen = () => {
      for (const command of this.standing.values()) socket.send(JSON.stringify(command));
      this.standing.delete("link");
    };
    socket.onmessage = (e) => {
      const m = parse(e.data);
      if (!m) return;
      this.backoff.reset();
      this.onMessage(m);
    };
    socket.onclose = (e) => {
      if (this.socket !== socket) return;
      this.socket = null;
      // 1008 is a policy's decision and 4000 to 4999 are the application's
      // (RFC 6455, section 7.4): coming back would not help.
      if (e.code === 1008 || e.code >= 4000) this.end(e.reason);
      else if (!this.closed) this.timer = setTimeout(() => this.open(), this.backoff.next());
    };
  }

  /** Tries at once if it is waiting to: the server was reached. */
  hurry(): void {
    if (this.closed || this.socket) return;
    clearTimeout(this.timer);
    this.backoff.reset();
    this.open();
  }

  send(command: Command): void {
    const open = this.socket?.readyState === WebSocket.OPEN;
    if (command.type !== "link" || !open) this.standing.set(command.type, command);
    if (open) this.socket?.send(JSON.stringify(command));
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private end(reason: string): void {
    if (this.closed) return;
    this.close();
    this.onEnd(reason);
  }
}
