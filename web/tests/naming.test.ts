import { describe, expect, it } from "vitest";
import { keyed } from "../src/naming/keycaps";

const named = (...titles: string[]) => titles.map((title) => ({ name: title.toLowerCase(), title }));

describe("keys of names", () => {
  it("are digits, then letters of the title, each once, and none that means something else", () => {
    const titles = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "Blast", "Band", "Unusual", "Hairy", "Fff"];
    expect(keyed(named(...titles)).map((n) => n.key)).toEqual([..."123456789", "b", "a", "n", "i", "c"]);
  });

  it("are found for as many classes as a site may have", () => {
    const keys = keyed(named(...Array.from({ length: 32 }, (_, n) => `Same ${n}`))).map((n) => n.key);
    expect(new Set(keys).size).toBe(32);
    for (const taken of "uhf") expect(keys).not.toContain(taken);
  });
});
