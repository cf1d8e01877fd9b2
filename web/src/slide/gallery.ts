/** Which cells a gallery shows, and in which order. */

import type { CellTable } from "../live/cells";
import type { Styles } from "./styles";

export interface Choice {
  kind: number;
  /** Style; -1 for all of the kind. */
  style: number;
  uncertainFirst: boolean;
}

/** How sure a cell's class is: without a class not at all, unknown less than any other. */
function certainty(cells: CellTable, row: number): number {
  if (cells.best[row] < 0) return -2;
  return cells.confidence[row] / 10_000 - cells.unknown[row];
}

const NONE: ReadonlySet<number> = new Set();

/**
 * Rows of a choice: the least sure first; or, of one class, the surest; or, of all, those whose style is to be looked at,
 * the surest first, and then the others as they lie on the slide.
 */
export function chosen(cells: CellTable, styles: Styles, choice: Choice, eyed: ReadonlySet<number> = NONE): Int32Array {
  const rows: number[] = [];
  for (let row = 0; row < cells.high; row++) {
    if (!cells.alive[row] || cells.kind[row] !== choice.kind) continue;
    if (choice.style >= 0 && styles.of(cells, row) !== choice.style) continue;
    rows.push(row);
  }
  const whole = choice.style < 0 && !choice.uncertainFirst;
  const way = choice.uncertainFirst ? 1 : -1;
  const rank = new Float32Array(cells.high);
  for (const row of rows) {
    if (!whole) rank[row] = way * certainty(cells, row);
    else if (eyed.has(styles.of(cells, row))) rank[row] = -1 - certainty(cells, row);
  }
  const { keys } = cells;
  rows.sort((a, b) => rank[a] - rank[b] || keys[2 * a] - keys[2 * b] || keys[2 * a + 1] - keys[2 * b + 1]);
  return Int32Array.from(rows);
}
