/**
 * The providers of a configuration, arranged so that a request finds its own without a search.
 *
 * Owns: matching host and path prefix; which providers with which keys stand side by side.
 * Does not own: which protocol a request speaks (`resolve.ts`), or the choice (`choose.ts`).
 * Invariant: immutable, made once per configuration; a named host comes before any, the longest
 * prefix before the others.
 */

import type { CredentialConfig, ProviderConfig } from "../config/config.ts";
import type { ProviderType } from "../exchange.ts";
import { decidesByModel } from "./model_map.ts";

/** A provider with one of its keys. */
export interface Slot {
  readonly provider: ProviderConfig;
  /** One of the configured keys; null: none is configured. */
  readonly apiKey: CredentialConfig | null;
}

/** Slots among which chance decides. */
export interface Tier {
  readonly slots: readonly Slot[];
  /** Of each slot: its weight and those before it together. */
  readonly sums: readonly number[];
  readonly weights: readonly number[];
}

/** Providers of one type, host and prefix: any of them could serve what the others can. */
export interface Pool {
  readonly type: ProviderType;
  readonly providers: readonly ProviderConfig[];
  readonly slots: readonly Slot[];
  /** No fallback before the others, then by priority. */
  readonly tiers: readonly Tier[];
  /** Whether the model of a request decides which of them may be asked. */
  readonly decidesByModel: boolean;
}

/** What is served under one host and prefix. */
export interface Served {
  /** Without trailing slash; "" for none. */
  readonly prefix: string;
  readonly pools: readonly Pool[];
  /** The default provider's type, where that is served here; null: it is not. */
  readonly defaultType: ProviderType | null;
}

export interface RoutingTable {
  /** By host, each the longest prefix first. */
  readonly hosts: ReadonlyMap<string, readonly Served[]>;
  readonly anyHost: readonly Served[];
  /** The type of the default provider; null: there is none. */
  readonly defaultType: ProviderType | null;
  /** Segments of the deepest prefix, of whatever host. */
  readonly prefixDepth: number;
}

/** @param defaultProvider name of the provider that takes what host and path do not decide */
export function buildTable(
  providers: readonly ProviderConfig[],
  defaultProvider: string | null,
): RoutingTable {
  const byHost = Map.groupBy(providers, ({ host }) => (host === null ? null : hostName(host)));
  const hosts = new Map<string, readonly Served[]>();
  for (const [host, own] of byHost) {
    if (host !== null) hosts.set(host, servedBy(own, defaultProvider));
  }
  const anyHost = servedBy(byHost.get(null) ?? [], defaultProvider);
  const defaultType = providers.find(({ name }) => name === defaultProvider)?.type ?? null;
  const prefixDepth = Math.max(0, ...providers.map(({ pathPrefix }) => depthOf(pathPrefix)));
  return { hosts, anyHost, defaultType, prefixDepth };
}

/**
 * What is served where a request goes, and its path there; null: nothing.
 * @param host as it came
 * @param path WHATWG-normalised, without query
 */
export function lookUp(
  table: RoutingTable,
  host: string,
  path: string,
): { readonly served: Served; readonly path: string } | null {
  const named = table.hosts.size === 0 ? undefined : table.hosts.get(hostName(host));
  return (named && firstOf(named, path)) ?? firstOf(table.anyHost, path);
}

/** Every upstream of the configuration. */
export function slotsOf({ hosts, anyHost }: RoutingTable): Slot[] {
  const served = [...hosts.values(), anyHost].flat();
  return served.flatMap(({ pools }) => pools.flatMap(({ slots }) => slots));
}

/** Host without port and case; an IPv6 address without its brackets. */
export function hostName(host: string): string {
  const lower = host.trim().toLowerCase();
  const bracketed = /^\[([^\]]*)\]/.exec(lower);
  if (bracketed !== null) return bracketed[1] ?? "";
  const colon = lower.indexOf(":");
  // Two colons and no brackets: an address without a port.
  return colon === -1 || colon !== lower.lastIndexOf(":") ? lower : lower.slice(0, colon);
}

/** The path after `prefix`, or null where it is not under it: `/v1` is no prefix of `/v10`. */
export function withoutPrefix(path: string, prefix: string): string | null {
  if (prefix === "") return path;
  if (path === prefix) return "/";
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : null;
}

/** Of a path without trailing slash. */
function depthOf(path: string): number {
  return path.split("/").length - 1;
}

function firstOf(served: readonly Served[], path: string) {
  for (const one of served) {
    const rest = withoutPrefix(path, one.prefix);
    if (rest !== null) return { served: one, path: rest };
  }
  return null;
}

/** Of one host. */
function servedBy(
  providers: readonly ProviderConfig[],
  defaultProvider: string | null,
): readonly Served[] {
  const byPrefix = Map.groupBy(providers, ({ pathPrefix }) => pathPrefix);
  const prefixes = [...byPrefix.keys()].sort((a, b) => b.length - a.length);
  return prefixes.map((prefix) => {
    const own = byPrefix.get(prefix) ?? [];
    const byType = Map.groupBy(own, ({ type }) => type);
    const pools = [...byType].map(([type, those]) => poolOf(type, those));
    const defaultType = own.find(({ name }) => name === defaultProvider)?.type ?? null;
    return { prefix, pools, defaultType };
  });
}

function poolOf(type: ProviderType, providers: readonly ProviderConfig[]): Pool {
  const byRank = Map.groupBy(providers, rankOf);
  const ranks = [...byRank.keys()].sort((a, b) => b - a);
  const tiers = ranks.map((rank) => tierOf(byRank.get(rank) ?? []));
  const slots = tiers.flatMap((tier) => tier.slots);
  return { type, providers, slots, tiers, decidesByModel: decidesByModel(providers) };
}

function rankOf(provider: ProviderConfig): number {
  // The sign keeps every fallback behind every other, whatever its priority.
  return (provider.isFallback ? 0 : Number.MAX_SAFE_INTEGER / 2) + provider.priority;
}

function tierOf(providers: readonly ProviderConfig[]): Tier {
  const weighed = providers.flatMap(weighedSlots);
  let sum = 0;
  return {
    slots: weighed.map(({ slot }) => slot),
    weights: weighed.map(({ weight }) => weight),
    sums: weighed.map(({ weight }) => (sum += weight)),
  };
}

/** A provider's weight is shared out among its keys. */
function weighedSlots(provider: ProviderConfig): { slot: Slot; weight: number }[] {
  const { apiKeys, weight } = provider;
  if (apiKeys.length === 0) return [{ slot: { provider, apiKey: null }, weight }];
  const sum = apiKeys.reduce((total, key) => total + key.weight, 0);
  return apiKeys.map((key) => ({
    slot: { provider, apiKey: key.key },
    weight: sum === 0 ? weight : (weight * key.weight) / sum,
  }));
}
