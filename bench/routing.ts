/**
 * What it costs to find the upstream of a request, and to read a configuration with many of them.
 *
 * Owns: measuring, in this process, the code that the executable runs. Does not own: asking the
 * upstream.
 * Invariant: the configuration is loaded first, in a process that has loaded none, as a node does.
 */

import type { Config } from "../src/config/config.ts";
import { parseConfig } from "../src/config/parse.ts";
import { providerOf } from "../src/provider/dialect.ts";
import { type ChoiceOptions, choose } from "../src/route/choose.ts";
import { Health } from "../src/route/health.ts";
import { resolve } from "../src/route/resolve.ts";
import { buildTable, type RoutingTable } from "../src/route/table.ts";
import { systemClock } from "../src/runtime/clock.ts";
import { type Cost, costUs, ROUNDS } from "./cost.ts";

const PROVIDERS = 100;
const CHOICES = 200_000;
const TYPES = ["openai", "anthropic", "gemini"] as const;
const AIM = "< 3";

/** Requests of every family, as they come in turn. */
const ASKED = [
  ["POST", "/v1/responses"],
  ["POST", "/v1/messages"],
  ["POST", "/v1beta/models/gemini-2.5-flash:generateContent"],
  ["GET", "/v1/responses/resp_68af4030baa48193b0b43b4c2a176a1a"],
  ["GET", "/v1/models"],
] as const;

/** `quick` takes one round instead of several. */
export function measureRouting(quick: boolean): Cost[] {
  const rounds = quick ? 1 : ROUNDS;
  const startMs = performance.now();
  const mixed = configOf(TYPES);
  const loadUs = (performance.now() - startMs) * 1000;
  const table = buildTable(mixed.providers, null);
  const alike = configOf(["openai"]);
  const pool = buildTable(alike.providers, null);
  const way = routeOf(pool, "POST", "/v1/responses");
  const well = options(new Health(systemClock, () => {}));
  const ill = options(halfDown(alike));
  const choosing = (more: ChoiceOptions) => costUs(rounds, CHOICES, () => choose(way, more));
  const both = costUs(rounds, CHOICES, (turn) => {
    const [method, path] = ASKED[turn % ASKED.length] ?? ASKED[0];
    choose(routeOf(table, method, path), well);
  });
  return [
    { operation: `load ${PROVIDERS} providers, once`, us: loadUs, aim: "< 100000" },
    { operation: `choose among ${PROVIDERS}`, us: choosing(well), aim: AIM },
    { operation: `the same, every other one down`, us: choosing(ill), aim: AIM },
    { operation: "resolve and choose, three families", us: both, aim: AIM },
  ];
}

/** Providers with all that limits one, of the types in turn. */
function configOf(types: readonly string[]): Config {
  const providers = Array.from(
    { length: PROVIDERS },
    (_, index) => `  - type: ${types[index % types.length]}
    endpoint: upstream-${index}.example
    weight: ${1 + (index % 3)}
    api_keys: [{key: sk-one-${index}}, {key: sk-two-${index}, weight: 2}]
    allowed_endpoints: [/v1, /v1beta]
    allowed_methods: [GET, POST]
    health_check: {path: /v1/models}`,
  );
  return parseConfig({ text: `providers:\n${providers.join("\n")}\n`, env: {} }).config;
}

function routeOf(table: RoutingTable, method: string, path: string) {
  const headers = new Headers();
  return resolve(
    { method, path, host: "gateway.example:8080", upgrade: false, headers },
    table,
    providerOf,
  );
}

function options(health: Health): ChoiceOptions {
  return {
    health,
    model: null,
    maker: null,
    accepts: () => true,
    hasOwnKey: () => false,
    random: Math.random,
  };
}

function halfDown({ providers }: Config): Health {
  const health = new Health(systemClock, () => {});
  for (const [index, provider] of providers.entries()) {
    if (index % 2 === 0) continue;
    for (const { key } of provider.apiKeys) health.checked({ provider, apiKey: key }, false);
  }
  return health;
}
