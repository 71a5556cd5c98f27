/** JSON Schemas for `openapi.json`: what they are, and the one that all of them are made of. */

/** A JSON Schema (2020-12), as OpenAPI 3.1 takes it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * An object of exactly these properties.
 * @param required those that are always there; all of them, unless it is said
 */
export function object(
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[] = Object.keys(properties),
): JsonSchema {
  return { type: "object", required, additionalProperties: false, properties };
}
