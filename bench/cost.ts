/**
 * What one operation costs that is measured in this process.
 *
 * Owns: rounds, the median, the table. Does not own: the operations.
 * Invariant: what is measured is called in a row and nothing else in between.
 */

export const ROUNDS = 5;

/** Of one operation, of the median round. */
export interface Cost {
  readonly operation: string;
  readonly us: number;
  readonly aim: string;
}

/** Microseconds that a call of `run` takes, which is told how many came before it. */
export function costUs(rounds: number, count: number, run: (turn: number) => void): number {
  const costs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    for (let done = 0; done < count; done++) run(done);
    costs.push(((performance.now() - startMs) * 1000) / count);
  }
  return costs.toSorted((a, b) => a - b)[costs.length >> 1] ?? 0;
}

/** The costs as text. */
export function costTable(title: string, costs: readonly Cost[]): string {
  const rows = costs.map(({ operation, us, aim }) => {
    return `${operation.padEnd(36)}${us.toFixed(3).padStart(8)}  ${aim}`;
  });
  return `\n${title.padEnd(42)}µs  aim\n${rows.join("\n")}`;
}
