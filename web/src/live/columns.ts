/** Packed little-endian columns as typed arrays. MessagePack does not align: what is not aligned is copied. */

import type { Packed } from "./protocol";

type Maker<T> = { new (buffer: ArrayBufferLike, offset: number, length: number): T; BYTES_PER_ELEMENT: number };

/** View bytes as numbers of one type. */
export function view<T>(bytes: Uint8Array, Type: Maker<T>): T {
  const size = Type.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new Type(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

/** One column of a packed group. */
export function column<T>(group: Packed, name: string, Type: Maker<T>): T {
  const bytes = group[name];
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`column ${name} is missing`);
  return view(bytes, Type);
}

/** Rows of a packed group. */
export function rows(group: Packed): number {
  return typeof group.n === "number" ? group.n : 0;
}
