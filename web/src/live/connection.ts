/** One slide's WebSocket: ticket, resume, credit, and coming back after it broke. */

import { decode, encode } from "@msgpack/msgpack";
import { charged, PROTOCOL, type Message } from "./protocol";

/** `connecting` before the first word, `live`, `stale` when nothing is heard, `over` when the slide has ended. */
export type Link = "connecting" | "live" | "stale" | "over" | "refused";

export interface Wire {
  ticket(): Promise<string>;
  resume(): { run: string; seq: number };
  take(message: Message): void;
  link(link: Link, retryAt: number | null, reason: string): void;
}

const SILENCE = 15_000;
const GRANT = 8;
const FIRST_GRANT = 112;
const WAITS = [500, 1000, 2000, 4000, 8000];
/** Codes after which the same slide is asked for anew without delay: it was begun anew, or we were too slow. */
const AGAIN = new Set([1012, 1013]);

export class Connection {
  private socket: WebSocket | null = null;
  private heard = 0;
  private applied = 0;
  private tries = 0;
  private timer = 0;
  private stopped = false;
  private ended = false;
  private readonly watch: number;

  constructor(
    private readonly url: string,
    private readonly wire: Wire,
  ) {
    this.watch = window.setInterval(() => this.listen(), 1000);
    void this.open();
  }

  /** Say something, if somebody listens. */
  send(message: Record<string, unknown>): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(encode(message));
    return true;
  }

  /** Try at once. */
  retry(): void {
    if (this.stopped || this.ended || this.socket) return;
    window.clearTimeout(this.timer);
    void this.open();
  }

  /** Begin anew: something of what was said is missing. */
  again(): void {
    this.drop();
    this.later("a change was missed");
  }

  close(): void {
    this.stopped = true;
    window.clearInterval(this.watch);
    window.clearTimeout(this.timer);
    this.drop();
  }

  private async open(): Promise<void> {
    let ticket: string;
    try {
      ticket = await this.wire.ticket();
    } catch (error) {
      const status = (error as { status?: number }).status;
      if (status === 401 || status === 403 || status === 404) {
        this.wire.link("refused", null, (error as Error).message);
        return;
      }
      this.later((error as Error).message);
      return;
    }
    if (this.stopped) return;
    const socket = new WebSocket(this.url, [PROTOCOL, `ticket.${ticket}`]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    this.applied = 0;
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => this.receive(socket, event.data);
    socket.onclose = (event) => this.closed(socket, event.code);
  }

  private receive(socket: WebSocket, data: ArrayBuffer): void {
    if (socket !== this.socket) return;
    this.heard = performance.now();
    const message = decode(new Uint8Array(data)) as Message;
    if (message.type === "hello") {
      this.wire.take(message);
      this.send({ type: "resume", ...this.wire.resume() });
      this.send({ type: "credit", n: FIRST_GRANT });
      this.tries = 0;
      this.wire.link("live", null, "");
      return;
    }
    this.wire.take(message);
    if (message.type === "end") {
      this.ended = true;
      window.clearInterval(this.watch);
      this.wire.link("over", null, "");
    } else if (charged(message) && ++this.applied % GRANT === 0) {
      this.send({ type: "credit", n: GRANT });
    }
  }

  private closed(socket: WebSocket, code: number): void {
    if (socket !== this.socket) return;
    this.socket = null;
    if (this.stopped || this.ended) return;
    this.later(AGAIN.has(code) ? "the slide was begun anew" : "the connection was lost");
  }

  private later(reason: string): void {
    const wait = WAITS[Math.min(this.tries++, WAITS.length - 1)] * (0.8 + 0.4 * Math.random());
    this.wire.link("stale", Date.now() + wait, reason);
    this.timer = window.setTimeout(() => void this.open(), wait);
  }

  /** Who hears nothing for a while takes the connection for dead. */
  private listen(): void {
    if (!this.socket || performance.now() - this.heard < SILENCE) return;
    this.drop();
    this.later("nothing was heard for 15 seconds");
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}
