/** The REST interface: every request carries the token of this tab; errors are the service's problem documents. */

import { pieces } from "./stream";
import type { Artefact, Figures, NamedCell, Report, SessionInfo, SiteInfo, SiteList, SlideInfo, SlideList, TellingCells } from "./types";

export const PREFIX = "/api/v1";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Query {
  status?: string[];
  q?: string;
  before?: number | null;
  limit?: number;
}

export class Client {
  constructor(
    readonly token: string,
    private readonly refused: () => void = () => undefined,
  ) {}

  get headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.token}` };
  }

  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...this.headers, ...(init.body ? { "Content-Type": "application/json" } : {}) };
    let answer: Response;
    try {
      answer = await fetch(path.startsWith("/") ? path : `${PREFIX}/${path}`, { ...init, headers });
    } catch {
      throw new ApiError(0, "unreachable", "The service cannot be reached.");
    }
    if (answer.ok) return answer;
    const problem = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string };
    if (answer.status === 401) this.refused();
    throw new ApiError(answer.status, problem.code ?? "", problem.detail ?? answer.statusText);
  }

  async json<T>(path: string, method = "GET", body?: unknown): Promise<T> {
    const answer = await this.fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
    return (answer.status === 204 ? null : await answer.json()) as T;
  }

  session = (): Promise<SessionInfo> => this.json("session");
  slide = (id: string): Promise<SlideInfo> => this.json(`slides/${id}`);
  figures = (id: string): Promise<Figures> => this.json(`slides/${id}/figures`);
  submit = (path: string, priority: number, mpp: number | null): Promise<SlideInfo> =>
    this.json("slides", "POST", { path, priority, mpp });
  prioritise = (id: string, priority: number): Promise<SlideInfo> => this.json(`slides/${id}`, "PATCH", { priority });
  cancel = (id: string): Promise<SlideInfo> => this.json(`slides/${id}/cancel`, "POST");
  again = (id: string, mpp: number | null): Promise<SlideInfo> => this.json(`slides/${id}/again`, "POST", { mpp });
  remove = (id: string): Promise<null> => this.json(`slides/${id}`, "DELETE");
  sites = (): Promise<SiteList> => this.json("sites");
  newSite = (name: string): Promise<SiteInfo> => this.json("sites", "POST", { name });
  learn = (site: string, slide: string, names: NamedCell[]): Promise<SiteInfo> =>
    this.json(`sites/${encodeURIComponent(site)}/learn`, "POST", { slide, stream: "wbc", names });
  useSite = (site: string, version: number | null): Promise<SiteInfo> =>
    this.json(`sites/${encodeURIComponent(site)}/use`, "POST", { version });

  tellingCells(slide: string, n: number, site: string): Promise<TellingCells> {
    return this.json(`slides/${slide}/telling-cells?${new URLSearchParams({ stream: "wbc", n: String(n), site })}`);
  }

  slides(query: Query): Promise<SlideList> {
    const wish = new URLSearchParams();
    if (query.status?.length) wish.set("status", query.status.join(","));
    if (query.q) wish.set("q", query.q);
    if (query.before != null) wish.set("before", String(query.before));
    if (query.limit) wish.set("limit", String(query.limit));
    return this.json(`slides?${wish}`);
  }

  async ticket(slide: string): Promise<string> {
    return (await this.json<{ ticket: string }>("tickets", "POST", { slide })).ticket;
  }

  async artefacts(id: string): Promise<Artefact[]> {
    return (await this.json<{ artefacts: Artefact[] }>(`slides/${id}/artefacts`)).artefacts;
  }

  /** report.json up to its lists of cells: they may be many, and come last. */
  async reportHead(id: string): Promise<Report> {
    let text = "";
    for await (const piece of pieces(await this.fetch(`slides/${id}/report`))) {
      text += piece;
      const end = text.indexOf('"cell_detections":');
      if (end >= 0) return JSON.parse(`${text.slice(0, end).trimEnd().replace(/,$/, "")}}`) as Report;
    }
    return JSON.parse(text) as Report;
  }

  /** Hand a file to the person: downloads need the token too, so that a plain link does not do. */
  async save(artefact: Artefact, name: string): Promise<void> {
    const answer = await this.fetch(artefact.url);
    const url = URL.createObjectURL(await answer.blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}

/** Make a token with a one-time token. */
export async function exchange(once: string): Promise<string> {
  const client = new Client(once);
  const wish = { name: "browser", scopes: ["read", "submit", "review", "admin"] };
  return (await client.json<{ token: string }>("tokens", "POST", wish)).token;
}
