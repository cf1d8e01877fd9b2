import { describe, expect, it } from "vitest";
import { column, view } from "../src/live/columns";
import type { Message, Packed } from "../src/live/protocol";
import { PENDING, SlideState, type Watcher } from "../src/live/state";

const SILENT: Watcher = { cleared() {}, entered() {}, leaving() {}, named() {}, opened() {} };
const bytes = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

type Cell = { key: [number, number]; kind?: number; best?: number; confidence?: number; unknown?: number; x?: number };

function cells(rows: Cell[]): Packed {
  const of = (value: (cell: Cell) => number[]): number[] => rows.flatMap(value);
  return {
    n: rows.length,
    keys: bytes(Int32Array.from(of((c) => c.key))),
    kind: bytes(Uint8Array.from(of((c) => [c.kind ?? 0]))),
    best: bytes(Int16Array.from(of((c) => [c.best ?? -1]))),
    confidence: bytes(Uint16Array.from(of((c) => [c.confidence ?? 0]))),
    unknown: bytes(Uint8Array.from(of((c) => [c.unknown ?? 0]))),
    score: bytes(Uint16Array.from(of(() => [9000]))),
    box: bytes(Int32Array.from(of((c) => [c.x ?? 0, 0, (c.x ?? 0) + 100, 100]))),
    centre: bytes(Int32Array.from(of((c) => [(c.x ?? 0) + 50, 50]))),
    area: bytes(Float32Array.from(of(() => [700]))),
    clump: bytes(Int16Array.from(of(() => [0]))),
    truncated: bytes(Uint8Array.from(of(() => [0]))),
  };
}

function tiles(ended: [number, number][]): Packed {
  const index = bytes(Int32Array.from(ended.map(([i]) => i)));
  return { n: ended.length, index, outcome: bytes(Uint8Array.from(ended.map(([, o]) => o))) };
}

function delta(seq: number, change: { added?: Cell[]; labelled?: Cell[]; gone?: [number, number][]; ended?: [number, number][] }): Message {
  return {
    type: "delta",
    first: seq,
    last: seq,
    added: cells(change.added ?? []),
    labelled: cells(change.labelled ?? []),
    retracted: bytes(Int32Array.from((change.gone ?? []).flat())),
    tiles: tiles(change.ended ?? []),
    counts: { cells: seq },
    progress: { planned: 4 },
  };
}

const begin = (seq: number): Message => ({ type: "snapshot_begin", seq, counts: { cells: 1 }, progress: {} });
const part = (rows: Cell[], ended: [number, number][] = []): Message => ({
  type: "snapshot_part",
  cells: cells(rows),
  tiles: tiles(ended),
});

function applied(state: SlideState): Record<string, number[]> {
  const { cells: table } = state;
  const found: Record<string, number[]> = {};
  for (const row of table.inOrder()) {
    const key = `${table.keys[2 * row]}/${table.keys[2 * row + 1]}`;
    found[key] = [table.kind[row], table.best[row], table.confidence[row], table.unknown[row], table.box[4 * row]];
  }
  return found;
}

describe("a slide's state", () => {
  it("adds, labels and retracts in the order of the protocol", () => {
    const state = new SlideState(SILENT);
    state.apply(delta(1, { added: [{ key: [0, 1] }, { key: [0, 2], kind: 1, x: 500 }] }));
    state.apply(delta(2, { labelled: [{ key: [0, 2], best: 3, confidence: 9100 }, { key: [7, 7], best: 1 }] }));
    expect(applied(state)).toEqual({ "0/1": [0, -1, 0, 0, 0], "0/2": [1, 3, 9100, 0, 500] });
    state.apply(delta(3, { gone: [[0, 1], [9, 9]], added: [{ key: [0, 2], x: 700 }] }));
    expect(applied(state)).toEqual({ "0/2": [0, -1, 0, 0, 700] });
    expect([state.seq, state.counts.cells, state.cells.count]).toEqual([3, 3, 1]);
  });

  it("knows a delta that does not follow", () => {
    const state = new SlideState(SILENT);
    state.apply(delta(1, {}));
    expect([state.follows(delta(2, {})), state.follows(delta(3, {})), state.follows(begin(9))]).toEqual([true, false, true]);
  });

  it("belongs to a run once that run's snapshot is whole, and to none while it is not", () => {
    const state = new SlideState(SILENT);
    const hello = (run: string): Message => ({ type: "hello", slide: "s", name: "n", run, seq: 9, status: "running", classes: { rbc: [], wbc: [] } });
    state.apply(hello("first"));
    expect(state.run).toBe("");
    state.apply(begin(3));
    state.apply({ type: "snapshot_end", seq: 3 });
    expect([state.run, state.seq]).toEqual(["first", 3]);
    state.apply(hello("second"));
    expect(state.run).toBe("first");
    state.apply(begin(9));
    state.apply(hello("second"));
    expect(state.run).toBe("");
  });

  it("within one delta retracts before it adds, and labels last", () => {
    const state = new SlideState(SILENT);
    state.apply(delta(1, { added: [{ key: [1, 1] }] }));
    state.apply(delta(2, { gone: [[1, 1]], added: [{ key: [1, 1], x: 300 }], labelled: [{ key: [1, 1], best: 2, unknown: 1 }] }));
    expect(applied(state)).toEqual({ "1/1": [0, 2, 0, 1, 300] });
  });

  it("forgets everything when a snapshot begins, and goes on from its number", () => {
    const state = new SlideState(SILENT);
    state.apply(delta(1, { added: [{ key: [0, 1] }], ended: [[1, 0]] }));
    state.apply(begin(8));
    state.apply(part([{ key: [2, 5], best: 1 }], [[2, 3]]));
    state.apply({ type: "snapshot_end", seq: 8 });
    expect(Object.keys(applied(state))).toEqual(["2/5"]);
    expect([...state.tiles]).toEqual([PENDING, PENDING, 3]);
    expect(state.seq).toBe(8);
  });

  it("takes the classes of a site in the place of those that came first", () => {
    const state = new SlideState(SILENT);
    const of = (...names: string[]) => names.map((name) => ({ name, title: name, colour: [1, 2, 3] as [number, number, number], abnormal: false }));
    state.apply({ type: "hello", slide: "s", name: "s", run: "r", seq: 0, status: "running", classes: { rbc: of("a"), wbc: of("b") } });
    state.apply({ type: "classes", classes: { rbc: of("a"), wbc: of("b", "hairy_cell") } });
    expect(state.classes.wbc.map((c) => c.name)).toEqual(["b", "hairy_cell"]);
  });

  it("tells a watcher of a cell that is replaced as of one that leaves and one that comes", () => {
    const told: string[] = [];
    const watcher: Watcher = { ...SILENT, entered: (row) => told.push(`+${row}`), leaving: (row) => told.push(`-${row}`) };
    const state = new SlideState(watcher);
    state.apply(delta(1, { added: [{ key: [0, 1] }] }));
    state.apply(delta(2, { added: [{ key: [0, 1] }] }));
    expect(told).toEqual(["+0", "-0", "+0"]);
  });

  it("uses freed rows again and grows past its first room", () => {
    const state = new SlideState(SILENT);
    const many = Array.from({ length: 10_000 }, (_, i): Cell => ({ key: [i % 7, i], x: i }));
    state.apply(delta(1, { added: many }));
    state.apply(delta(2, { gone: many.slice(0, 5000).map((cell) => cell.key) }));
    state.apply(delta(3, { added: many.slice(0, 5000) }));
    expect([state.cells.count, state.cells.high]).toEqual([10_000, 10_000]);
    expect(state.cells.box[4 * state.cells.find(9_999 % 7, 9_999)]).toBe(9_999);
  });

  it("keeps tiles that ended before it knew how many there are", () => {
    const state = new SlideState(SILENT);
    state.apply(delta(1, { ended: [[2, 0]] }));
    const cores = bytes(new Float32Array(16));
    state.apply({ type: "image", width: 9, height: 9, mpp: 0.1, scale_source: "given", scale: 2, tiles: 4, columns: 2, rows: 2, cores });
    expect([...state.tiles]).toEqual([PENDING, PENDING, 0, PENDING]);
  });
});

describe("columns", () => {
  it("copies what is not aligned", () => {
    const buffer = new Uint8Array(9);
    new DataView(buffer.buffer).setInt32(1, 7, true);
    new DataView(buffer.buffer).setInt32(5, -2, true);
    expect([...view(buffer.subarray(1), Int32Array)]).toEqual([7, -2]);
  });

  it("names the one that is missing", () => {
    expect(() => column({ n: 0 }, "keys", Int32Array)).toThrow("keys");
  });
});
