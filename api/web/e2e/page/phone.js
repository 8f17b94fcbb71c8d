import { Inviter, SessionState, UserAgent, Web } from "sip.js";
import { Peer } from "./peer.js";

/** A peer that calls a room by SIP over WebSocket, with SIP.js: what goes out and the instruments are the same. */
export class Phone extends Peer {
  /** @type {UserAgent | null} */
  #agent = null;
  /** @type {Inviter | null} */
  #call = null;

  /**
   * Calls, and resolves when the call stands.
   * @param {{server: string, to: string, name: string, voice: import("./peer.js").Voice, voices: Record<string, import("./peer.js").Voice>}} o
   */
  async dial({ server, to, name, voice, voices }) {
    this.voices = voices;
    const uri = UserAgent.makeURI(`sip:${name}@browser.example`);
    const target = UserAgent.makeURI(to);
    if (!uri || !target) throw new Error(`no address: ${to}`);
    this.#agent = new UserAgent({
      uri, displayName: name, logLevel: "warn", transportOptions: { server },
      sessionDescriptionHandlerFactory: Web.defaultSessionDescriptionHandlerFactory(async () => this.stream(voice, false, true)),
    });
    await this.#agent.start();
    const call = (this.#call = new Inviter(this.#agent, target, { sessionDescriptionHandlerOptions: { constraints: { audio: true, video: true } } }));
    call.delegate = {
      onSessionDescriptionHandler: (handler) => {
        if (!(handler instanceof Web.SessionDescriptionHandler) || !handler.peerConnection) throw new Error("no browser's session");
        this.pc = handler.peerConnection;
        this.take();
      },
    };
    await new Promise((resolve, reject) => {
      void call.invite({
        requestDelegate: { onReject: (r) => reject(new Error(`${r.message.statusCode} ${r.message.reasonPhrase} ${r.message.getHeader("Warning") ?? ""}`)) },
      }).catch(reject);
      call.stateChange.addListener((s) => s === SessionState.Established && resolve(undefined));
    });
  }

  /** Puts the call on hold, or takes it up again. @param {boolean} held */
  hold(held) {
    const call = this.#standing();
    return new Promise((resolve, reject) => {
      call.sessionDescriptionHandlerOptionsReInvite = /** @type {any} */ ({ hold: held });
      void call.invite({
        requestDelegate: { onAccept: () => resolve(undefined), onReject: (r) => reject(new Error(`${r.message.statusCode} ${r.message.reasonPhrase}`)) },
      }).catch(reject);
    });
  }

  /** Presses a key. @param {string} key */
  press(key) {
    const body = { contentDisposition: "render", contentType: "application/dtmf-relay", content: `Signal=${key}\r\nDuration=160` };
    return new Promise((resolve, reject) => {
      void this.#standing().info({
        requestOptions: { body },
        requestDelegate: { onAccept: () => resolve(undefined), onReject: (r) => reject(new Error(`${r.message.statusCode} ${r.message.reasonPhrase}`)) },
      }).catch(reject);
    });
  }

  /** Whether the call stands. */
  up() {
    return this.#call?.state === SessionState.Established;
  }

  async leave() {
    if (this.up()) await this.#call?.bye();
    await this.#agent?.stop();
  }

  #standing() {
    if (!this.#call) throw new Error("no call");
    return this.#call;
  }
}

const phone = new Phone();
window.phone = window.peer = phone;
