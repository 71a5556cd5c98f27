/**
 * Which models a provider serves, under which names.
 *
 * Owns: `models` and `allowed_models` of a provider, and where a URL names a model.
 * Does not own: models in bodies and frames, nor what a token may use (`policy/access.ts`).
 * Invariant: `models` only gives further names; `allowed_models` alone limits. A model that is not
 * known yet is not excluded here, but with the choice that is made once it is.
 */

import type { ProviderConfig } from "../config/config.ts";
import type { Route } from "./resolve.ts";

/**
 * Whether the provider may be asked for the model. An entry of `allowed_models` is a whole name, or
 * its beginning and a `*`; it may be the caller's name or the upstream's.
 * @param model as the caller names it; null: not known yet
 */
export function servesModel(
  { models, allowedModels }: Pick<ProviderConfig, "models" | "allowedModels">,
  model: string | null,
): boolean {
  if (allowedModels === null || model === null) return true;
  const theirs = models.get(model) ?? model;
  return allowedModels.some((entry) => isNamed(entry, model) || isNamed(entry, theirs));
}

/** The model that a path (Gemini) or a query (Realtime) names; null: neither does. */
export function modelOfUrl({ pool, path, endpoint }: Route, query: string): string | null {
  if (pool.type === "gemini") return /\/models\/([^/:]+)/.exec(path)?.[1] ?? null;
  if (endpoint.dialect !== "openai_realtime") return null;
  return new URLSearchParams(query).get("model");
}

function isNamed(entry: string, model: string): boolean {
  return entry.endsWith("*") ? model.startsWith(entry.slice(0, -1)) : model === entry;
}
