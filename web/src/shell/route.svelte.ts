/**
 * Where in the application we are: the part of the address after `#`. What a slide's page shows of the slide is in it
 * too, so that a link, a reload and the browser's back lead to the same tab, place and cell.
 */

export type Tab = "picture" | "gallery";

/** What of a slide is shown. */
export interface View {
  tab: Tab;
  /** Centre in level-0 pixels, and screen pixels a level-0 pixel. */
  at?: readonly [number, number, number];
  /** Key of the marked cell. */
  cell?: readonly [number, number];
}

export type Route = { page: "work" } | { page: "slide"; id: string; view: View };

const numbers = (text: string | null, n: number): number[] | undefined => {
  const found = (text ?? "").split(",").map(Number);
  return text && found.length === n && found.every(Number.isFinite) ? found : undefined;
};

export function parse(hash: string): Route {
  const found = /^#\/slides\/([\w-]+)(?:\?(.*))?$/.exec(hash);
  if (!found) return { page: "work" };
  const asked = new URLSearchParams(found[2] ?? "");
  const at = numbers(asked.get("at"), 3) as [number, number, number] | undefined;
  const cell = numbers(asked.get("cell"), 2) as [number, number] | undefined;
  const view: View = { tab: asked.get("tab") === "gallery" ? "gallery" : "picture" };
  if (at && at[2] > 0) view.at = at;
  if (cell) view.cell = cell;
  return { page: "slide", id: found[1], view };
}

export function slideAddress(id: string, view?: View): string {
  const parts = [
    view?.tab === "gallery" ? "tab=gallery" : "",
    view?.at ? `at=${view.at.map((value, i) => Number(value.toFixed(i < 2 ? 1 : 4))).join(",")}` : "",
    view?.cell ? `cell=${view.cell.join(",")}` : "",
  ].filter(Boolean);
  return `#/slides/${id}${parts.length ? `?${parts.join("&")}` : ""}`;
}

class Router {
  at = $state.raw<Route>(parse(location.hash));
  /** Grows when the address was changed by somebody else than the page: a link, back, forward. */
  turned = $state(0);

  constructor() {
    window.addEventListener("hashchange", () => {
      this.at = parse(location.hash);
      this.turned++;
    });
  }

  /** Keep in the address what is shown of a slide; `step` is one that back undoes. */
  show(change: Partial<View>, step = false): void {
    if (this.at.page !== "slide") return;
    const { id } = this.at;
    this.at = { page: "slide", id, view: { ...this.at.view, ...change } };
    const address = slideAddress(id, this.at.view);
    if (address === location.hash) return;
    if (step) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }
}

export const router = new Router();

export function go(address: string): void {
  location.hash = address;
}
