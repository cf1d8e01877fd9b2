/** What is known of a slide, and how a message changes it. No socket, no page. */

import { CellTable, type CellColumns } from "./cells";
import { column, rows, view } from "./columns";
import type { CellClass, Counts, Delta, End, Image, Message, Packed, SnapshotPart, Stream } from "./protocol";

export const OUTCOMES = ["analysed", "background", "rejected", "gap", "cancelled"] as const;
export const PENDING = 255;

/** Told which rows have changed while a message is applied. */
export interface Watcher {
  /** Everything known of cells is forgotten. */
  cleared(): void;
  /** A cell stands at a row that is new or holds another one now. */
  entered(row: number): void;
  /** The cell of a row is about to be taken out. */
  leaving(row: number): void;
  /** A row has another class. */
  named(row: number): void;
  /** The slide was opened. */
  opened(image: Image): void;
}

export class SlideState {
  /** Run that what is known belongs to; empty while nothing whole is known. */
  run = "";
  private offered = "";
  seq = 0;
  name = "";
  status = "";
  classes: Record<Stream, CellClass[]> = { rbc: [], wbc: [] };
  image: Image | null = null;
  cores = new Float32Array(0);
  tiles = new Uint8Array(0);
  counts: Counts = {};
  progress: Counts = {};
  end: End | null = null;
  readonly cells = new CellTable();

  constructor(private readonly watcher: Watcher) {}

  /** Whether a message follows what was applied: a delta that does not tells of a change that was missed. */
  follows(message: Message): boolean {
    return message.type !== "delta" || message.first === this.seq + 1;
  }

  /** Apply a message. Contours and density are no part of the state. */
  apply(message: Message): void {
    switch (message.type) {
      case "hello":
        this.offered = message.run;
        this.name = message.name;
        this.status = message.status;
        this.classes = message.classes;
        break;
      case "classes":
        this.classes = message.classes;
        break;
      case "image":
        this.open(message);
        break;
      case "snapshot_begin":
        this.run = "";
        this.forget();
        this.counts = message.counts;
        this.progress = message.progress;
        break;
      case "snapshot_part":
        this.enter((message as SnapshotPart).cells);
        this.endTiles(message.tiles);
        break;
      case "snapshot_end":
      case "resumed":
        this.run = this.offered;
        this.seq = message.seq;
        break;
      case "delta":
        this.change(message);
        break;
      case "end":
        this.end = message;
        this.status = message.status;
        this.counts = message.counts;
        this.progress = message.progress;
        break;
    }
  }

  private open(image: Image): void {
    this.image = image;
    this.cores = view(image.cores, Float32Array);
    if (this.tiles.length !== image.tiles) {
      const before = this.tiles;
      this.tiles = new Uint8Array(image.tiles).fill(PENDING);
      this.tiles.set(before.subarray(0, image.tiles));
    }
    if (this.status === "queued") this.status = "running";
    this.watcher.opened(image);
  }

  private forget(): void {
    this.cells.clear();
    this.tiles.fill(PENDING);
    this.watcher.cleared();
  }

  private change(delta: Delta): void {
    const gone = view(delta.retracted, Int32Array);
    for (let i = 0; i < gone.length; i += 2) {
      const row = this.cells.find(gone[i], gone[i + 1]);
      if (row < 0) continue;
      this.watcher.leaving(row);
      this.cells.remove(gone[i], gone[i + 1]);
    }
    this.enter(delta.added);
    this.label(delta.labelled);
    this.endTiles(delta.tiles);
    this.counts = delta.counts;
    this.progress = delta.progress;
    this.seq = delta.last;
  }

  private enter(group: Packed): void {
    const columns: CellColumns = {
      keys: column(group, "keys", Int32Array),
      kind: column(group, "kind", Uint8Array),
      best: column(group, "best", Int16Array),
      confidence: column(group, "confidence", Uint16Array),
      unknown: column(group, "unknown", Uint8Array),
      box: column(group, "box", Int32Array),
      centre: column(group, "centre", Int32Array),
      clump: column(group, "clump", Int16Array),
      truncated: column(group, "truncated", Uint8Array),
    };
    for (let i = 0; i < rows(group); i++) {
      const before = this.cells.find(columns.keys[2 * i], columns.keys[2 * i + 1]);
      if (before >= 0) this.watcher.leaving(before);
      this.watcher.entered(this.cells.put(columns, i));
    }
  }

  private label(group: Packed): void {
    const keys = column(group, "keys", Int32Array);
    const best = column(group, "best", Int16Array);
    const confidence = column(group, "confidence", Uint16Array);
    const unknown = column(group, "unknown", Uint8Array);
    for (let i = 0; i < rows(group); i++) {
      const row = this.cells.find(keys[2 * i], keys[2 * i + 1]);
      if (row < 0) continue;
      this.cells.best[row] = best[i];
      this.cells.confidence[row] = confidence[i];
      this.cells.unknown[row] = unknown[i];
      this.watcher.named(row);
    }
  }

  private endTiles(group: Packed): void {
    const index = column(group, "index", Int32Array);
    const outcome = column(group, "outcome", Uint8Array);
    const most = index.reduce((a, b) => Math.max(a, b), -1);
    if (most >= this.tiles.length) {
      const wider = new Uint8Array(most + 1).fill(PENDING);
      wider.set(this.tiles);
      this.tiles = wider;
    }
    for (let i = 0; i < rows(group); i++) this.tiles[index[i]] = outcome[i];
  }
}
