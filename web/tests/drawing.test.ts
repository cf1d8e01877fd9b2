import { describe, expect, it } from "vitest";
import type { Figures } from "../src/api/types";
import { CellTable, type CellColumns } from "../src/live/cells";
import { Asking } from "../src/slide/asking";
import { Eta } from "../src/slide/eta";
import { chosen } from "../src/slide/gallery";
import { Grid } from "../src/slide/grid";
import { detailOf } from "../src/slide/paint";
import { eyedStyles, Styles } from "../src/slide/styles";

function one(index: number, x: number, y: number, size: number, more: Partial<Record<keyof CellColumns, number>> = {}): CellColumns {
  const box = [x - size / 2, y - size / 2, x + size / 2, y + size / 2].map((value) => value * 100);
  return {
    keys: Int32Array.of(0, index),
    kind: Uint8Array.of(more.kind ?? 0),
    best: Int16Array.of(more.best ?? -1),
    confidence: Uint16Array.of(more.confidence ?? 0),
    unknown: Uint8Array.of(more.unknown ?? 0),
    box: Int32Array.from(box),
    centre: Int32Array.of(x * 100, y * 100),
    clump: Int16Array.of(more.clump ?? 0),
    truncated: Uint8Array.of(0),
  };
}

const CLASSES = {
  rbc: [{ name: "normal", title: "Normal", colour: [1, 2, 3] as [number, number, number], abnormal: false }],
  wbc: [{ name: "blast", title: "Blast", colour: [4, 5, 6] as [number, number, number], abnormal: true }],
};

describe("the grid", () => {
  it("finds every cell that meets a box, as a walk over all does", () => {
    const cells = new CellTable();
    const grid = new Grid(cells, 4000, 3000, 256);
    let seed = 7;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    for (let i = 0; i < 3000; i++) {
      const row = cells.put(one(i, random() * 4000, random() * 3000, 10 + random() * 90), 0);
      grid.add(row);
      if (i % 5 === 0) {
        grid.remove(row);
        cells.remove(0, i);
      }
    }
    const meets = (row: number, [x0, y0, x1, y1]: number[]): boolean =>
      cells.box[4 * row] / 100 <= x1 && cells.box[4 * row + 2] / 100 >= x0 && cells.box[4 * row + 1] / 100 <= y1 && cells.box[4 * row + 3] / 100 >= y0;
    for (let i = 0; i < 50; i++) {
      const [x, y] = [random() * 4000, random() * 3000];
      const box: [number, number, number, number] = [x, y, x + random() * 900, y + random() * 900];
      const found = new Set<number>();
      grid.each(box, (row) => meets(row, box) && found.add(row));
      const wanted = [...cells.inOrder()].filter((row) => meets(row, box));
      expect(found.size).toBe(wanted.length);
      expect(wanted.every((row) => found.has(row))).toBe(true);
    }
    expect(grid.about([0, 0, 4096, 3072])).toBe(cells.count);
  });

  it("picks the smaller of two cells that lie on each other", () => {
    const cells = new CellTable();
    const grid = new Grid(cells, 500, 500, 64);
    grid.add(cells.put(one(0, 100, 100, 80), 0));
    const small = cells.put(one(1, 110, 100, 20), 0);
    grid.add(small);
    expect(grid.at(112, 101)).toBe(small);
    expect(grid.at(400, 400)).toBe(-1);
  });
});

describe("detail", () => {
  it("falls with the size of a cell on the screen, and where too many are in view", () => {
    expect(detailOf(30, 100)).toBe("outlines");
    expect(detailOf(3, 5000)).toBe("dots");
    expect(detailOf(1, 5000)).toBe("density");
    expect(detailOf(30, 20_001)).toBe("density");
  });
});

describe("styles and the gallery", () => {
  const styles = new Styles(CLASSES);
  const cells = new CellTable();
  const rows = [
    one(0, 1, 1, 1, { kind: 1, best: 0, confidence: 9000 }),
    one(1, 1, 1, 1, { kind: 1, best: 0, confidence: 6000, unknown: 1 }),
    one(2, 1, 1, 1, { kind: 1, best: 0, confidence: 9500 }),
    one(3, 1, 1, 1, { kind: 1 }),
    one(4, 1, 1, 1, { kind: 0, clump: 3 }),
    one(5, 1, 1, 1, { kind: 2 }),
  ].map((columns) => cells.put(columns, 0));

  it("gives a cell the style of its class, or of what takes its place", () => {
    const names = rows.map((row) => styles.all[styles.of(cells, row)].name);
    expect(names).toEqual(["blast", "unknown", "blast", "unclassified", "clump", "platelet"]);
  });

  it("shows all as they lie, and the least sure first on a wish", () => {
    const order = (uncertainFirst: boolean): number[] => [...chosen(cells, styles, { kind: 1, style: -1, uncertainFirst })];
    expect(order(false)).toEqual(rows.slice(0, 4));
    expect(order(true)).toEqual([rows[3], rows[1], rows[0], rows[2]]);
  });

  it("puts what is to be looked at before the others, the surest first, unless the least sure are wished for", () => {
    const eyed = new Set([styles.named(1, "blast")?.id ?? -1]);
    const order = (uncertainFirst: boolean): number[] => [
      ...chosen(cells, styles, { kind: 1, style: -1, uncertainFirst }, eyed),
    ];
    expect(order(false)).toEqual([rows[2], rows[0], rows[1], rows[3]]);
    expect(order(true)).toEqual([rows[3], rows[1], rows[0], rows[2]]);
  });

  it("is told by flags and candidates which cells to look at", () => {
    const part = (place: string, classes: string[]) => ({ flags: [], candidates: [], [place]: [{ classes }] });
    const figures = { red: part("flags", ["blast"]), white: part("candidates", ["blast"]) } as unknown as Figures;
    expect([...eyedStyles(figures, styles)]).toEqual([styles.named(1, "blast")?.id]);
    expect(eyedStyles(null, styles).size).toBe(0);
  });

  it("keeps to one class, the surest first", () => {
    const blast = styles.named(1, "blast")?.id ?? -1;
    expect([...chosen(cells, styles, { kind: 1, style: blast, uncertainFirst: false })]).toEqual([rows[2], rows[0]]);
  });
});

describe("asking for outlines", () => {
  function asking(many = 0): { ask: Asking; sent: Record<string, unknown>[] } {
    const sent: Record<string, unknown>[] = [];
    return { ask: new Asking((message) => sent.push(message) > 0, () => many), sent };
  }

  it("asks for more than is seen, once, and again when that is left", () => {
    const { ask, sent } = asking();
    ask.look([100, 100, 200, 200], 1, 1000);
    ask.look([110, 100, 210, 200], 1, 2000);
    expect(sent.map((message) => message.box)).toEqual([[65, 65, 235, 235]]);
    ask.look([300, 100, 400, 200], 0.25, 3000);
    expect(sent[1]).toMatchObject({ view: 2, level: 2, box: [265, 65, 435, 235] });
  });

  it("asks for no more than is seen where cells are many", () => {
    const { ask, sent } = asking(50_000);
    ask.look([100, 100, 200, 200], 1, 1000);
    expect(sent[0].box).toEqual([100, 100, 200, 200]);
  });

  it("goes on from the first part's change for cells that came since", () => {
    const { ask, sent } = asking();
    ask.look([0, 0, 100, 100], 1, 1000);
    const part = { type: "contours" as const, unit: 1, n: 0, keys: new Uint8Array(), starts: new Uint8Array(), vertices: new Uint8Array() };
    expect(ask.answered({ ...part, view: 9, seq: 3, more: false })).toBe(false);
    ask.answered({ ...part, view: 1, seq: 4, more: true });
    ask.added(50, 50);
    ask.look([0, 0, 100, 100], 1, 2000);
    expect(sent).toHaveLength(1);
    ask.answered({ ...part, view: 1, seq: 6, more: false });
    ask.look([0, 0, 100, 100], 1, 3000);
    expect(sent[1]).toMatchObject({ view: 2, since: 4 });
  });
});

describe("time left", () => {
  it("follows the rate of the tiles, and says nothing while it knows too little", () => {
    const eta = new Eta();
    eta.note(0, 1);
    eta.note(1000, 2);
    expect(eta.left(10, 1000)).toBeNull();
    eta.note(2000, 3);
    expect(eta.left(10, 2000)).toBeCloseTo(7);
    expect(eta.left(10, 4000)).toBeCloseTo(5);
  });

  it("is there by the fifth tile, whenever the page was opened and however many end together", () => {
    const [late, together] = [new Eta(), new Eta()];
    late.note(0, 4);
    late.note(1000, 5);
    expect(late.left(10, 1000)).toBeCloseTo(5);
    together.note(0, 0);
    together.note(5000, 5);
    expect(together.left(10, 5000)).toBeCloseTo(5);
  });
});
