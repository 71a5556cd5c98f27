/**
 * Which known word a misspelt one was meant to be.
 *
 * Owns: the distance between words. Does not own: the words.
 * Invariant: a suggestion is close enough to be a slip; anything further gives none.
 */

/** Words longer than this are not compared. */
const LENGTH_MAX = 64;

/** The known word nearest to `word`, or null. Case, `-` and `_` do not count. */
export function closest(word: string, known: Iterable<string>): string | null {
  const wanted = plain(word);
  if (wanted.length > LENGTH_MAX) return null;
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = distanceBetween(wanted, plain(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function plain(word: string): string {
  return word.toLowerCase().replace(/[-_.]/g, "");
}

/** Insertions, deletions, replacements and swaps of neighbours from one to the other. */
function distanceBetween(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      const isSwap = left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      const swapped = i > 1 && j > 1 && isSwap ? (beforeLast[j - 2] ?? 0) + 1 : replaced;
      row.push(Math.min(replaced, swapped, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    [beforeLast, last] = [last, row];
  }
  return last[right.length] ?? 0;
}
