/**
 * Sums that limits are held against, and leases of what is left, over a SQL database.
 *
 * Owns: the order of their transactions. Does not own: the arithmetic (`spend.ts`).
 * Invariant: the sums are those of the rows of the ledger and of what nodes reported, each once. No
 * more is granted than is left: grants are made one transaction at a time (the lock `limits`), and
 * an amount that is used moves from a lease to a sum in one transaction. Two transactions lock rows
 * in the same order: sums in that of `summed`, then a node before its leases, then tokens in the
 * order of their ids.
 */

import type { SqlValue } from "../runtime/runtime.ts";
import { number, text } from "./rows.ts";
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";
import {
  grantOf,
  isSpentWhenLeased,
  leftOf,
  periodExpiryMs,
  type SpendChange,
  summed,
} from "./spend.ts";
import { ADD_TOKEN_USE } from "./statements.ts";
import * as sql from "./statements_spend.ts";
import type { Lease, LeaseReport, LeaseRequest, TokenUse } from "./store.ts";

/** Adds to the sums. @param changes of `summed` */
export async function addSpend(
  queries: SqlQueries,
  changes: readonly SpendChange[],
): Promise<void> {
  const lists = changes.map(({ subject, quantity, period, amount }) => [
    subject,
    quantity,
    period,
    amount,
    periodExpiryMs(period),
  ]);
  await queries.each(sql.ADD_SPEND, lists);
}

/** Takes amounts from what a node has outstanding, where it has any. Periods are of no account. */
export async function reduceLeases(
  queries: SqlQueries,
  nodeId: string,
  changes: readonly SpendChange[],
): Promise<void> {
  const lists = changes.map(({ subject, quantity, amount }): SqlValue[] => [
    nodeId,
    subject,
    quantity,
    amount,
  ]);
  await queries.each(sql.REDUCE_LEASE, lists);
}

/** See `Store.lease`. */
export function lease(
  driver: SqlDriver,
  nodeId: string,
  requests: readonly LeaseRequest[],
): Promise<Lease[]> {
  return driver.transaction("limits", async (queries) => {
    const dead = await queries.query(sql.deleteDeadNodes(driver.nowMs));
    const ids = dead.map((row) => [text(row, "node_id")]);
    await queries.each(sql.DELETE_LEASES_OF_NODE, ids);
    await queries.query(sql.noteNode(driver.nowMs), [nodeId]);
    const book = await Book.read(queries, requests);
    const leases = requests.map((request) => book.grant(request));
    await addSpend(queries, summed(book.spent));
    const outstanding = summed(book.outstanding).map((change): SqlValue[] => [
      nodeId,
      change.subject,
      change.quantity,
      change.amount,
    ]);
    await queries.each(sql.ADD_LEASE, outstanding);
    return leases;
  });
}

/** See `Store.reportLeases`. */
export function reportLeases(
  driver: SqlDriver,
  nodeId: string,
  reports: readonly LeaseReport[],
  uses: readonly TokenUse[],
): Promise<void> {
  return driver.transaction("latest", async (queries) => {
    const changes = reports.map((report) => ({ ...report, period: "total" }));
    const used = changes.map((change) => ({ ...change, amount: change.used }));
    await addSpend(queries, summed(used));
    await queries.query(sql.noteNode(driver.nowMs), [nodeId]);
    const done = changes.map((change) => ({ ...change, amount: change.used + change.released }));
    await reduceLeases(queries, nodeId, summed(done));
    await queries.query(sql.DELETE_EMPTY_LEASES, [nodeId]);
    const tokens = uses
      .toSorted((left, right) => (left.tokenId < right.tokenId ? -1 : 1))
      .map((use): SqlValue[] => [use.requests, use.cacheHits, use.lastUsedAt, use.tokenId]);
    await queries.each(ADD_TOKEN_USE, tokens);
  });
}

/** See `Store.removeNode`. */
export function removeNode(driver: SqlDriver, nodeId: string): Promise<void> {
  return driver.transaction("latest", async (queries) => {
    await queries.query(sql.DELETE_NODE, [nodeId]);
    await queries.query(sql.DELETE_LEASES_OF_NODE, [nodeId]);
  });
}

/** What is used and outstanding of what is asked for, and what is granted of it. */
class Book {
  /** By subject, quantity and period; the period `now` is what is outstanding. */
  readonly #amounts = new Map<string, number>();
  readonly spent: SpendChange[] = [];
  readonly outstanding: SpendChange[] = [];

  static async read(queries: SqlQueries, requests: readonly LeaseRequest[]): Promise<Book> {
    const asked = requests.map(({ subject, quantity }) => [
      keyOf(subject, quantity),
      subject,
      quantity,
    ]);
    const lists = new Map(asked.map(([key, ...list]) => [key, list]));
    const book = new Book();
    for (const row of await queries.each(sql.READ_SPEND, [...lists.values()])) {
      const key = keyOf(text(row, "subject"), text(row, "quantity"), text(row, "period"));
      book.#amounts.set(key, number(row, "used"));
    }
    return book;
  }

  grant(request: LeaseRequest): Lease {
    const { subject, quantity, wanted, caps } = request;
    const left = leftOf(
      request,
      (period) => this.#amount(subject, quantity, period),
      this.#amount(subject, quantity, "now"),
    );
    const granted = grantOf(wanted, left);
    const isSpent = isSpentWhenLeased(quantity);
    const periods = isSpent ? new Set(caps.map((cap) => cap.period)) : ["now"];
    for (const period of periods) {
      const change = { subject, quantity, period, amount: granted };
      (isSpent ? this.spent : this.outstanding).push(change);
      this.#amounts.set(
        keyOf(subject, quantity, period),
        this.#amount(subject, quantity, period) + granted,
      );
    }
    return { granted, left: left - granted };
  }

  #amount(subject: string, quantity: string, period: string): number {
    return this.#amounts.get(keyOf(subject, quantity, period)) ?? 0;
  }
}

function keyOf(...parts: string[]): string {
  return JSON.stringify(parts);
}
