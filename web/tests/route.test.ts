import { describe, expect, it, vi } from "vitest";

vi.stubGlobal("location", { hash: "" });
vi.stubGlobal("window", { addEventListener: () => undefined });
const { parse, slideAddress } = await import("../src/shell/route.svelte");

describe("addresses", () => {
  it("keep tab, place and cell of a slide", () => {
    const view = { tab: "gallery", at: [1200.5, 80, 0.25], cell: [3, 41] } as const;
    expect(parse(slideAddress("a1", view))).toEqual({ page: "slide", id: "a1", view });
    expect(slideAddress("a1", { tab: "picture" })).toBe("#/slides/a1");
  });

  it("of no sense lead to the slide, or to the work list", () => {
    expect(parse("#/slides/a1?at=1,x,2&cell=1&tab=what")).toEqual({ page: "slide", id: "a1", view: { tab: "picture" } });
    expect(parse("#/slides/a1?at=1,2,0")).toEqual({ page: "slide", id: "a1", view: { tab: "picture" } });
    expect(parse("#/other")).toEqual({ page: "work" });
  });
});
