/** Outlines by row, as they came: int16 steps from the corner of a cell's box. Bounded; what is out of sight goes first. */

import type { CellTable } from "../live/cells";
import { view } from "../live/columns";
import type { Contours } from "../live/protocol";

const MOST_BYTES = 192 * 2 ** 20;

export class Outlines {
  unit = 1;
  private rings: (Int16Array | undefined)[] = [];
  private bytes = 0;

  constructor(private readonly cells: CellTable) {}

  get empty(): boolean {
    return this.bytes === 0;
  }

  get(row: number): Int16Array | undefined {
    return this.rings[row];
  }

  set(row: number, ring: Int16Array): void {
    this.forget(row);
    this.rings[row] = ring;
    this.bytes += ring.byteLength;
  }

  forget(row: number): void {
    const ring = this.rings[row];
    if (ring === undefined) return;
    this.bytes -= ring.byteLength;
    this.rings[row] = undefined;
  }

  clear(): void {
    this.rings = [];
    this.bytes = 0;
  }

  /** Take in an answer to `view`; the rows that have an outline now. */
  take(message: Contours): number[] {
    this.unit = message.unit;
    const keys = view(message.keys, Int32Array);
    const starts = view(message.starts, Uint32Array);
    const vertices = view(message.vertices, Int16Array);
    const rows: number[] = [];
    for (let i = 0; i < message.n; i++) {
      const row = this.cells.find(keys[2 * i], keys[2 * i + 1]);
      if (row < 0) continue;
      this.set(row, vertices.slice(2 * starts[i], 2 * starts[i + 1]));
      rows.push(row);
    }
    return rows;
  }

  /** Make room where too much is held: rows that `seen` does not name are dropped. */
  trim(seen: (row: number) => boolean): boolean {
    if (this.bytes < MOST_BYTES) return false;
    this.rings.forEach((ring, row) => {
      if (ring && !seen(row)) this.forget(row);
    });
    return true;
  }
}
