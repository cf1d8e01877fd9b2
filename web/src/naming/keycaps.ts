/** One key for each name that may be given: digits for the first nine, a letter of its title for the others. */

import type { GivenName } from "../api/types";

export interface Named extends GivenName {
  key: string;
}

/** Keys that mean something else while cells are named. */
export const CANNOT_TELL = "u";
export const HINT = "h";
export const FINISH = "f";
const TAKEN = [CANNOT_TELL, HINT, FINISH];
const ALPHABET = "abcdefghijklmnopqrstuvwxyz";

export function keyed(names: readonly GivenName[]): Named[] {
  const used = new Set(TAKEN);
  return names.map((name, n) => {
    const wished = n < 9 ? String(n + 1) : name.title.toLowerCase() + ALPHABET;
    const key = [...wished].find((one) => /[a-z0-9]/.test(one) && !used.has(one)) ?? "";
    used.add(key);
    return { ...name, key };
  });
}
