/** The cells that stand, in typed arrays by row. A row keeps its number while its cell stands; freed rows are used again. */

export const NO_CLASS = -1;
const FIRST = 4096;

/** Columns of a cell as they are entered; boxes and centres in hundredths of a level-0 pixel. */
export interface CellColumns {
  keys: Int32Array;
  kind: Uint8Array;
  best: Int16Array;
  confidence: Uint16Array;
  unknown: Uint8Array;
  box: Int32Array;
  centre: Int32Array;
  clump: Int16Array;
  truncated: Uint8Array;
}

export class CellTable {
  /** One past the last row that was ever used. */
  high = 0;
  /** Cells that stand. */
  count = 0;
  keys = new Int32Array(FIRST * 2);
  kind = new Uint8Array(FIRST);
  best = new Int16Array(FIRST);
  confidence = new Uint16Array(FIRST);
  unknown = new Uint8Array(FIRST);
  box = new Int32Array(FIRST * 4);
  centre = new Int32Array(FIRST * 2);
  clump = new Int16Array(FIRST);
  truncated = new Uint8Array(FIRST);
  alive = new Uint8Array(FIRST);
  private rows = new Map<number, number>();
  private free: number[] = [];

  /** Row of a key; -1 where it does not stand. */
  find(tile: number, index: number): number {
    return this.rows.get(code(tile, index)) ?? -1;
  }

  /** Enter row `i` of columns; what was known of its key is replaced. Returns the row. */
  put(from: CellColumns, i: number): number {
    const key = code(from.keys[2 * i], from.keys[2 * i + 1]);
    let row = this.rows.get(key);
    if (row === undefined) {
      row = this.free.pop() ?? this.high++;
      if (row >= this.kind.length) this.grow();
      this.rows.set(key, row);
      this.count++;
    }
    this.keys.set(from.keys.subarray(2 * i, 2 * i + 2), 2 * row);
    this.box.set(from.box.subarray(4 * i, 4 * i + 4), 4 * row);
    this.centre.set(from.centre.subarray(2 * i, 2 * i + 2), 2 * row);
    this.kind[row] = from.kind[i];
    this.best[row] = from.best[i];
    this.confidence[row] = from.confidence[i];
    this.unknown[row] = from.unknown[i];
    this.clump[row] = from.clump[i];
    this.truncated[row] = from.truncated[i];
    this.alive[row] = 1;
    return row;
  }

  /** Take a key out; its row, or -1 where it did not stand. */
  remove(tile: number, index: number): number {
    const key = code(tile, index);
    const row = this.rows.get(key);
    if (row === undefined) return -1;
    this.rows.delete(key);
    this.alive[row] = 0;
    this.free.push(row);
    this.count--;
    return row;
  }

  clear(): void {
    this.rows.clear();
    this.free = [];
    this.alive.fill(0);
    this.high = this.count = 0;
  }

  /** Rows that stand, by key: the order of report.json. */
  inOrder(): Int32Array {
    const codes = new Float64Array(this.count);
    let n = 0;
    for (const key of this.rows.keys()) codes[n++] = key;
    codes.sort();
    return Int32Array.from(codes, (key) => this.rows.get(key) as number);
  }

  private grow(): void {
    const room = this.kind.length * 2;
    const wider = <T extends { set(from: T): void }>(old: T, Type: new (length: number) => T, width = 1): T => {
      const made = new Type(room * width);
      made.set(old);
      return made;
    };
    this.keys = wider(this.keys, Int32Array, 2);
    this.kind = wider(this.kind, Uint8Array);
    this.best = wider(this.best, Int16Array);
    this.confidence = wider(this.confidence, Uint16Array);
    this.unknown = wider(this.unknown, Uint8Array);
    this.box = wider(this.box, Int32Array, 4);
    this.centre = wider(this.centre, Int32Array, 2);
    this.clump = wider(this.clump, Int16Array);
    this.truncated = wider(this.truncated, Uint8Array);
    this.alive = wider(this.alive, Uint8Array);
  }
}

/** A key as one number that sorts as the key does. */
function code(tile: number, index: number): number {
  return tile * 2 ** 32 + index;
}
