/** A slide as the page shows it: the state that messages make, what is drawn of it, and figures that follow its counts. */

import type { Client } from "../api/client";
import { PREFIX } from "../api/client";
import type { Figures, Report, SlideInfo } from "../api/types";
import { Connection, type Link } from "../live/connection";
import type { Contours, Counts, End, Image, Message } from "../live/protocol";
import { SlideState, type Watcher } from "../live/state";
import { Asking } from "./asking";
import { endedTiles, Eta } from "./eta";
import { Grid } from "./grid";
import type { Overlay } from "./overlay";
import { Outlines } from "./outlines";
import type { Scene } from "./paint";
import { readCells, readOutlines } from "./past";
import { eyedStyles, Styles } from "./styles";

const SHOW_EVERY = 120;
const FIGURES_EVERY = 1000;
const LOOK_EVERY = 300;
/** A red cell is 7.5 µm wide: 30 canonical pixels of 0.25 µm. */
const USUAL = 30;
/** Side of a square of the grid, canonical pixels. */
const SQUARE = 256;

export class LiveSlide implements Watcher {
  link = $state<Link>("connecting");
  retryAt = $state<number | null>(null);
  reason = $state("");
  heardAt = $state(0);
  name = $state("");
  status = $state("");
  counts = $state.raw<Counts>({});
  progress = $state.raw<Counts>({});
  end = $state.raw<End | null>(null);
  info = $state.raw<SlideInfo | null>(null);
  figures = $state.raw<Figures | null>(null);
  report = $state.raw<Report | null>(null);
  scene = $state.raw<Scene | null>(null);
  image = $state.raw<Pick<Image, "width" | "height" | "mpp" | "scale" | "scale_source"> | null>(null);
  styles = $state.raw<Styles | null>(null);
  /** Grows whenever cells or tiles have changed. */
  version = $state(0);
  hidden = $state.raw<ReadonlySet<number>>(new Set());
  selected = $state(-1);
  /** Styles of the cells that flags and candidates count: they come first in the gallery. */
  readonly eyed: ReadonlySet<number> = $derived.by(() => eyedStyles(this.figures, this.styles));

  readonly state = new SlideState(this);
  readonly outlines = new Outlines(this.state.cells);
  readonly asking: Asking;
  readonly eta = new Eta();
  overlay: Overlay | null = null;
  wake: () => void = () => undefined;
  private grid: Grid | null = null;
  private readonly connection: Connection;
  private bulk = false;
  private timer = 0;
  private figuresAt = 0;
  private figuresTimer = 0;
  private closed = false;

  constructor(
    private readonly client: Client,
    readonly id: string,
  ) {
    this.asking = new Asking(
      (message) => this.connection.send(message),
      (box) => this.grid?.about(box) ?? 0,
    );
    const url = `${location.origin.replace(/^http/, "ws")}${PREFIX}/slides/${id}/live`;
    this.connection = new Connection(url, {
      ticket: () => client.ticket(id),
      resume: () => ({ run: this.state.run, seq: this.state.seq }),
      take: (message) => this.take(message),
      link: (link, retryAt, reason) => this.linked(link, retryAt, reason),
    });
    void this.look();
  }

  /** Whether there is a picture to ask for. */
  get viewable(): boolean {
    return this.scene !== null && Boolean(this.info?.width);
  }

  get usual(): number {
    return USUAL * (this.image?.scale ?? 1);
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
    window.clearTimeout(this.figuresTimer);
    this.connection.close();
  }

  retry(): void {
    this.connection.retry();
  }

  /** Show or hide a style's cells. */
  toggle(style: number): void {
    const hidden = new Set(this.hidden);
    if (!hidden.delete(style)) hidden.add(style);
    this.hidden = hidden;
    if (this.scene) this.scene.hidden = hidden;
    this.overlay?.stainAll();
    this.wake();
  }

  select(row: number): void {
    this.selected = row;
    if (this.overlay) this.overlay.marked = row;
    this.wake();
  }

  /** Ask anew where the slide stands. */
  async look(): Promise<void> {
    this.info = await this.client.slide(this.id).catch(() => this.info);
  }

  // What the connection tells.

  private linked(link: Link, retryAt: number | null, reason: string): void {
    this.link = link;
    this.retryAt = retryAt;
    this.reason = reason;
    this.asking.reset();
    this.wake();
  }

  private take(message: Message): void {
    this.heardAt = Date.now();
    if (message.type === "heartbeat") return;
    if (message.type === "contours" || message.type === "density") {
      this.outlined(message);
      return;
    }
    if (!this.state.follows(message)) {
      this.connection.again();
      return;
    }
    this.bulk = message.type === "snapshot_part";
    const run = this.state.run;
    this.state.apply(message);
    if (this.bulk) this.overlay?.stainAll();
    this.bulk = false;
    if (message.type === "classes") this.restyle();
    if (message.type === "hello") this.greeted(run !== "" && run !== message.run);
    this.show();
    if (message.type === "end") void this.over(message);
    this.wake();
  }

  private greeted(another: boolean): void {
    this.restyle();
    if (another) this.report = this.figures = this.end = this.state.end = null;
    void this.look();
  }

  private restyle(): void {
    this.styles = new Styles(this.state.classes);
    if (this.scene) this.scene.styles = this.styles;
    this.overlay?.stainAll();
  }

  private outlined(message: Contours | { type: "density"; view: number; seq: number }): void {
    if (!this.asking.answered(message) && message.type === "density") return;
    if (message.type !== "contours") return;
    for (const row of this.outlines.take(message)) this.stain(row);
    const seen = this.overlay?.box;
    const { box } = this.state.cells;
    const inSight = (row: number): boolean =>
      !!seen && box[4 * row] / 100 < seen[2] && box[4 * row + 2] / 100 > seen[0] && box[4 * row + 1] / 100 < seen[3];
    if (this.outlines.trim(inSight)) this.asking.reset();
    this.wake();
  }

  private async over(end: End): Promise<void> {
    window.clearTimeout(this.figuresTimer);
    await this.look();
    if (end.url) this.report = await this.client.reportHead(this.id).catch(() => null);
    if (!this.state.cells.count && (end.counts.cells ?? 0) > 0) await this.recall();
    await this.ask();
    if (this.scene && end.url) {
      await readOutlines(this.client, this.id, this.state, this.outlines, (rows) => {
        rows.forEach((row) => this.stain(row));
        this.wake();
      }).catch(() => undefined);
    }
  }

  /** The cells of a slide that ended before the service's last start. */
  private async recall(): Promise<void> {
    const { info, report } = this;
    if (!info?.width || !info.height || !report) return;
    const { microns_per_pixel: mpp, scale_source } = report.quality_metrics.scale;
    this.opened({ width: info.width, height: info.height, mpp, scale: 0.25 / mpp, scale_source } as Image);
    this.bulk = true;
    await readCells(this.client, this.id, this.state, this).catch(() => undefined);
    this.bulk = false;
    this.overlay?.stainAll();
    this.show();
    this.wake();
  }

  // What the state tells while it changes.

  opened(image: Image): void {
    this.image = image;
    if (this.grid || this.closed) return;
    this.grid = new Grid(this.state.cells, image.width, image.height, SQUARE * image.scale);
    const styles = this.styles ?? new Styles(this.state.classes);
    this.scene = { cells: this.state.cells, grid: this.grid, outlines: this.outlines, styles, hidden: this.hidden };
    this.styles = styles;
    void this.lookUntilOpened();
  }

  /** The picture can be asked for once the service has noted what it opened. */
  private async lookUntilOpened(): Promise<void> {
    while (!this.closed && !this.info?.width) {
      await this.look();
      if (!this.info?.width) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
    }
  }

  cleared(): void {
    this.grid?.clear();
    this.outlines.clear();
    this.asking.reset();
    this.overlay?.stainAll();
    this.select(-1);
  }

  entered(row: number): void {
    this.outlines.forget(row);
    this.grid?.add(row);
    const { centre } = this.state.cells;
    this.asking.added(centre[2 * row] / 100, centre[2 * row + 1] / 100);
    this.stain(row);
  }

  leaving(row: number): void {
    this.stain(row);
    this.grid?.remove(row);
    this.outlines.forget(row);
    if (row === this.selected) this.select(-1);
  }

  named(row: number): void {
    this.stain(row);
  }

  private stain(row: number): void {
    if (this.bulk) return;
    const { box } = this.state.cells;
    this.overlay?.stain([box[4 * row] / 100, box[4 * row + 1] / 100, box[4 * row + 2] / 100, box[4 * row + 3] / 100]);
  }

  // What the page is shown, a few times a second.

  private show(): void {
    if (this.timer || this.closed) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      const { state } = this;
      this.name = state.name;
      this.status = state.status;
      if (state.counts !== this.counts && !state.end) this.askSoon();
      this.counts = state.counts;
      this.progress = state.progress;
      this.end = state.end;
      this.eta.note(Date.now(), endedTiles(state.progress));
      this.version++;
    }, SHOW_EVERY);
  }

  private askSoon(): void {
    if (this.figuresTimer || this.closed) return;
    const wait = Math.max(0, this.figuresAt + FIGURES_EVERY - Date.now());
    this.figuresTimer = window.setTimeout(() => void this.ask(), wait);
  }

  private async ask(): Promise<void> {
    this.figuresAt = Date.now();
    this.figures = await this.client.figures(this.id).catch(() => this.figures);
    this.figuresTimer = 0;
  }
}
