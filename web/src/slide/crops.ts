/** Pictures of single cells, cut from the viewer's own tiles; the newest tiles are kept decoded. */

import { PREFIX, type Client } from "../api/client";

export interface Pyramid {
  width: number;
  height: number;
  tile: number;
  overlap: number;
}

const KEPT = 160;

/** The Deep Zoom description of a slide. */
export async function pyramid(client: Client, id: string): Promise<Pyramid> {
  const text = await (await client.fetch(`slides/${id}/image.dzi`)).text();
  const image = new DOMParser().parseFromString(text, "application/xml").documentElement;
  const size = image.getElementsByTagName("Size")[0];
  const of = (element: Element, name: string): number => Number(element.getAttribute(name));
  return { width: of(size, "Width"), height: of(size, "Height"), tile: of(image, "TileSize"), overlap: of(image, "Overlap") };
}

export class Crops {
  private readonly tiles = new Map<string, Promise<ImageBitmap>>();
  private readonly top: number;

  constructor(
    private readonly client: Client,
    private readonly id: string,
    private readonly shape: Pyramid,
  ) {
    this.top = Math.ceil(Math.log2(Math.max(shape.width, shape.height, 1)));
  }

  /** Draw a square of the slide, level-0 pixels, over a whole canvas. */
  async draw(canvas: HTMLCanvasElement, x: number, y: number, side: number, signal: AbortSignal): Promise<void> {
    const context = canvas.getContext("2d");
    if (!context) return;
    const down = Math.max(0, Math.floor(Math.log2(side / canvas.width)));
    const level = Math.max(this.top - down, 0);
    const step = 2 ** (this.top - level);
    const { tile, overlap, width, height } = this.shape;
    const zoom = (canvas.width / side) * step;
    const [left, upper] = [x / step, y / step];
    const [right, lower] = [Math.min((x + side) / step, width / step - 0.01), Math.min((y + side) / step, height / step - 0.01)];
    const wanted: Promise<[ImageBitmap, number, number]>[] = [];
    for (let row = Math.max(0, Math.floor(upper / tile)); row <= Math.floor(lower / tile); row++) {
      for (let column = Math.max(0, Math.floor(left / tile)); column <= Math.floor(right / tile); column++) {
        const corner = [column * tile - (column ? overlap : 0), row * tile - (row ? overlap : 0)];
        wanted.push(this.tile(level, column, row).then((picture) => [picture, corner[0] - left, corner[1] - upper]));
      }
    }
    // Drawn when all of it is here: a cell that is half there looks like a cut one.
    const pictures = await Promise.all(wanted);
    if (signal.aborted) return;
    context.fillStyle = "#e9e6ea";
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (const [picture, px, py] of pictures) {
      context.drawImage(picture, px * zoom, py * zoom, picture.width * zoom, picture.height * zoom);
    }
  }

  private tile(level: number, column: number, row: number): Promise<ImageBitmap> {
    const key = `${level}/${column}_${row}`;
    let found = this.tiles.get(key);
    if (!found) {
      found = this.client
        .fetch(`${PREFIX}/slides/${this.id}/image_files/${key}.jpeg`)
        .then((answer) => answer.blob())
        .then((blob) => createImageBitmap(blob));
      found.catch(() => this.tiles.delete(key));
    }
    this.tiles.delete(key);
    this.tiles.set(key, found);
    if (this.tiles.size > KEPT) this.tiles.delete(this.tiles.keys().next().value as string);
    return found;
  }
}
