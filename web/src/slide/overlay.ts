/** The canvas over the picture. Cells are painted once into squares of the slide; a frame only lays those out. */

import type { Box } from "./grid";
import { detailOf, paint, trace, type Detail, type Scene } from "./paint";

/** What is seen: level-0 pixels of the corner, CSS pixels a level-0 pixel, CSS pixels of the canvas. */
export interface Sight {
  x: number;
  y: number;
  scale: number;
  width: number;
  height: number;
}

interface Square {
  canvas: OffscreenCanvas;
  box: Box;
  dirty: boolean;
  used: number;
}

interface Layer {
  scale: number;
  detail: Detail;
  squares: Map<string, Square>;
}

const SIDE = 512;
const MOST_SQUARES = 96;
/** Milliseconds of a frame that painting may take while something moves, and otherwise. */
const MOVING = 5;
const RESTING = 12;
/** A new magnification is painted anew once it has stood for so long. */
const SETTLED = 90;

export class Overlay {
  private layer: Layer | null = null;
  private before: Layer | null = null;
  private sight: Sight | null = null;
  private scaleSince = 0;
  private movedAt = 0;
  private frames = 0;
  private readonly context: CanvasRenderingContext2D;
  /** Row that is marked; -1 for none. */
  marked = -1;
  shown = true;
  detail: Detail = "outlines";

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly scene: Scene,
    /** Width of a usual cell, level-0 pixels. */
    private readonly usual: number,
  ) {
    this.context = canvas.getContext("2d") as CanvasRenderingContext2D;
  }

  look(sight: Sight): void {
    const now = performance.now();
    if (!this.sight || Math.abs(sight.scale / this.sight.scale - 1) > 1e-6) this.scaleSince = now;
    this.movedAt = now;
    this.sight = sight;
  }

  /** What lies in a box has changed. */
  stain(box: Box): void {
    if (!this.layer) return;
    const size = SIDE / this.layer.scale;
    const margin = 3 / this.layer.scale;
    for (let y = Math.floor((box[1] - margin) / size); y <= Math.floor((box[3] + margin) / size); y++) {
      for (let x = Math.floor((box[0] - margin) / size); x <= Math.floor((box[2] + margin) / size); x++) {
        const square = this.layer.squares.get(`${x}:${y}`);
        if (square) square.dirty = true;
      }
    }
  }

  /** Everything has changed. */
  stainAll(): void {
    this.layer?.squares.forEach((square) => (square.dirty = true));
  }

  /** Box that is seen, level-0 pixels. */
  get box(): Box | null {
    const s = this.sight;
    return s && [s.x, s.y, s.x + s.width / s.scale, s.y + s.height / s.scale];
  }

  /** Draw a frame; whether another one is wanted. */
  frame(): boolean {
    const sight = this.sight;
    if (!sight || !sight.width) return false;
    this.frames++;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(sight.width * ratio);
    const height = Math.round(sight.height * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, width, height);
    if (!this.shown) return false;
    const box = this.box as Box;
    const more = this.prepare(box, sight.scale * ratio, ratio);
    const ready = this.layer && this.complete(this.layer, box);
    if (this.before && ready) this.before = null;
    if (this.before) this.lay(this.before, sight, ratio);
    else if (this.layer) this.lay(this.layer, sight, ratio);
    this.mark(box, sight.scale * ratio, ratio);
    return more || this.before !== null;
  }

  /** Paint what is missing or has changed, as far as the time allows. */
  private prepare(box: Box, scale: number, ratio: number): boolean {
    const now = performance.now();
    const detail = detailOf(this.usual * (scale / ratio), this.scene.grid.about(box));
    this.detail = detail;
    const fits = this.layer && Math.abs(this.layer.scale / scale - 1) < 1e-6 && this.layer.detail === detail;
    if (!fits) {
      if (this.layer && now - this.scaleSince < SETTLED) return true;
      if (!this.before || (this.layer && this.complete(this.layer, box))) this.before = this.layer;
      this.layer = { scale, detail, squares: new Map() };
    }
    const layer = this.layer as Layer;
    const until = now + (now - this.movedAt < 100 ? MOVING : RESTING);
    let more = false;
    for (const [x, y] of places(box, SIDE / scale)) {
      const key = `${x}:${y}`;
      let square = layer.squares.get(key);
      if (square && !square.dirty) {
        square.used = this.frames;
        continue;
      }
      if (performance.now() > until) {
        more = true;
        continue;
      }
      square ??= this.square(layer, key, x, y);
      this.fill(square, layer, ratio);
    }
    this.forget(layer);
    return more;
  }

  private square(layer: Layer, key: string, x: number, y: number): Square {
    const size = SIDE / layer.scale;
    const box: Box = [x * size, y * size, (x + 1) * size, (y + 1) * size];
    const square = { canvas: new OffscreenCanvas(SIDE, SIDE), box, dirty: true, used: this.frames };
    layer.squares.set(key, square);
    return square;
  }

  private fill(square: Square, layer: Layer, ratio: number): void {
    const context = square.canvas.getContext("2d") as unknown as CanvasRenderingContext2D;
    context.clearRect(0, 0, SIDE, SIDE);
    paint(context, this.scene, square.box, layer.scale, layer.detail, ratio, this.usual);
    square.dirty = false;
    square.used = this.frames;
  }

  private complete(layer: Layer, box: Box): boolean {
    return places(box, SIDE / layer.scale).every(([x, y]) => layer.squares.has(`${x}:${y}`));
  }

  private lay(layer: Layer, sight: Sight, ratio: number): void {
    const zoom = (sight.scale * ratio) / layer.scale;
    const side = SIDE * zoom;
    const left = -sight.x * sight.scale * ratio;
    const top = -sight.y * sight.scale * ratio;
    const same = Math.abs(zoom - 1) < 1e-6;
    layer.squares.forEach((square, key) => {
      const [x, y] = key.split(":").map(Number);
      const at = [left + x * side, top + y * side];
      if (at[0] > this.canvas.width || at[1] > this.canvas.height || at[0] < -side || at[1] < -side) return;
      if (same) this.context.drawImage(square.canvas, Math.round(at[0]), Math.round(at[1]));
      else this.context.drawImage(square.canvas, at[0], at[1], side, side);
    });
  }

  private mark(box: Box, scale: number, ratio: number): void {
    const { cells } = this.scene;
    const row = this.marked;
    if (row < 0 || !cells.alive[row]) return;
    const pad = 5 * ratio;
    const [x0, y0, x1, y1] = cells.box.subarray(4 * row, 4 * row + 4);
    this.context.beginPath();
    trace(this.context, this.scene, row, box, scale);
    this.context.lineWidth = 3 * ratio;
    this.context.strokeStyle = "#ffd400";
    this.context.stroke();
    const left = (x0 / 100 - box[0]) * scale - pad;
    const top = (y0 / 100 - box[1]) * scale - pad;
    for (const [style, line] of [["#10151f", 4], ["#ffd400", 2]] as const) {
      this.context.lineWidth = line * ratio;
      this.context.strokeStyle = style;
      this.context.strokeRect(left, top, ((x1 - x0) / 100) * scale + 2 * pad, ((y1 - y0) / 100) * scale + 2 * pad);
    }
  }

  private forget(layer: Layer): void {
    if (layer.squares.size <= MOST_SQUARES) return;
    const oldest = [...layer.squares].sort((a, b) => a[1].used - b[1].used);
    for (const [key] of oldest.slice(0, layer.squares.size - MOST_SQUARES)) layer.squares.delete(key);
  }
}

function places(box: Box, size: number): [number, number][] {
  const found: [number, number][] = [];
  for (let y = Math.floor(box[1] / size); y <= Math.floor(box[3] / size); y++) {
    for (let x = Math.floor(box[0] / size); x <= Math.floor(box[2] / size); x++) found.push([x, y]);
  }
  return found;
}
