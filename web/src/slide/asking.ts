/** Asks for the outlines of what is seen: a little more than the sight, again when it leaves that, new ones as they come. */

import type { Contours } from "../live/protocol";
import type { Box } from "./grid";

/** Shares of the sight asked for on each side of it: the widest that holds few enough cells. */
const MARGINS = [0.35, 0.1, 0];
const MOST = 18_000;
const EVERY = 250;

export class Asking {
  private number = 0;
  private asked: Box | null = null;
  private waiting = false;
  private since = 0;
  private fresh = false;
  private first = true;
  private sentAt = 0;

  constructor(
    private readonly send: (message: Record<string, unknown>) => boolean,
    private readonly about: (box: Box) => number,
  ) {}

  /** A new connection knows of no request. */
  reset(): void {
    this.asked = null;
    this.waiting = false;
  }

  /** A cell was added at a place, or has lost its outline. */
  added(x: number, y: number): void {
    const box = this.asked;
    if (box && x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]) this.fresh = true;
  }

  /** Ask if there is something to ask for. `scale` is in screen pixels a level-0 pixel. */
  look(box: Box, scale: number, now: number): void {
    if (now - this.sentAt < EVERY) return;
    const within =
      this.asked !== null &&
      box[0] >= this.asked[0] &&
      box[1] >= this.asked[1] &&
      box[2] <= this.asked[2] &&
      box[3] <= this.asked[3];
    if (within && (!this.fresh || this.waiting)) return;
    const wanted = within ? (this.asked as Box) : this.around(box);
    const level = Math.min(Math.max(Math.floor(-Math.log2(scale)), 0), 24);
    const message: Record<string, unknown> = { type: "view", view: ++this.number, box: wanted, level };
    if (within) message.since = this.since;
    if (!this.send(message)) return;
    this.asked = wanted;
    this.waiting = this.first = true;
    this.fresh = false;
    this.sentAt = now;
  }

  /** Whether an answer is the one to the newest request; notes from where to go on. */
  answered(message: Contours | { view: number; seq: number; more?: boolean }): boolean {
    if (message.view !== this.number) return false;
    // Parts are of the cells that stood with the first: what came between them is asked for again.
    if (this.first) this.since = message.seq;
    this.first = false;
    if (!message.more) this.waiting = false;
    return true;
  }

  private around(box: Box): Box {
    for (const margin of MARGINS) {
      const wide = (box[2] - box[0]) * margin;
      const high = (box[3] - box[1]) * margin;
      const wanted: Box = [box[0] - wide, box[1] - high, box[2] + wide, box[3] + high];
      if (margin === 0 || this.about(wanted) <= MOST) return wanted;
    }
    return box;
  }
}
