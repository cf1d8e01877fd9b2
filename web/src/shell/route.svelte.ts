/** Where in the application we are: the part of the address after `#`. */

export type Route = { page: "work" } | { page: "slide"; id: string };

function parse(hash: string): Route {
  const found = /^#\/slides\/([\w-]+)$/.exec(hash);
  return found ? { page: "slide", id: found[1] } : { page: "work" };
}

class Router {
  at = $state.raw<Route>(parse(location.hash));

  constructor() {
    window.addEventListener("hashchange", () => (this.at = parse(location.hash)));
  }
}

export const router = new Router();

export function slideAddress(id: string): string {
  return `#/slides/${id}`;
}

export function go(address: string): void {
  location.hash = address;
}
