/**
 * A SELECT whose conditions depend on what is asked for.
 *
 * Owns: the numbering of its parameters. Does not own: tables and columns, which its callers write.
 * Invariant: a value is always a parameter and never part of the text.
 */

import type { SqlValue } from "../runtime/runtime.ts";

/** A statement with the values of its parameters. */
export interface BoundQuery {
  readonly sql: string;
  readonly parameters: readonly SqlValue[];
}

export class Conditions {
  readonly #parameters: SqlValue[] = [];
  readonly #conditions: string[] = [];

  /** @param test such as `name =`; @param value undefined: not asked for */
  when(test: string, value: SqlValue | undefined): void {
    if (value !== undefined) this.#conditions.push(`${test} ${this.#bind(value)}`);
  }

  /** @param test such as `(a, b) <` */
  whenAll(test: string, values: readonly SqlValue[]): void {
    const bound = values.map((value) => this.#bind(value));
    this.#conditions.push(`${test} (${bound.join(", ")})`);
  }

  /** The first `limit` rows of `table` in this order. */
  select(table: string, order: string, limit: number): BoundQuery {
    const where = this.#conditions.length === 0 ? "" : `WHERE ${this.#conditions.join(" AND ")} `;
    const sql = `SELECT * FROM ${table} ${where}ORDER BY ${order} LIMIT ${this.#bind(limit)}`;
    return { sql, parameters: this.#parameters };
  }

  #bind(value: SqlValue): string {
    return `$${this.#parameters.push(value)}`;
  }
}
