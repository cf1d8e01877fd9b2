/** What a slide that ended left behind: cells from report.json, outlines from cells.geojson, read as they stream in. */

import type { Client } from "../api/client";
import { lines } from "../api/stream";
import type { CellColumns } from "../live/cells";
import type { CellClass, Stream } from "../live/protocol";
import type { SlideState, Watcher } from "../live/state";
import type { Outlines } from "./outlines";

const KINDS = ["rbc", "wbc", "platelet"];
const MOST_BYTES = 600e6;
/** Steps of outlines read from GeoJSON, level-0 pixels. */
export const UNIT = 0.1;

interface Detection {
  key: [number, number];
  type: string;
  classification: string | null;
  confidence: number | null;
  unknown: boolean;
  bbox: [number, number, number, number];
  centroid: [number, number];
  truncated: boolean;
  clump: number;
}

/** Enter the cells of a report; the service holds them in memory no longer. */
export async function readCells(client: Client, id: string, state: SlideState, watcher: Watcher): Promise<void> {
  const position = (stream: Stream): Map<string, number> =>
    new Map(state.classes[stream].map((c: CellClass, i) => [c.name, i]));
  const positions = { rbc: position("rbc"), wbc: position("wbc") };
  let within = false;
  for await (const line of lines(await client.fetch(`slides/${id}/report`))) {
    if (line.startsWith('"cell_detections"')) within = true;
    else if (within && line.startsWith("]")) return;
    else if (within && line.startsWith("{")) {
      const cell = JSON.parse(line) as Detection;
      const best = cell.classification === null ? -1 : (positions[cell.type as Stream]?.get(cell.classification) ?? -1);
      watcher.entered(state.cells.put(columns(cell, best), 0));
    }
  }
}

function columns(cell: Detection, best: number): CellColumns {
  const hundredths = (values: number[]): Int32Array => Int32Array.from(values, (value) => Math.round(value * 100));
  return {
    keys: Int32Array.from(cell.key),
    kind: Uint8Array.of(KINDS.indexOf(cell.type)),
    best: Int16Array.of(best),
    confidence: Uint16Array.of(Math.round((cell.confidence ?? 0) * 10_000)),
    unknown: Uint8Array.of(cell.unknown ? 1 : 0),
    box: hundredths(cell.bbox),
    centre: hundredths(cell.centroid),
    clump: Int16Array.of(cell.clump),
    truncated: Uint8Array.of(cell.truncated ? 1 : 0),
  };
}

/** Read the outlines that are not here yet; cells lie in the file in the order of their keys. */
export async function readOutlines(
  client: Client,
  id: string,
  state: SlideState,
  outlines: Outlines,
  came: (rows: number[]) => void,
): Promise<void> {
  const artefact = (await client.artefacts(id)).find((found) => found.name === "cells.geojson");
  if (!artefact || artefact.bytes > MOST_BYTES) return;
  const order = state.cells.inOrder();
  if (outlines.empty) outlines.unit = UNIT;
  let n = 0;
  let rows: number[] = [];
  for await (const line of lines(await client.fetch(artefact.url))) {
    const from = line.indexOf('"coordinates":');
    if (from < 0 || n >= order.length) continue;
    const row = order[n++];
    if (outlines.get(row)) continue;
    const ring = (JSON.parse(line.slice(from + 14, line.indexOf("]]]", from) + 3)) as [number, number][][])[0];
    outlines.set(row, steps(ring, state.cells.box[4 * row] / 100, state.cells.box[4 * row + 1] / 100, outlines.unit));
    rows.push(row);
    if (rows.length === 2000) {
      came(rows);
      rows = [];
    }
  }
  came(rows);
}

function steps(ring: [number, number][], x: number, y: number, unit: number): Int16Array {
  const made = new Int16Array(2 * Math.max(ring.length - 1, 0));
  for (let i = 0; i < ring.length - 1; i++) {
    made[2 * i] = Math.round((ring[i][0] - x) / unit);
    made[2 * i + 1] = Math.round((ring[i][1] - y) / unit);
  }
  return made;
}
