/**
 * `sluice check --explain`: which provider a request would take, and why the others would not.
 *
 * Owns: the words. Does not own: the decision, which the functions of `route/` make, the same that
 * make it for a request.
 * Invariant: names providers and counts keys; never shows a key. What only a running node knows,
 * its callers and the health of its upstreams, is left out.
 */

import type { Config, ProviderConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import { Cors } from "../policy/cors.ts";
import { Doors } from "../policy/door.ts";
import { providerOf } from "../provider/dialect.ts";
import { type ChoiceOptions, choose, obstacleOf } from "../route/choose.ts";
import { Health } from "../route/health.ts";
import { type KnownModel, modelOfUrl } from "../route/model_map.ts";
import { requireUpgrade, resolve, type Route } from "../route/resolve.ts";
import {
  buildTable,
  hostName,
  lookUp,
  type RoutingTable,
  type Slot,
  type Tier,
  withoutPrefix,
} from "../route/table.ts";
import { upstreamUrl } from "../route/target.ts";
import { systemClock } from "../runtime/clock.ts";
import { UsageError } from "./command.ts";

/** A request as it is written on a command line. */
interface AskedRequest {
  readonly method: string;
  /** With port, where there is one; "" where only a path is given. */
  readonly host: string;
  readonly path: string;
  /** Without `?`; "" for none. */
  readonly query: string;
  readonly upgrade: boolean;
}

interface Explanation {
  /** Lines, each with its end. */
  readonly text: string;
  /** Whether a provider would take the request. */
  readonly isTaken: boolean;
}

const OBSTACLES = {
  // Its door, which stands where a node also asks for the credential.
  credential: "param_whitelist does not have the model",
  endpoint: "allowed_endpoints does not have the path",
  method: "allowed_methods does not have the method",
  model: "allowed_models does not have the model",
  circuit_open: "its circuit is open",
  unhealthy: "is not healthy",
} as const;

/**
 * Explains what would become of a request.
 * @param asked such as `POST https://gw.example/v1/responses`; `wss://` for a WebSocket
 * @param model null: the body would name none
 * @throws UsageError where `asked` is no method and URL
 */
export function explain(config: Config, asked: string, model: string | null): Explanation {
  const request = parseAsked(asked);
  const table = buildTable(config.providers, config.defaultProvider);
  const optionsFor = (on: Route) => optionsOf(config, model ?? modelOfUrl(on, request.query));
  // What is known of the request where it is refused after all.
  let route: Route | null = null;
  try {
    const found = resolve({ ...request, headers: new Headers() }, table, providerOf);
    route = found;
    const options = optionsFor(found);
    const [first] = options.doors.choose(() => choose(found, options));
    requireUpgrade(found.endpoint, request.upgrade);
    const url = upstreamUrl(first.provider, first.path, request.query);
    const lines = [
      `${asked} is ${found.endpoint.name} of ${found.pool.type}.`,
      ...asking(found, options),
      ...others(config, table, request, found),
      `The first would be sent to ${url}${credentialOf(first)}`,
    ];
    return { text: `${lines.join("\n")}\n`, isTaken: true };
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown;
    const { status, code, message } = thrown;
    const lines = [
      `${asked} is refused: ${status} ${code}: ${message}.`,
      ...(route === null ? [] : asking(route, optionsFor(route))),
      ...others(config, table, request, route),
    ];
    return { text: `${lines.join("\n")}\n`, isTaken: false };
  }
}

function parseAsked(asked: string): AskedRequest {
  const [, method, target = ""] = /^([A-Z]+) +(\S+)$/.exec(asked.trim()) ?? [];
  const isPath = target.startsWith("/");
  const text = isPath ? `http://path.invalid${target}` : target;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (method === undefined || url === null || !/^(?:http|ws)s?:$/.test(url.protocol)) {
    throw new UsageError("--explain takes a method and a URL, as 'POST https://host/v1/responses'");
  }
  return {
    method,
    host: isPath ? "" : url.host,
    path: url.pathname,
    query: url.search.slice(1),
    upgrade: url.protocol.startsWith("ws"),
  };
}

/**
 * A caller whose token every provider takes, of a project without keys of its own, who sends
 * whatever headers are asked for.
 */
function optionsOf(config: Config, model: KnownModel): ChoiceOptions & { doors: Doors } {
  const doors = new Doors(new Cors(config.cors), new Headers(), model ?? null);
  return {
    doors,
    health: new Health(systemClock, () => {}),
    model,
    maker: null,
    accepts: (provider) => doors.takes({ ...provider, requiredHeaders: new Map() }),
    hasOwnKey: () => false,
    random: () => 0,
  };
}

/** The upstreams of the route, a line each: those that would be asked in their order. */
function asking(route: Route, options: ChoiceOptions): string[] {
  const lines: string[] = [];
  const excluded: string[] = [];
  let isFirst = true;
  for (const tier of route.pool.tiers) {
    const shares = sharesOf(tier, route, options);
    for (const [index, slot] of tier.slots.entries()) {
      const obstacle = obstacleOf(slot, route, options);
      const share = `${Math.round((shares[index] ?? 0) * 100)} %${headersOf(slot)}`;
      if (obstacle !== null) excluded.push(`  ${nameOf(slot)}: no, ${OBSTACLES[obstacle]}`);
      else if (isFirst) lines.push(`  ${nameOf(slot)}: takes ${share}`);
      else lines.push(`  ${nameOf(slot)}: takes ${share} where those above fail${rankOf(slot)}`);
    }
    isFirst &&= lines.length === 0;
  }
  return [...lines, ...excluded];
}

/** What each slot takes of the requests that reach its tier. */
function sharesOf(tier: Tier, route: Route, options: ChoiceOptions): number[] {
  const weights = tier.slots.map((slot, index) =>
    obstacleOf(slot, route, options) === null ? (tier.weights[index] ?? 0) : 0,
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => (sum === 0 ? 0 : weight / sum));
}

function rankOf({ provider: { isFallback, priority } }: Slot): string {
  return isFallback ? " (is_fallback)" : ` (priority ${priority})`;
}

/** Whose requests alone it takes. */
function headersOf({ provider: { requiredHeaders } }: Slot): string {
  const names = [...requiredHeaders.keys()].join(", ");
  return names === "" ? "" : ` of requests with the headers ${names}`;
}

function nameOf({ provider, apiKey }: Slot): string {
  const { name, apiKeys } = provider;
  if (apiKeys.length < 2) return name;
  const number = apiKeys.findIndex(({ key }) => key === apiKey) + 1;
  return `${name}, key ${number} of ${apiKeys.length}`;
}

/** What there is to say of the credential that goes there. */
function credentialOf({ provider: { type, authValue }, apiKey }: Slot): string {
  if (type === "forward") return " with the caller's own credential";
  if (apiKey !== null || authValue !== null) return "";
  return " with the project's own credential, since none is configured";
}

/** The providers that host, path and protocol rule out. */
function others(
  config: Config,
  table: RoutingTable,
  request: AskedRequest,
  route: Route | null,
): string[] {
  const served = lookUp(table, request.host, request.path)?.served ?? null;
  const isNamed = served !== null && !table.anyHost.includes(served);
  return config.providers
    .filter((provider) => route?.pool.providers.includes(provider) !== true)
    .map((provider) => {
      const isOutranked = isNamed && provider.host === null;
      const why = whyNot(provider, request, served?.prefix ?? "", isOutranked);
      return `  ${provider.name}: no, ${why}`;
    });
}

function whyNot(
  { host, pathPrefix, type }: ProviderConfig,
  request: AskedRequest,
  prefix: string,
  isOutranked: boolean,
): string {
  if (host !== null && hostName(host) !== hostName(request.host)) return `it serves host ${host}`;
  if (withoutPrefix(request.path, pathPrefix) === null)
    return `it serves paths under ${pathPrefix}`;
  if (!isOutranked && pathPrefix !== prefix) return `the longer prefix ${prefix} comes first`;
  return isOutranked ? "a provider that names the host comes first" : `it speaks ${type}`;
}
