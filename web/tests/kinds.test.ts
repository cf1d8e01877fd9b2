import { describe, expect, it } from "vitest";
import { refusal } from "../src/worklist/kinds";

const file = (name: string, ...head: number[]): File => new File([Uint8Array.from(head)], name);

describe("what is worth sending", () => {
  const why = (made: File): Promise<string> => refusal(made, [".png", ".svs", ".dcm"], 100);

  it("is told by the ending, the size and the first bytes", async () => {
    expect(await why(file("a.PNG", 0x89, 0x50, 0x4e, 0x47, 13))).toBe("");
    expect(await why(file("a.svs", 0x49, 0x49, 0x2a, 0, 8))).toBe("");
    expect(await why(file("a.png", 0x49, 0x49, 0x2a, 0))).toBe("");
    expect(await why(file("a.dcm", 0, 0, 0, 0))).toBe("");
    expect(await why(file("a.png", 0x47, 0x49, 0x46, 0x38))).toMatch("within");
    expect(await why(file("a.txt", 65))).toMatch("not a kind");
    expect(await why(file("png", 65))).toMatch("not a kind");
    expect(await why(file("a.png"))).toBe("empty");
    expect(await why(file("a.png", ...Array<number>(101).fill(1)))).toMatch("larger than the 100 B");
  });
});
