/** A session in which a person names the most telling cells of a slide, from the first question to the switch. */

import type { Client } from "../api/client";
import type { GivenName, SiteInfo, TellingCell } from "../api/types";
import { keyed, type Named } from "./keycaps";

export type Phase = "opening" | "site" | "naming" | "learning" | "judged" | "on" | "empty" | "failed";
/** A cell's name; null for one that the person cannot tell. */
type Given = string | null;

export const WANTED = 25;
/** Named cells from which on learning is worth a try. */
export const LEAST = 6;

export class NamingSession {
  phase = $state<Phase>("opening");
  sites = $state.raw<SiteInfo[]>([]);
  site = $state("");
  fault = $state("");
  cells = $state.raw<TellingCell[]>([]);
  names = $state.raw<Named[]>([]);
  given = $state.raw<Given[]>([]);
  /** Whether the cell's picture is drawn: nobody names what is not seen. */
  seen = $state(false);
  hinted = $state(false);
  /** The version that was learnt, or that is on. */
  result = $state.raw<SiteInfo | null>(null);
  /** Seconds that cells were before the person's eyes. */
  seconds = $state(0);

  constructor(
    private readonly client: Client,
    readonly slide: string,
  ) {}

  get at(): number {
    return this.given.length;
  }

  get cell(): TellingCell | undefined {
    return this.cells[this.at];
  }

  get named(): number {
    return this.given.filter((name) => name !== null).length;
  }

  get judgement() {
    return this.result?.streams.wbc?.judgement ?? null;
  }

  title(name: string): string {
    return this.names.find((one) => one.name === name)?.title ?? name.replaceAll("_", " ");
  }

  /**
   * Begin, or go on where the person left; with the site that slides are read with, or the only one, no name is asked.
   */
  async open(): Promise<void> {
    if (!["opening", "failed", "on", "empty"].includes(this.phase)) return;
    this.phase = "opening";
    await this.trying(async () => {
      const { sites, chosen } = await this.client.sites();
      this.sites = sites;
      const only = sites.length === 1 ? sites[0].name : null;
      const known = sites.some((site) => site.name === chosen) ? chosen : only;
      if (known) await this.ask(known);
      else this.phase = "site";
    });
  }

  /** Go on with a site; one that is not there is made. A fault of the name is told where it was typed. */
  async choose(name: string): Promise<void> {
    this.fault = "";
    try {
      if (!this.sites.some((site) => site.name === name)) this.sites = [...this.sites, await this.client.newSite(name)];
    } catch (error) {
      this.fault = (error as Error).message;
      return;
    }
    await this.trying(() => this.ask(name));
  }

  /** Ask for the next cells, those that were named before left out. */
  async more(): Promise<void> {
    await this.trying(() => this.ask(this.site));
  }

  give(name: Given): void {
    if (this.phase !== "naming" || !this.cell || !this.seen) return;
    this.given = [...this.given, name];
    this.seen = this.hinted = false;
    if (!this.cell) void this.finish();
  }

  back(): void {
    if (this.phase !== "naming" || !this.at) return;
    this.given = this.given.slice(0, -1);
    this.seen = this.hinted = false;
  }

  get finishable(): boolean {
    return this.phase === "naming" && this.named >= LEAST;
  }

  async finish(): Promise<void> {
    const names = this.given.flatMap((name, n) => (name === null ? [] : [{ key: this.cells[n].key, class: name }]));
    if (!names.length) {
      this.phase = "empty";
      return;
    }
    this.phase = "learning";
    await this.trying(async () => {
      this.result = await this.client.learn(this.site, this.slide, names);
      this.phase = "judged";
    });
  }

  async switchOn(): Promise<void> {
    const version = this.result?.version ?? null;
    await this.trying(async () => {
      this.result = await this.client.useSite(this.site, version);
      this.phase = "on";
    });
  }

  private async ask(site: string): Promise<void> {
    this.phase = "opening";
    const found = await this.client.tellingCells(this.slide, WANTED, site);
    this.site = site;
    this.cells = found.cells;
    this.names = keyed(found.names satisfies GivenName[]);
    this.given = [];
    this.seconds = 0;
    this.seen = this.hinted = false;
    this.phase = found.cells.length ? "naming" : "empty";
  }

  private async trying(what: () => Promise<void>): Promise<void> {
    this.fault = "";
    try {
      await what();
    } catch (error) {
      this.fault = (error as Error).message;
      this.phase = "failed";
    }
  }
}
