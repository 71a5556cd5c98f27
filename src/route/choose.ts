/**
 * Which of the upstreams that could serve a request are tried, in which order.
 *
 * Owns: the order: credential accepted, not excluded by an allow-list, model served, healthy, keys
 * that do not rest, no fallback, highest priority, then chance by weight.
 * Does not own: what any of these rests on (`allow_list.ts`, `model_map.ts`, `health.ts`,
 * `table.ts`).
 * Invariant: a pure function of its parameters; each upstream comes once. The usual choice looks at
 * as many upstreams as it returns, not at all of them.
 */

import type { CredentialConfig, ProviderConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { Endpoint, Provider } from "../provider/provider.ts";
import { allowsMethod, allowsPath } from "./allow_list.ts";
import type { Health, Upstream } from "./health.ts";
import { type KnownModel, servesModel } from "./model_map.ts";
import { methodsOf, type Route } from "./resolve.ts";
import type { Slot, Tier } from "./table.ts";

/** One upstream with one credential. */
export interface Candidate extends Slot {
  readonly family: Provider;
  /** Null: the project has its own, or none is configured. */
  readonly apiKey: CredentialConfig | null;
  readonly endpoint: Endpoint;
  /** Without the provider's and the family's prefix; `target.ts` makes the upstream's of it. */
  readonly path: string;
}

/** What the choice depends on beside the route. */
export interface ChoiceOptions {
  readonly health: Pick<Health, "obstacle" | "rests" | "refusal">;
  readonly model: KnownModel;
  /** Who made what the request is about, and alone knows it; null: anybody will do. */
  readonly maker: Upstream | null;
  /** Whether the provider takes the caller's credential. */
  accepts(provider: ProviderConfig): boolean;
  /** Whether the caller's project has its own key for the provider. */
  hasOwnKey(provider: ProviderConfig): boolean;
  /** In [0, 1). */
  random(): number;
}

/** Why an upstream is not asked. */
type Obstacle = "credential" | "endpoint" | "method" | "model" | "circuit_open" | "unhealthy";

/** Draws by weight before all upstreams are looked at. */
const DRAWS_MAX = 12;

/**
 * The candidates, best first: of as many providers as the first one's `retry.attempts`, and no more
 * keys of each, so that there are enough whether a key fails or all of its provider. What another
 * upstream would not know goes to its maker alone, or nowhere.
 * @throws GatewayError `endpoint_not_found`, `method_not_allowed`, `model_not_allowed`,
 * `circuit_open` or `no_healthy_provider`: the reason why there is none
 */
export function choose(route: Route, options: ChoiceOptions): [Candidate, ...Candidate[]] {
  const choice = new Choice(route, options);
  const [first, ...others] = choice.slots();
  if (first === undefined) throw refusal(route, options);
  const candidateOf = ({ provider, apiKey }: Slot): Candidate => ({
    provider,
    apiKey: options.hasOwnKey(provider) ? null : apiKey,
    family: route.family,
    endpoint: route.endpoint,
    path: route.path,
  });
  return [candidateOf(first), ...others.map(candidateOf)];
}

/** Why nothing of the route is sent to `slot`; null: it may be. */
export function obstacleOf(
  slot: Slot,
  { path, method }: Route,
  { health, accepts, model }: Pick<ChoiceOptions, "health" | "accepts" | "model">,
): Obstacle | null {
  const { provider } = slot;
  if (!accepts(provider)) return "credential";
  if (!allowsPath(provider.allowedEndpoints, path)) return "endpoint";
  if (!allowsMethod(provider.allowedMethods, method)) return "method";
  if (!servesModel(provider, model)) return "model";
  return health.obstacle(slot);
}

class Choice {
  readonly #route: Route;
  readonly #options: ChoiceOptions;
  readonly #chosen: Slot[] = [];

  constructor(route: Route, options: ChoiceOptions) {
    this.#route = route;
    this.#options = options;
  }

  slots(): readonly Slot[] {
    const { slots, tiers } = this.#route.pool;
    const sole = makerOf(slots, this.#options) ?? (slots.length === 1 ? slots[0] : undefined);
    if (sole !== undefined) return this.#mayServe(sole) ? [sole] : [];
    for (const tier of tiers) this.#take(tier, (slot) => this.#isFree(slot) && !this.#rests(slot));
    for (const tier of tiers) this.#take(tier, (slot) => this.#isFree(slot));
    return this.#chosen;
  }

  /** Takes from a tier as many as are wanted. */
  #take(tier: Tier, isEligible: (slot: Slot) => boolean): void {
    while (!this.#hasEnough()) {
      const slot = draw(tier, isEligible, this.#options.random);
      if (slot === null) return;
      this.#chosen.push(slot);
    }
  }

  #hasEnough(): boolean {
    const wanted = this.#wanted();
    const providers = new Set(this.#chosen.map(({ provider }) => provider)).size;
    return providers >= wanted || this.#chosen.length >= wanted * this.#route.pool.providers.length;
  }

  /** Of providers, and of the keys of each. */
  #wanted(): number {
    return Math.max(1, this.#chosen[0]?.provider.retry.attempts ?? 1);
  }

  #isFree(slot: Slot): boolean {
    const same = this.#chosen.filter((one) => one.provider === slot.provider);
    if (same.length > 0) {
      // With the project's key in their place, those of the configuration are all the same.
      const isOne = this.#options.hasOwnKey(slot.provider);
      if (isOne || same.length >= this.#wanted() || same.includes(slot)) return false;
    }
    return this.#mayServe(slot);
  }

  #mayServe(slot: Slot): boolean {
    return obstacleOf(slot, this.#route, this.#options) === null;
  }

  #rests(slot: Slot): boolean {
    return this.#options.health.rests(slot) && !this.#options.hasOwnKey(slot.provider);
  }
}

/** The slot that the request must stay with; undefined: none is, or it is not the caller's. */
function makerOf(
  slots: readonly Slot[],
  { maker, accepts, hasOwnKey }: ChoiceOptions,
): Slot | undefined {
  if (maker === null) return undefined;
  const { provider, apiKey } = maker;
  if (!accepts(provider)) return undefined;
  const own = slots.filter((slot) => slot.provider === provider);
  if (apiKey === null || hasOwnKey(provider)) return own[0];
  return own.find((slot) => slot.apiKey === apiKey);
}

/** Draws one of the eligible slots with the probability of its weight; null: none is eligible. */
function draw(
  { slots, weights, sums }: Tier,
  isEligible: (slot: Slot) => boolean,
  random: () => number,
): Slot | null {
  const total = sums.at(-1) ?? 0;
  // Drawing again where a draw is of no use leaves the others' shares as they are.
  for (let count = 0; total > 0 && count < DRAWS_MAX; count += 1) {
    const slot = slots[indexOf(sums, random() * total)];
    if (slot !== undefined && isEligible(slot)) return slot;
  }
  let left = 0;
  const eligible = slots.map((slot, index) => {
    if (!isEligible(slot)) return false;
    left += weights[index] ?? 0;
    return true;
  });
  let at = random() * left;
  const index = eligible.findIndex((is, place) => is && (at -= weights[place] ?? 0) < 0);
  // Only weights of 0 are left.
  return slots[index === -1 ? eligible.indexOf(true) : index] ?? null;
}

/** The first sum above `at`. */
function indexOf(sums: readonly number[], at: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sums[middle] ?? 0) > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Why none of the route's upstreams is asked. */
function refusal(route: Route, options: ChoiceOptions): GatewayError {
  const { pool, family, path } = route;
  const maker = makerOf(pool.slots, options);
  const slots = maker === undefined ? pool.slots : [maker];
  const obstacles = slots.map((slot) => ({ slot, what: obstacleOf(slot, route, options) }));
  const down = obstacles.filter(({ what }) => what === "circuit_open" || what === "unhealthy");
  if (down.length > 0) return options.health.refusal(down.map(({ slot }) => slot));
  if (obstacles.some(({ what }) => what === "model")) {
    const what = options.model === null ? "requests that name no model" : "this model";
    return new GatewayError("model_not_allowed", { message: `No provider serves ${what} here` });
  }
  const lists = obstacles.flatMap(({ slot, what }) =>
    what === "method" ? [slot.provider.allowedMethods] : [],
  );
  const allowed = methodsOf(family, path).filter((method) =>
    lists.some((list) => allowsMethod(list, method)),
  );
  if (allowed.length === 0) return new GatewayError("endpoint_not_found");
  return new GatewayError("method_not_allowed", { headers: { allow: allowed.join(", ") } });
}
