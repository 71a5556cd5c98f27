/**
 * Sums that limits are held against, and leases of what is left, over a SQL database.
 *
 * Owns: the order of their transactions. Does not own: the arithmetic (`spend.ts`).
 * Invariant: the sums are those of the rows of the ledger and of what nodes reported, each once. No
 * more is granted than is left: grants are made one transaction at a time (the lock `limits`).
 * Two transactions lock rows in the same order: a node, sums in that of `summed`, the node's
 * leases, then tokens in the order of their ids.
 */

import type { SqlValue } from "../runtime/runtime.ts";
import type { Holding, Lease, LeaseRequest, NodeReport, TokenUse } from "./leases.ts";
import { number, text } from "./rows.ts";
import { grantOf, periodExpiryMs, type SpendChange, summed } from "./spend.ts";
import type { SqlDriver, SqlQueries } from "./sql_driver.ts";
import { ADD_TOKEN_USE } from "./statements.ts";
import * as sql from "./statements_spend.ts";

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

/** See `Store.lease`. */
export function lease(
  driver: SqlDriver,
  nodeId: string,
  requests: readonly LeaseRequest[],
): Promise<Lease[]> {
  return driver.transaction("limits", async (queries) => {
    await queries.query(sql.noteNode(driver.nowMs), [nodeId]);
    const gone = await queries.query(sql.deleteGoneNodes(driver.nowMs));
    const ids = gone.map((row) => [text(row, "node_id")]);
    await queries.each(sql.DELETE_LEASES_OF_NODE, ids);
    const amountOf = await readAmounts(driver, queries, nodeId, requests);
    const leases = requests.map((request) => {
      const { subject, quantity } = request;
      const usedIn = (period: string) => amountOf(subject, quantity, period);
      return grantOf(request, usedIn, usedIn("held"));
    });
    const holdings = requests.map((request, at) => {
      return { ...request, held: request.held + (leases[at]?.granted ?? 0) };
    });
    await setLeases(queries, nodeId, holdings);
    return leases;
  });
}

/** See `Store.reportLeases`. */
export function reportLeases(driver: SqlDriver, nodeId: string, report: NodeReport): Promise<void> {
  return driver.transaction("brief", async (queries) => {
    await queries.query(sql.noteNode(driver.nowMs), [nodeId]);
    const taken = await queries.query(sql.TAKE_REPORT, [report.number, nodeId]);
    if (taken.length > 0) await addSpend(queries, usedOf(report));
    await setLeases(queries, nodeId, report.leases);
    await queries.query(sql.DELETE_EMPTY_LEASES, [nodeId]);
    if (taken.length > 0) await addUses(queries, report.uses);
  });
}

/** See `Store.removeNode`. */
export async function removeNode(queries: SqlQueries, nodeId: string): Promise<void> {
  await queries.query(sql.DELETE_LEASES_OF_NOW, [nodeId]);
}

/** Sums by period, and as the period `held` what other nodes hold. */
async function readAmounts(
  driver: SqlDriver,
  queries: SqlQueries,
  nodeId: string,
  requests: readonly LeaseRequest[],
): Promise<(...key: string[]) => number> {
  const asked = requests.map(({ subject, quantity, period }) => {
    return [nodeId, subject, quantity, period];
  });
  const rows = await queries.each(sql.readSpend(driver.nowMs), asked);
  const amounts = new Map(
    rows.map((row) => {
      const key = [text(row, "subject"), text(row, "quantity"), text(row, "period")];
      return [JSON.stringify(key), number(row, "used")];
    }),
  );
  return (...key) => amounts.get(JSON.stringify(key)) ?? 0;
}

async function setLeases(
  queries: SqlQueries,
  nodeId: string,
  holdings: readonly Holding[],
): Promise<void> {
  const lists = holdings.map(({ subject, quantity, period, held }): SqlValue[] => {
    return [nodeId, subject, quantity, period, held];
  });
  await queries.each(sql.SET_LEASE, lists);
}

/** What a report adds to the sums. */
function usedOf({ leases }: Pick<NodeReport, "leases">): SpendChange[] {
  return summed(
    leases.map(({ subject, quantity, used }) => {
      return { subject, quantity, period: "total", amount: used };
    }),
  );
}

async function addUses(queries: SqlQueries, uses: readonly TokenUse[]): Promise<void> {
  const lists = uses
    .toSorted((left, right) => (left.tokenId < right.tokenId ? -1 : 1))
    .map((use): SqlValue[] => [use.requests, use.cacheHits, use.lastUsedAt, use.tokenId]);
  await queries.each(ADD_TOKEN_USE, lists);
}
