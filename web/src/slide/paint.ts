/** Paints the cells of a square of the slide: outlines, dots or density, by how large they appear. */

import type { CellTable } from "../live/cells";
import type { Box, Grid } from "./grid";
import type { Outlines } from "./outlines";
import type { Styles } from "./styles";

export type Detail = "outlines" | "dots" | "density";

const SMALLEST_OUTLINE = 5;
const SMALLEST_DOT = 2.4;
export const MOST_CELLS = 20_000;
/** Side of a square of density, device pixels. */
const BIN = 6;

/** What to draw where a cell of usual size appears `size` screen pixels wide and `seen` cells are in view. */
export function detailOf(size: number, seen: number): Detail {
  if (seen > MOST_CELLS) return "density";
  if (size >= SMALLEST_OUTLINE) return "outlines";
  return size >= SMALLEST_DOT ? "dots" : "density";
}

export interface Scene {
  cells: CellTable;
  grid: Grid;
  outlines: Outlines;
  styles: Styles;
  hidden: ReadonlySet<number>;
}

/** Paint `box` at `scale` device pixels a level-0 pixel; the context's origin is the box's corner. A usual cell is `usual` wide. */
export function paint(
  context: CanvasRenderingContext2D,
  scene: Scene,
  box: Box,
  scale: number,
  detail: Detail,
  line: number,
  usual: number,
): void {
  if (detail === "density") density(context, scene, box, scale, line);
  else if (detail === "dots") dots(context, scene, box, scale);
  else rings(context, scene, box, scale, line, usual);
}

function rowsByStyle(scene: Scene, box: Box): number[][] {
  const groups: number[][] = scene.styles.all.map(() => []);
  const { cells, styles, hidden } = scene;
  const [x0, y0, x1, y1] = box.map((value) => value * 100);
  scene.grid.each(box, (row) => {
    const at = 4 * row;
    if (cells.box[at] > x1 || cells.box[at + 2] < x0 || cells.box[at + 1] > y1 || cells.box[at + 3] < y0) return;
    const style = styles.of(cells, row);
    if (!hidden.has(style)) groups[style].push(row);
  });
  return groups;
}

function rings(
  context: CanvasRenderingContext2D,
  scene: Scene,
  box: Box,
  scale: number,
  line: number,
  usual: number,
): void {
  context.lineJoin = "round";
  rowsByStyle(scene, box).forEach((rows, id) => {
    if (!rows.length) return;
    const style = scene.styles.all[id];
    context.beginPath();
    for (const row of rows) trace(context, scene, row, box, scale);
    context.setLineDash(style.name === "unknown" ? [3 * line, 2 * line] : []);
    const heavy = style.kind === 1 ? 2.2 : style.abnormal ? 1.9 : 1.5;
    context.lineWidth = line * heavy * Math.min(1, Math.max(0.55, (usual * scale) / (26 * line)));
    context.strokeStyle = style.css;
    context.stroke();
  });
  context.setLineDash([]);
}

/** Add a cell's outline to the path; an ellipse within its box where the outline is not here. */
export function trace(context: CanvasRenderingContext2D, scene: Scene, row: number, box: Box, scale: number): void {
  const { cells, outlines } = scene;
  const left = (cells.box[4 * row] / 100 - box[0]) * scale;
  const top = (cells.box[4 * row + 1] / 100 - box[1]) * scale;
  const ring = outlines.get(row);
  if (ring && ring.length >= 6) {
    const step = outlines.unit * scale;
    // What lies closer together than a pixel is left out.
    const skip = ring.length > 24 && step * Math.abs(ring[2] - ring[0] + ring[3] - ring[1]) < 1.2 ? 4 : 2;
    context.moveTo(left + ring[0] * step, top + ring[1] * step);
    for (let i = skip; i < ring.length; i += skip) context.lineTo(left + ring[i] * step, top + ring[i + 1] * step);
    context.closePath();
    return;
  }
  const width = ((cells.box[4 * row + 2] - cells.box[4 * row]) / 200) * scale;
  const height = ((cells.box[4 * row + 3] - cells.box[4 * row + 1]) / 200) * scale;
  context.moveTo(left + 2 * width, top + height);
  context.ellipse(left + width, top + height, width, height, 0, 0, 2 * Math.PI);
}

function dots(context: CanvasRenderingContext2D, scene: Scene, box: Box, scale: number): void {
  const { cells } = scene;
  rowsByStyle(scene, box).forEach((rows, id) => {
    const style = scene.styles.all[id];
    if (!rows.length) return;
    context.beginPath();
    for (const row of rows) {
      const radius = Math.max(((cells.box[4 * row + 2] - cells.box[4 * row]) / 200) * scale * 0.8, 1);
      const x = (cells.centre[2 * row] / 100 - box[0]) * scale;
      const y = (cells.centre[2 * row + 1] / 100 - box[1]) * scale;
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.fillStyle = style.css;
    context.globalAlpha = style.kind === 1 || style.abnormal ? 0.9 : 0.65;
    context.fill();
    context.globalAlpha = 1;
  });
}

/** Squares in the mean colour of the cells within, the fuller the stronger; white cells as dots above them. */
function density(context: CanvasRenderingContext2D, scene: Scene, box: Box, scale: number, line: number): void {
  const { cells, styles, hidden } = scene;
  const side = BIN / scale;
  const columns = Math.ceil((box[2] - box[0]) / side);
  const lines = Math.ceil((box[3] - box[1]) / side);
  const sums = new Float32Array(columns * lines * 4);
  const white: number[] = [];
  scene.grid.each(box, (row) => {
    const style = styles.of(cells, row);
    if (hidden.has(style)) return;
    const x = Math.floor((cells.centre[2 * row] / 100 - box[0]) / side);
    const y = Math.floor((cells.centre[2 * row + 1] / 100 - box[1]) / side);
    if (cells.kind[row] === 1) white.push(row);
    if (x < 0 || y < 0 || x >= columns || y >= lines) return;
    const { colour } = styles.all[style];
    const at = 4 * (y * columns + x);
    sums[at] += colour[0];
    sums[at + 1] += colour[1];
    sums[at + 2] += colour[2];
    sums[at + 3] += 1;
  });
  const picture = context.createImageData(columns, lines);
  for (let at = 0; at < sums.length; at += 4) {
    const n = sums[at + 3];
    if (!n) continue;
    picture.data[at] = sums[at] / n;
    picture.data[at + 1] = sums[at + 1] / n;
    picture.data[at + 2] = sums[at + 2] / n;
    picture.data[at + 3] = 255 * Math.min(0.35 + 0.2 * n, 0.85);
  }
  const small = new OffscreenCanvas(columns, lines);
  small.getContext("2d")?.putImageData(picture, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, columns * BIN, lines * BIN);
  for (const row of white) {
    const x = (cells.centre[2 * row] / 100 - box[0]) * scale;
    const y = (cells.centre[2 * row + 1] / 100 - box[1]) * scale;
    context.beginPath();
    context.arc(x, y, 3 * line, 0, 2 * Math.PI);
    context.fillStyle = styles.all[styles.of(cells, row)].css;
    context.fill();
    context.lineWidth = line;
    context.strokeStyle = "#fff";
    context.stroke();
  }
}
