/** Rows by place: squares of the slide, each with the rows whose centre lies in it. */

import type { CellTable } from "../live/cells";

export type Box = [x0: number, y0: number, x1: number, y1: number];

export class Grid {
  private readonly columns: number;
  private readonly lines: number;
  private readonly buckets: number[][];
  private home = new Int32Array(4096).fill(-1);
  /** How far a cell reaches from its centre, at most. */
  reach = 0;

  constructor(
    private readonly cells: CellTable,
    width: number,
    height: number,
    private readonly side: number,
  ) {
    this.columns = Math.max(1, Math.ceil(width / side));
    this.lines = Math.max(1, Math.ceil(height / side));
    this.buckets = Array.from({ length: this.columns * this.lines }, () => []);
  }

  add(row: number): void {
    const { box, centre } = this.cells;
    const x = centre[2 * row] / 100;
    const y = centre[2 * row + 1] / 100;
    const bucket = this.place(y, this.lines) * this.columns + this.place(x, this.columns);
    if (row >= this.home.length) {
      const wider = new Int32Array(Math.max(row + 1, this.home.length * 2)).fill(-1);
      wider.set(this.home);
      this.home = wider;
    }
    this.home[row] = bucket;
    this.buckets[bucket].push(row);
    const far = Math.max(
      box[4 * row + 2] / 100 - x,
      x - box[4 * row] / 100,
      box[4 * row + 3] / 100 - y,
      y - box[4 * row + 1] / 100,
    );
    if (far > this.reach) this.reach = far;
  }

  remove(row: number): void {
    const bucket = this.home[row] ?? -1;
    if (bucket < 0) return;
    const within = this.buckets[bucket];
    const place = within.indexOf(row);
    within[place] = within[within.length - 1];
    within.pop();
    this.home[row] = -1;
  }

  clear(): void {
    for (const bucket of this.buckets) bucket.length = 0;
    this.home.fill(-1);
    this.reach = 0;
  }

  /** Call for each row whose cell may meet a box. */
  each(box: Box, call: (row: number) => void): void {
    const x1 = this.place(box[2] + this.reach, this.columns);
    const y1 = this.place(box[3] + this.reach, this.lines);
    const x0 = this.place(box[0] - this.reach, this.columns);
    for (let y = this.place(box[1] - this.reach, this.lines); y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const bucket = this.buckets[y * this.columns + x];
        for (let i = 0; i < bucket.length; i++) call(bucket[i]);
      }
    }
  }

  /** About how many cells have their centre in a box: whole squares are counted. */
  about(box: Box): number {
    const x0 = this.place(box[0], this.columns);
    const x1 = this.place(box[2], this.columns);
    const y1 = this.place(box[3], this.lines);
    let found = 0;
    for (let y = this.place(box[1], this.lines); y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const left = Math.max(box[0], x * this.side);
        const right = Math.min(box[2], (x + 1) * this.side);
        const top = Math.max(box[1], y * this.side);
        const bottom = Math.min(box[3], (y + 1) * this.side);
        const part = Math.max(0, (right - left) * (bottom - top)) / this.side ** 2;
        found += this.buckets[y * this.columns + x].length * part;
      }
    }
    return Math.round(found);
  }

  /** The smallest cell whose box holds a point; -1 where there is none. */
  at(x: number, y: number): number {
    const { box } = this.cells;
    let best = -1;
    let smallest = Infinity;
    this.each([x, y, x, y], (row) => {
      const [x0, y0, x1, y1] = box.subarray(4 * row, 4 * row + 4);
      if (x * 100 < x0 || x * 100 > x1 || y * 100 < y0 || y * 100 > y1) return;
      const area = (x1 - x0) * (y1 - y0);
      if (area < smallest) {
        smallest = area;
        best = row;
      }
    });
    return best;
  }

  private place(value: number, most: number): number {
    return Math.min(Math.max(Math.floor(value / this.side), 0), most - 1);
  }
}
