/** How long a run will take still: from how fast its tiles ended lately. */

const WINDOW = 60_000;
const FEWEST = 2;
/** From the fifth tile on one interval is enough to say something. */
const FIFTH = 5;

export class Eta {
  private samples: { at: number; ended: number }[] = [];

  note(at: number, ended: number): void {
    const last = this.samples[this.samples.length - 1];
    if (last && ended < last.ended) this.samples = [];
    if (last && ended === last.ended) return;
    this.samples.push({ at, ended });
    while (this.samples.length > FEWEST && at - this.samples[0].at > WINDOW) this.samples.shift();
  }

  /** Seconds left; null while too little is known. */
  left(planned: number, now: number): number | null {
    const first = this.samples[0];
    const last = this.samples[this.samples.length - 1];
    if (!first || this.samples.length < FEWEST || last.ended - first.ended < (last.ended < FIFTH ? 2 : 1)) return null;
    const rate = (last.ended - first.ended) / (last.at - first.at);
    return Math.max(0, ((planned - last.ended) / rate - (now - last.at)) / 1000);
  }
}

/** Tiles that have ended, of a protocol's `progress`. */
export function endedTiles(progress: Record<string, number>): number {
  return Object.entries(progress).reduce((sum, [name, n]) => (name === "planned" ? sum : sum + n), 0);
}
