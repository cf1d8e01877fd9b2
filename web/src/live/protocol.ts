/** Messages of hema.live.v1 as they come off the wire (docs/live-protocol.md). */

export const PROTOCOL = "hema.live.v1";

export type Counts = Record<string, number>;
export type Packed = Record<string, Uint8Array | number>;
export type Stream = "rbc" | "wbc";

export interface CellClass {
  name: string;
  title: string;
  colour: [number, number, number];
  abnormal: boolean;
}

export interface Hello {
  type: "hello";
  slide: string;
  name: string;
  run: string;
  seq: number;
  status: string;
  classes: Record<Stream, CellClass[]>;
}

export interface Image {
  type: "image";
  width: number;
  height: number;
  mpp: number;
  scale_source: string;
  scale: number;
  tiles: number;
  columns: number;
  rows: number;
  cores: Uint8Array;
}

/** Takes the place of the classes of `hello`: a site has some of its own. */
export interface Classes {
  type: "classes";
  classes: Record<Stream, CellClass[]>;
}

export interface SnapshotBegin {
  type: "snapshot_begin";
  seq: number;
  counts: Counts;
  progress: Counts;
}

export interface SnapshotPart {
  type: "snapshot_part";
  cells: Packed;
  tiles: Packed;
}

export interface Delta {
  type: "delta";
  first: number;
  last: number;
  retracted: Uint8Array;
  added: Packed;
  labelled: Packed;
  tiles: Packed;
  counts: Counts;
  progress: Counts;
}

export interface Contours {
  type: "contours";
  view: number;
  seq: number;
  more: boolean;
  unit: number;
  n: number;
  keys: Uint8Array;
  starts: Uint8Array;
  vertices: Uint8Array;
}

export interface End {
  type: "end";
  seq: number;
  status: string;
  url: string | null;
  sha256: string | null;
  counts: Counts;
  progress: Counts;
}

export type Message =
  | Hello
  | Image
  | Classes
  | SnapshotBegin
  | SnapshotPart
  | { type: "snapshot_end"; seq: number }
  | { type: "resumed"; seq: number }
  | Delta
  | Contours
  | { type: "density"; view: number; seq: number }
  | { type: "heartbeat"; seq: number }
  | End
  | { type: "error"; code: string; message: string };

const FREE = new Set(["hello", "heartbeat", "error"]);

/** Whether a message costs one credit. */
export function charged(message: Message): boolean {
  return !FREE.has(message.type);
}
