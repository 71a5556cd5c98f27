/**
 * Which models a provider serves, under which names.
 *
 * Owns: `models` and `allowed_models` of a provider, and where a URL names a model.
 * Does not own: models in bodies and frames (`provider/model_field.ts`), nor what a token may use
 * (`policy/access.ts`).
 * Invariant: `models` only gives further names; `allowed_models` alone limits. A model that is not
 * known yet is not excluded here, but with the choice that is made once it is.
 */

import type { ProviderConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { ProviderType } from "../exchange.ts";
import { coversName } from "../lib/glob.ts";
import { bareModel } from "../provider/model_field.ts";
import type { Endpoint } from "../provider/provider.ts";

/**
 * What is known of the model that a request is for: its name as the caller has it; null: the
 * request names none; undefined: not known yet, or the endpoint is about no model.
 */
export type KnownModel = string | null | undefined;

type ModelRules = Pick<ProviderConfig, "models" | "allowedModels">;

/**
 * Whether the provider may be asked for the model. An entry of `allowed_models` is a whole name, or
 * its beginning and a `*`; it may be the caller's name or the upstream's. What names no model may
 * get any, so that a limited provider does not take it.
 */
export function servesModel({ models, allowedModels }: ModelRules, model: KnownModel): boolean {
  if (allowedModels === null || model === undefined) return true;
  if (model === null) return false;
  const names = [model, upstreamName(models, model)].flatMap((name) => [name, bareModel(name)]);
  return allowedModels.some((entry) => names.some((name) => coversName(entry, name)));
}

/** Of a model that is named with its collection in front, it stays there. */
function upstreamName(models: ModelRules["models"], name: string): string {
  const bare = bareModel(name);
  const other = models.get(name) ?? models.get(bare);
  if (other === undefined || other === bare) return name;
  return models.has(name) ? other : name.slice(0, name.length - bare.length) + other;
}

/** Whether among these providers the model decides who can be asked. */
export function decidesByModel(providers: readonly ModelRules[]): boolean {
  return providers.some(({ allowedModels }) => allowedModels !== null);
}

const GEMINI_MODEL = /(?<=\/models\/)[^/:]+/;
const OPENAI_MODEL = /(?<=^\/v1\/models\/)[^/]+/;

/** What of a route decides where its URL names a model. */
interface NamingRoute {
  readonly pool: { readonly type: ProviderType };
  readonly endpoint: Pick<Endpoint, "dialect">;
  readonly path: string;
}

/** The model that a path or a query (Realtime) names; undefined: neither does. */
export function modelOfUrl(
  { pool, path, endpoint }: NamingRoute,
  query: string,
): string | undefined {
  const name = namePattern(pool.type)?.exec(path)?.[0];
  if (name !== undefined) return decoded(name);
  if (endpoint.dialect !== "openai_realtime") return undefined;
  return new URLSearchParams(query).get("model") ?? undefined;
}

/** The path with another name in the place of its model's. */
export function withModel(
  path: string,
  { type }: { readonly type: ProviderType },
  rename: (name: string) => string,
): string {
  const pattern = namePattern(type);
  if (pattern === null) return path;
  return path.replace(pattern, (name) => {
    const [bare, other] = [decoded(name), rename(decoded(name))];
    return other === bare ? name : encodeURIComponent(other);
  });
}

/** The query with another name in the place of its `model`. */
export function queryWithModel(query: string, rename: (name: string) => string): string {
  const parts = query.split("&").map((part) => {
    const [[key, name] = ["", ""]] = new URLSearchParams(part);
    const other = key === "model" ? rename(name) : name;
    return other === name ? part : `model=${encodeURIComponent(other)}`;
  });
  return parts.join("&");
}

const TRIVIAL = new WeakMap<ProviderConfig, ModelNames>();

/**
 * The names of models in one exchange or session: the caller's, and the upstream's. An upstream may
 * answer with the version of the model that it was asked for.
 */
export class ModelNames {
  readonly #provider: ModelRules & Pick<ProviderConfig, "name">;
  /** The name that the caller used last, by the upstream's; empty before one of them differs. */
  readonly #asked = new Map<string, string>();

  /** Where names are the same on both sides there is nothing to remember, and one does for all. */
  static of(provider: ProviderConfig): ModelNames {
    const known = TRIVIAL.get(provider);
    if (known !== undefined) return known;
    const names = new ModelNames(provider);
    if (names.isTrivial) TRIVIAL.set(provider, names);
    return names;
  }

  constructor(provider: ModelRules & Pick<ProviderConfig, "name">) {
    this.#provider = provider;
  }

  /** Whether every name may be used, and is the same on both sides. */
  get isTrivial(): boolean {
    return this.#provider.models.size === 0 && this.#provider.allowedModels === null;
  }

  /** Whether something was asked for under another name, which answers are to have. */
  get renamesAnswers(): boolean {
    return this.#asked.size > 0;
  }

  /**
   * The upstream's name of a model.
   * @throws GatewayError `model_not_allowed`: the provider is not to be asked for it
   */
  readonly toUpstream = (name: string): string => {
    this.requireServed(name);
    const theirs = upstreamName(this.#provider.models, name);
    if (theirs !== name || this.renamesAnswers) this.#asked.set(bareModel(theirs), bareModel(name));
    return theirs;
  };

  /** The caller's name of what an upstream says that it served. */
  readonly toCaller = (name: string): string => {
    return this.#asked.get(name) ?? this.#asked.get(unversioned(name)) ?? name;
  };

  /**
   * Every name of a model, for whoever has a list of names.
   * @param asked as the caller named it; null: it did not
   * @param theirs the upstream's name; null: not known
   */
  namesOf(asked: string | null, theirs: string | null): readonly string[] {
    const names = new Set(asked === null ? [] : [asked]);
    if (theirs === null) return [...names];
    names.add(theirs);
    for (const [alias, name] of this.#provider.models) {
      if (isVersionOf(theirs, name)) names.add(alias);
    }
    return [...names];
  }

  /**
   * An upstream says what a session's model is.
   * @throws GatewayError `model_not_allowed`
   */
  requireConfirmed(theirs: string): void {
    if (
      !this.namesOf(unversioned(theirs), theirs).some((name) => servesModel(this.#provider, name))
    ) {
      this.requireServed(theirs);
    }
  }

  /** @throws GatewayError `model_not_allowed`: the provider is not to be asked for it */
  requireServed(name: KnownModel): void {
    if (servesModel(this.#provider, name)) return;
    const what = name
      ? `the model ${JSON.stringify(name.slice(0, 100))}`
      : "requests without a model";
    throw new GatewayError("model_not_allowed", {
      message: `${this.#provider.name} does not serve ${what} here`,
      param: "model",
    });
  }
}

/**
 * A model without the date or number of its version: upstreams say that they served
 * `gpt-5.5-2026-04-23`, `claude-haiku-5-20260131` or `gemini-3-flash-001`.
 */
export function unversioned(model: string): string {
  return model.replace(/-(?:\d{4}-?\d{2}-?\d{2}|\d{3,4})$/, "");
}

function isVersionOf(name: string, model: string): boolean {
  return name === model || unversioned(name) === model;
}

function namePattern(type: ProviderType): RegExp | null {
  if (type === "gemini") return GEMINI_MODEL;
  return type === "openai" ? OPENAI_MODEL : null;
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
