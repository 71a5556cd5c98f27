/**
 * The management API: every route of the admin listener, behind its guards.
 *
 * Owns: the order of the checks, methods, how a thrown problem becomes an answer, and the audit of
 * refusals.
 * Does not own: the listener, or what a route does.
 * Invariant: below `/manage` nothing but a refusal is answered without an admin token, and every
 * refused or failed change, and every login that failed, gets into the audit, by itself or summed.
 */

import { Hono } from "hono";
import type { AdminConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import { DatabaseError } from "../store/postgres_error.ts";
import { auditRoutes } from "./audit.ts";
import { type AdminContext, type Call, newCall, refusalEntry } from "./call.ts";
import type { AdminOptions, HealthProbe } from "./context.ts";
import { credentialRoutes } from "./credentials.ts";
import { readLogin, requireAdmin, requireKnownHost } from "./guard.ts";
import { keyRoutes } from "./keys.ts";
import { observeRoutes } from "./observe.ts";
import { openApiRoutes } from "./openapi.ts";
import type { Operations } from "./operation.ts";
import { policyRoutes } from "./policies.ts";
import { KeptProblem, Problem, problemResponse } from "./problem.ts";
import { projectRoutes } from "./projects.ts";
import { revocationRoutes } from "./revocations.ts";
import { LoginThrottle } from "./throttle.ts";
import { tokenRoutes } from "./tokens.ts";

const PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8";

/** Who sent a request of the admin listener. */
interface Client {
  readonly remoteAddress: string;
}

/** Answers a request of the admin listener. Never rejects. */
export type AdminHandler = (request: Request, client: Client) => Promise<Response>;

type AdminApp = Hono<{ Bindings: Call }>;
type Handler = (context: AdminContext) => Response | Promise<Response>;

/** The handler of the admin listener. */
export function createAdminHandler(options: AdminOptions): AdminHandler {
  const app: AdminApp = new Hono();
  const throttle = new LoginThrottle(options.clock);
  app.use("/manage/*", async (context, next) => {
    context.env.action = "login";
    context.env.admin = identify(options, throttle, context);
    context.env.action = "request";
    await next();
  });
  for (const [path, get] of Object.entries(publicRoutes(options)))
    register(app, path, { GET: get });
  for (const [path, byMethod] of Object.entries(operations(options))) {
    const handlers = Object.entries(byMethod).map(([method, { handle }]) => [method, handle]);
    register(app, path.replace(/\{(\w+)\}/g, ":$1"), Object.fromEntries(handlers));
  }
  app.notFound(() => {
    throw unknownPath();
  });
  app.onError((error, context) => refuse(options, error, context));
  return async (request, { remoteAddress }) => {
    const call = newCall(request, remoteAddress);
    return withSafeHeaders(await app.fetch(request, call), call.requestId);
  };
}

function operations(options: AdminOptions): Operations {
  const described = {
    ...projectRoutes(options),
    ...credentialRoutes(options),
    ...tokenRoutes(options),
    ...revocationRoutes(options),
    ...observeRoutes(options),
    ...keyRoutes(options),
    ...auditRoutes(options),
    ...policyRoutes(options),
  };
  return { ...described, ...openApiRoutes(described, options.version) };
}

/** Whose call it is. A wrong token is counted, also under a foreign name; a missing one is not. */
function identify(
  options: AdminOptions,
  throttle: LoginThrottle,
  { req, env }: AdminContext,
): AdminConfig {
  const login = readLogin(req.raw, options.admins);
  const waitMs = throttle.waitMs(env.clientAddress, login.admin?.name ?? null);
  if (waitMs > 0) throw tooManyAttempts(Math.ceil(waitMs / 1000));
  if (login.isAttempt && login.admin === null) throttle.failed(env.clientAddress);
  requireKnownHost(req.raw, options.hostnames);
  const admin = requireAdmin(login);
  throttle.succeeded(env.clientAddress, admin.name);
  return admin;
}

function tooManyAttempts(waitSeconds: number): Problem {
  const advice = `Wait ${waitSeconds} s, then send the admin token as Authorization: Bearer`;
  const headers = { "retry-after": String(waitSeconds) };
  return new Problem("too_many_attempts", "Too many failed attempts", advice, headers);
}

/** Health and metrics carry no secret, and probes send whatever host and token they like. */
function publicRoutes(options: AdminOptions): Readonly<Record<string, Handler>> {
  const health = (probe: HealthProbe) => async () => options.health(probe);
  const headers = { "content-type": PROMETHEUS_TEXT };
  return {
    "/health": health("health"),
    "/health/live": health("live"),
    "/health/ready": health("ready"),
    "/metrics": async () => new Response(await options.metrics(), { headers }),
  };
}

function register(app: AdminApp, path: string, byMethod: Readonly<Record<string, Handler>>): void {
  for (const [method, handler] of Object.entries(byMethod)) app.on(method, path, handler);
  app.all(path, methodNotAllowed(Object.keys(byMethod)));
}

/**
 * hono answers HEAD from the GET route, so it is allowed wherever GET is (RFC 9110 section 9.3.2).
 */
function methodNotAllowed(methods: readonly string[]): Handler {
  const allowed = methods.includes("GET") ? ["GET", "HEAD", ...methods.slice(1)] : methods;
  const allow = allowed.join(", ");
  return (context) => {
    const message = `${context.req.method.slice(0, 20)} is not allowed here`;
    throw new Problem("method_not_allowed", message, `Allowed: ${allow}`, { allow });
  };
}

function unknownPath(): Problem {
  return new Problem("not_found", "No such path", "GET /manage/openapi.json describes all of them");
}

async function refuse(
  options: AdminOptions,
  error: unknown,
  { req, env }: AdminContext,
): Promise<Response> {
  const problem = problemOf(options, error);
  const isKnown = env.admin !== null;
  if (isAudited(problem, req.method, env)) {
    const noted = options.refusalAudit.note(refusalEntry(env, req.raw, problem), isKnown);
    if (!isKnown) options.onRefused(req.raw, problem.code, noted === "another");
    if (noted === "single") await options.refusalAudit.written();
  }
  return problemResponse(problem);
}

/** Refused changes and logins. What is in force has an entry of its own once it is stored. */
function isAudited(problem: Problem, method: string, { action, admin }: Call): boolean {
  if (action === null || problem instanceof KeptProblem) return false;
  return admin === null || (method !== "GET" && method !== "HEAD");
}

function problemOf(options: AdminOptions, error: unknown): Problem {
  if (error instanceof Problem) return error;
  // The store judges its own cursors.
  if (error instanceof GatewayError && error.code === "bad_request") {
    const advice = error.param === null ? "Correct the request" : `It is about "${error.param}"`;
    return new Problem(error.status === 409 ? "conflict" : "bad_request", error.message, advice);
  }
  options.onError(error);
  if (isAway(error)) return away();
  return new Problem("internal", "Internal error", "The node's log says why");
}

function isAway(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return false;
  return error.isUnreachable || error.code === "POOL_TIMEOUT";
}

function away(): Problem {
  const advice = "Look whether it was changed before you try again; a change may have got through";
  return new Problem("store_unavailable", "The database does not answer", advice);
}

/** Answers hold what must stay in no cache and be taken for nothing but what it is. */
function withSafeHeaders(response: Response, requestId: string): Response {
  const headers = new Headers(response.headers);
  headers.set("cache-control", "no-store");
  headers.set("x-content-type-options", "nosniff");
  headers.set("x-request-id", requestId);
  return new Response(response.body, { status: response.status, headers });
}
