/**
 * An operation of the management API: one method of one path, with all that is said of it.
 *
 * Owns: what happens around each operation: role, reading the query and the body.
 * Does not own: what an operation does, or the answers to what is no operation (`api.ts`).
 * Invariant: what reads a request is what describes it in `openapi.json`; a viewer reads only.
 */

import type { AuditEntry } from "../store/store.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import { type AdminContext, type AuditAction, entryOf } from "./call.ts";
import { type Fields, type Kinds, readFields, readQuery, type Shape } from "./fields.ts";
import { readJson } from "./guard.ts";
import type { JsonSchema } from "./json_schema.ts";
import { Problem } from "./problem.ts";

/** A body without fields, which may be left out. */
export const NO_FIELDS = { required: {}, optional: {} } as const satisfies Shape;

/** What an operation is called with. */
interface Input<S extends Shape, Q extends string> {
  readonly context: AdminContext;
  readonly query: Partial<Record<Q, string>>;
  readonly body: Fields<S>;
  /** The whole body where it is described by `document`; undefined: it is empty. */
  readonly document: unknown;
  /** The entry of the audit that goes with the change. */
  readonly by: AuditEntry;
}

interface Description<S extends Shape, Q extends string> {
  /** A few words for `openapi.json`. */
  readonly summary: string;
  readonly query?: readonly Q[];
  readonly body?: S;
  /** In place of `body`: of a body that is a document, which the operation checks itself. */
  readonly document?: JsonSchema;
  /** It answers with an ETag, and where it changes something it honours `If-Match`. */
  readonly hasETag?: true;
  /** The status of success, and its body; null for none. */
  readonly answer: readonly [status: 200 | 201 | 204, schema: JsonSchema | null];
  /**
   * Of a change; without it a viewer may call it, whatever its method. `subject` may hold
   * parameters of the path: `project:{id}`. Where there are none, `asked` may hold fields of the
   * body: what a refused change was about. The first of them counts that the body has.
   */
  readonly change?: Change;
}

interface Change {
  readonly action: AuditAction;
  readonly subject: string;
  readonly asked?: readonly string[];
}

/** An operation as it is registered and described. */
export interface Operation {
  readonly summary: string;
  readonly query: readonly string[];
  /** Null: it takes no body. */
  readonly body: { readonly required: Kinds; readonly optional: Kinds } | null;
  /** Null: its body is not a document. */
  readonly document: JsonSchema | null;
  readonly hasETag: boolean;
  readonly isChange: boolean;
  readonly answer: readonly [status: number, schema: JsonSchema | null];
  /** @throws Problem for what it refuses */
  readonly handle: (context: AdminContext) => Promise<Response>;
}

/** Operations by path, such as `/manage/projects/{id}`, and method. */
export type Operations = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** Puts an operation together from its description and what it does. */
export function operation<S extends Shape = typeof NO_FIELDS, Q extends string = never>(
  description: Description<S, Q>,
  run: (input: Input<S, Q>) => MaybePromise<Response>,
): Operation {
  const { summary, query = [], body: shape, document: schema, answer, change } = description;
  const handle = async (context: AdminContext) => {
    begin(context, change ?? null);
    const request = context.req.raw;
    if (change !== undefined && context.env.admin?.role !== "admin") {
      name(context, change.asked ?? [], await readJson(request).catch(() => undefined));
      throw readsOnly();
    }
    const parameters = readQuery(request, query);
    const sent = schema === undefined && shape === undefined ? undefined : await readJson(request);
    name(context, change?.asked ?? [], sent);
    const document = schema === undefined ? undefined : sent;
    const body = shape === undefined ? noFields<S>() : readFields(sent, shape);
    return run({ context, query: parameters, body, document, by: entryOf(context.env) });
  };
  return {
    summary,
    query,
    body: shape ?? null,
    document: schema ?? null,
    hasETag: description.hasETag === true,
    isChange: change !== undefined,
    answer,
    handle,
  };
}

/** What is read without a shape. */
function noFields<S extends Shape>(): Fields<S> {
  // `S` is `NO_FIELDS` then, which has nothing that `run` could read.
  return {} as Fields<S>;
}

/** From here on the audit knows what was asked for, also where it is refused. */
function begin({ env, req }: AdminContext, change: Change | null): void {
  env.action = change?.action ?? null;
  if (change === null) return;
  env.subject = change.subject.replace(/\{(\w+)\}/g, (_, name: string) => req.param(name) ?? "");
}

function readsOnly(): Problem {
  const advice = "Its role is viewer. Changes need an admin token with the role admin";
  return new Problem("forbidden", "This admin token only reads", advice);
}

/** Before the fields are checked: a refusal should say what it was about. */
function name({ env }: AdminContext, asked: readonly string[], sent: unknown): void {
  if (typeof sent !== "object" || sent === null) return;
  const fields = new Map<string, unknown>(Object.entries(sent));
  for (const template of asked) {
    const subject = filled(template, fields);
    if (subject === null) continue;
    env.subject = subject;
    return;
  }
}

/** Null: the body lacks one of its fields, or that is no plain text. */
function filled(template: string, fields: ReadonlyMap<string, unknown>): string | null {
  let isWhole = true;
  const text = template.replace(/\{(\w+)\}/g, (_, field: string) => {
    const value = fields.get(field);
    if (typeof value === "string" && value.trim() !== "" && !/\p{Cc}/u.test(value)) return value;
    isWhole = false;
    return "";
  });
  return isWhole ? text : null;
}

/** A parameter of the path. */
export function pathParameter(context: AdminContext, name: string): string {
  return context.req.param(name) ?? "";
}
