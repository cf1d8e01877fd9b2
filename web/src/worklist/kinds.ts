/** Which files are worth sending: told before the first byte goes out. */

import { bytes } from "../parts/text";

/** What these endings' files begin with: PNG, JPEG, and TIFF in its four kinds, which whole slides are too. */
const BEGINNINGS = [
  [0x89, 0x50, 0x4e, 0x47],
  [0xff, 0xd8, 0xff],
  [0x49, 0x49, 0x2a, 0],
  [0x4d, 0x4d, 0, 0x2a],
  [0x49, 0x49, 0x2b, 0],
  [0x4d, 0x4d, 0, 0x2b],
];
const PICTURES = /\.(png|jpe?g|tiff?|svs|ndpi|scn|bif|svslide)$/i;

/** Why a file need not be sent; empty for one that is worth it. */
export async function refusal(file: File, kinds: readonly string[], most: number): Promise<string> {
  const ending = /\.[^.]*$/.exec(file.name.toLowerCase())?.[0] ?? "";
  if (!kinds.includes(ending)) return `not a kind of image that is read here (${kinds.map((kind) => kind.slice(1)).join(", ")})`;
  if (file.size > most) return `larger than the ${bytes(most)} that can be uploaded`;
  if (!file.size) return "empty";
  if (!PICTURES.test(file.name)) return "";
  const head = await file
    .slice(0, 4)
    .arrayBuffer()
    .then((read) => new Uint8Array(read))
    .catch(() => null);
  if (!head) return "cannot be read: a folder, or a file that was moved";
  const known = BEGINNINGS.some((beginning) => beginning.every((value, i) => head[i] === value));
  return known ? "" : "not a PNG, JPEG or TIFF within, whatever its name says";
}
