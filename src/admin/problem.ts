/**
 * Refusals of the management API: `{"error": text, "code", "description": what to do}`, with
 * `problems` where there is more to say.
 *
 * Owns: the shape and the codes that exist only here. Does not own: refusals on the data listener
 * (`errors.ts`).
 * Invariant: a description says how to mend the request, and no refusal repeats a value that may be
 * a secret.
 */

import { scrub } from "../emit/redact.ts";

/** The closed set of codes of the management API. */
type ProblemCode =
  | "bad_request"
  | "unknown_field"
  | "masked_key"
  | "unauthorized"
  | "host_not_allowed"
  | "forbidden"
  | "too_many_attempts"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "stale"
  | "project_inactive"
  | "body_too_large"
  | "unsupported_media_type"
  | "store_unavailable"
  | "internal";

const STATUS: Readonly<Record<ProblemCode, number>> = {
  bad_request: 400,
  unknown_field: 400,
  masked_key: 400,
  unauthorized: 401,
  host_not_allowed: 403,
  forbidden: 403,
  project_inactive: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  stale: 412,
  body_too_large: 413,
  unsupported_media_type: 415,
  too_many_attempts: 429,
  internal: 500,
  store_unavailable: 503,
};

/** One of several things that are wrong with a document, and where. */
interface FoundProblem {
  readonly path: string;
  readonly message: string;
}

/** A refusal. Thrown by a route, turned into an answer in `api.ts`. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly code: ProblemCode;
  readonly description: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly problems: readonly FoundProblem[];

  /**
   * @param message what is wrong
   * @param description what to do about it
   * @param problems where several things are wrong with a document, each of them
   */
  constructor(
    code: ProblemCode,
    message: string,
    description: string,
    headers: Readonly<Record<string, string>> = {},
    problems: readonly FoundProblem[] = [],
  ) {
    super(message);
    this.code = code;
    this.description = description;
    this.headers = headers;
    this.problems = problems;
  }

  get status(): number {
    return STATUS[this.code];
  }
}

/** Not quite a refusal: the change is in force here, and is stored and audited later. */
export class KeptProblem extends Problem {
  constructor() {
    super(
      "store_unavailable",
      "In force on this node; the database did not take it yet",
      "It is stored, and reaches the other nodes, as soon as the database answers. Should this " +
        "node stop before, send it again. Other fields that came with it were not changed",
    );
  }
}

/** The HTTP answer to a refusal. */
export function problemResponse(problem: Problem): Response {
  const { message: error, code, description, problems, status, headers } = problem;
  const found = problems.length === 0 ? {} : { problems };
  return Response.json({ error, code, description, ...found }, { status, headers });
}

/** What the path names is not there. */
export function notFound(what: string, id: string, listPath: string): Problem {
  const shown = JSON.stringify(scrub(id).slice(0, 100));
  return new Problem(
    "not_found",
    `${what} ${shown} not found`,
    `GET ${listPath} lists what there is`,
  );
}
