/**
 * `/manage/openapi.json`: the management API as OpenAPI 3.1.
 *
 * Owns: the document's form. Does not own: what is described; paths, parameters and bodies are
 * taken from the operations themselves, answers from `schemas.ts`.
 * Invariant: every operation below `/manage` is in it, and nothing else.
 */

import {
  type FieldKind,
  KEY_LENGTH_MAX,
  type Kinds,
  NAMES_MAX,
  TEXT_LENGTH_MAX,
} from "./fields.ts";
import { type JsonSchema, object } from "./json_schema.ts";
import { operation, type Operation, type Operations } from "./operation.ts";
import { POLICY_DOCUMENT } from "./policy_schemas.ts";
import { ref, SCHEMAS } from "./schemas.ts";

const TEXT = { type: "string", minLength: 1, maxLength: TEXT_LENGTH_MAX };
const OPTIONAL_TEXT = { required: false, schema: { type: "string" } };
const COUNT = { type: "integer", minimum: 1 };

/** What each kind of field may be. */
const KIND_SCHEMAS: Readonly<Record<FieldKind, JsonSchema>> = {
  text: TEXT,
  nullable_text: { ...TEXT, type: ["string", "null"] },
  secret: { ...TEXT, maxLength: KEY_LENGTH_MAX, writeOnly: true },
  boolean: { type: "boolean" },
  count: COUNT,
  nullable_count: { ...COUNT, type: ["integer", "null"] },
  names: {
    type: ["array", "null"],
    items: TEXT,
    minItems: 1,
    maxItems: NAMES_MAX,
    description: "Exact names, or beginnings followed by *.",
  },
  limits: {
    ...SCHEMAS.Limits,
    properties: Object.fromEntries(
      Object.keys(SCHEMAS.Limits.properties).map((name) => [
        name,
        { ...COUNT, type: ["integer", "null"] },
      ]),
    ),
  },
  credential_kind: { type: "string", enum: ["api_key", "oauth"] },
  policy: POLICY_DOCUMENT,
  time: {
    type: ["string", "integer"],
    description: "RFC 3339, or seconds since the epoch.",
  },
};

/** The route of the document, which describes itself too. */
export function openApiRoutes(others: Operations, version: string): Operations {
  const path = "/manage/openapi.json";
  const routes: Operations = {
    [path]: {
      GET: operation({ summary: "This document", answer: [200, ref("OpenApi")] }, () =>
        Response.json(document({ ...others, ...routes }, version)),
      ),
    },
  };
  return routes;
}

function document(operations: Operations, version: string): object {
  const paths = Object.entries(operations).map(([path, byMethod]) => {
    const described = Object.entries(byMethod).map(([method, one]) => [
      method.toLowerCase(),
      describe(one),
    ]);
    return [path, { ...parametersOf(path), ...Object.fromEntries(described) }];
  });
  return {
    openapi: "3.1.0",
    info: { title: "sluice management API", version },
    security: [{ admin_token: [] }],
    paths: Object.fromEntries(paths),
    components: {
      securitySchemes: { admin_token: { type: "http", scheme: "bearer" } },
      schemas: SCHEMAS,
    },
  };
}

function parametersOf(path: string): object {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  if (names.length === 0) return {};
  const parameter = (name: string | undefined) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  });
  return { parameters: names.map(parameter) };
}

function describe(operation: Operation): object {
  const { summary, query, body, document, hasETag, isChange } = operation;
  const [status, schema] = operation.answer;
  const parameters = query.map((name) => ({ name, in: "query", ...OPTIONAL_TEXT }));
  if (hasETag && isChange) parameters.push({ name: "If-Match", in: "header", ...OPTIONAL_TEXT });
  return {
    summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null ? {} : { requestBody: bodyOf(body) }),
    ...(document === null ? {} : { requestBody: { required: true, ...contentOf(document) } }),
    responses: {
      [status]: {
        description: "Done",
        ...(hasETag ? { headers: { ETag: { schema: { type: "string" } } } } : {}),
        ...(schema === null ? {} : contentOf(schema)),
      },
      default: { description: "Refused", ...contentOf(ref("Error")) },
    },
  };
}

function bodyOf({ required, optional }: { required: Kinds; optional: Kinds }): object {
  const properties = Object.fromEntries(
    Object.entries({ ...required, ...optional }).map(([name, kind]) => [name, KIND_SCHEMAS[kind]]),
  );
  const names = Object.keys(required);
  return { required: names.length > 0, ...contentOf(object(properties, names)) };
}

function contentOf(schema: JsonSchema): object {
  return { content: { "application/json": { schema } } };
}
