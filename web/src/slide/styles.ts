/** How cells look: a style for each class, and for cells that have none. The same colours as the report's overlay. */

import type { Figures } from "../api/types";
import type { CellTable } from "../live/cells";
import type { CellClass, Counts, Stream } from "../live/protocol";

export const KINDS = ["rbc", "wbc", "platelet"] as const;
export const KIND_TITLES = ["Red cells", "White cells", "Platelets"] as const;

export interface Style {
  id: number;
  kind: number;
  name: string;
  title: string;
  colour: [number, number, number];
  css: string;
  abnormal: boolean;
  /** Key of its count in the protocol's `counts`; empty where it has none. */
  count: string;
}

const GREY: [number, number, number] = [96, 106, 122];
const DARK: [number, number, number] = [30, 34, 42];
const PLATELET: [number, number, number] = [230, 160, 0];

export class Styles {
  readonly all: Style[] = [];
  private readonly first: Record<Stream, number>;
  private readonly byName = new Map<string, Style>();

  constructor(classes: Record<Stream, CellClass[]>) {
    const firstOf = (stream: Stream, kind: number): number => {
      const first = this.all.length;
      for (const c of classes[stream]) this.add(kind, c.name, c.title, c.colour, c.abnormal, `${stream}/${c.name}`);
      this.add(kind, "unknown", "Unknown", GREY, false, `${stream}/unknown`);
      this.add(kind, "unclassified", "Not yet named", GREY, false, "");
      this.add(kind, "clump", "Clump", DARK, false, "");
      return first;
    };
    this.first = { wbc: firstOf("wbc", 1), rbc: firstOf("rbc", 0) };
    this.add(2, "platelet", "Platelet", PLATELET, false, "platelet");
    this.lengths = { rbc: classes.rbc.length, wbc: classes.wbc.length };
  }

  private readonly lengths: Record<Stream, number>;

  /** Style of the cell at a row. */
  of(cells: CellTable, row: number): number {
    const kind = cells.kind[row];
    if (kind === 2) return this.all.length - 1;
    const stream: Stream = kind === 1 ? "wbc" : "rbc";
    const first = this.first[stream];
    const classes = this.lengths[stream];
    if (cells.clump[row] > 0) return first + classes + 2;
    if (cells.best[row] < 0) return first + classes + 1;
    return cells.unknown[row] ? first + classes : first + cells.best[row];
  }

  named(kind: number, name: string): Style | undefined {
    return this.byName.get(`${kind}/${name}`);
  }

  /** Title of the best class of a row, for unknown cells too; empty without one. */
  bestTitle(cells: CellTable, row: number): string {
    const stream: Stream = cells.kind[row] === 1 ? "wbc" : "rbc";
    const best = cells.best[row];
    return cells.kind[row] === 2 || best < 0 ? "" : this.all[this.first[stream] + best].title;
  }

  /** Styles of a kind that occur in counts, the most frequent first. */
  counted(kind: number, counts: Counts): { style: Style; count: number }[] {
    return this.all
      .filter((style) => style.kind === kind && style.count !== "" && (counts[style.count] ?? 0) > 0)
      .map((style) => ({ style, count: counts[style.count] }))
      .sort((a, b) => b.count - a.count);
  }

  private add(
    kind: number,
    name: string,
    title: string,
    colour: [number, number, number],
    abnormal: boolean,
    count: string,
  ): void {
    const css = `rgb(${colour.join(",")})`;
    const style = { id: this.all.length, kind, name, title, colour, css, abnormal, count };
    this.all.push(style);
    this.byName.set(`${kind}/${name}`, style);
  }
}

/** Styles whose cells flags and candidates ask a person to look at. */
export function eyedStyles(figures: Pick<Figures, "red" | "white"> | null, styles: Styles | null): ReadonlySet<number> {
  if (!figures || !styles) return new Set();
  const parts = [figures.red, figures.white].entries();
  const found = [...parts].flatMap(([kind, { flags, candidates }]) =>
    [...flags, ...candidates].flatMap(({ classes }) => classes.flatMap((name) => styles.named(kind, name)?.id ?? [])),
  );
  return new Set(found);
}
