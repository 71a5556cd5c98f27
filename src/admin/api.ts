/**
 * The management API: every route of the admin listener, behind its guards.
 *
 * Owns: the order of the checks, methods, how a thrown problem becomes an answer, and the audit of
 * refusals.
 * Does not own: the listener, or what a route does.
 * Invariant: below `/manage` nothing but a refusal is answered without an admin token, and no
 * refused or failed change goes without its entry in the audit.
 */

import { Hono } from "hono";
import type { AdminConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import { auditRoutes } from "./audit.ts";
import { type AdminContext, type Call, newCall, refusalEntry } from "./call.ts";
import type { AdminOptions, HealthProbe } from "./context.ts";
import { credentialRoutes } from "./credentials.ts";
import { requireAdmin, requireKnownHost } from "./guard.ts";
import { keyRoutes } from "./keys.ts";
import { observeRoutes } from "./observe.ts";
import { openApiRoutes } from "./openapi.ts";
import type { Operations } from "./operation.ts";
import { policyRoutes } from "./policies.ts";
import { Problem, problemResponse } from "./problem.ts";
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

/** Whose call it is. Failures are counted, also those of requests that name a foreign host. */
function identify(
  options: AdminOptions,
  throttle: LoginThrottle,
  { req, env }: AdminContext,
): AdminConfig {
  const waitMs = throttle.waitMs(env.clientAddress);
  if (waitMs > 0) throw tooManyAttempts(Math.ceil(waitMs / 1000));
  try {
    requireKnownHost(req.raw, options.hostnames);
    const admin = requireAdmin(req.raw, options.admins);
    throttle.succeeded(env.clientAddress);
    return admin;
  } catch (error) {
    throttle.failed(env.clientAddress);
    throw error;
  }
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
  if (problem.code === "unauthorized") options.onUnauthorized(req.raw);
  if (isAudited(problem, req.method, env)) {
    try {
      await options.store.appendAudit([refusalEntry(env, req.raw, problem)]);
    } catch (cause) {
      options.onError(cause);
    }
  }
  return problemResponse(problem);
}

/** Refused changes and logins. Those that are refused for being too many would be too many. */
function isAudited({ code }: Problem, method: string, { action }: Call): boolean {
  if (action === null || code === "too_many_attempts") return false;
  return code === "unauthorized" || (method !== "GET" && method !== "HEAD");
}

function problemOf(options: AdminOptions, error: unknown): Problem {
  if (error instanceof Problem) return error;
  // The store judges its own cursors.
  if (error instanceof GatewayError && error.code === "bad_request") {
    const advice = error.param === null ? "Correct the request" : `It is about "${error.param}"`;
    return new Problem("bad_request", error.message, advice);
  }
  options.onError(error);
  const advice = "The node's log says why. If the database is away, try again later";
  return new Problem("internal", "Internal error", advice);
}

/** Answers hold what must stay in no cache and be taken for nothing but what it is. */
function withSafeHeaders(response: Response, requestId: string): Response {
  const headers = new Headers(response.headers);
  headers.set("cache-control", "no-store");
  headers.set("x-content-type-options", "nosniff");
  headers.set("x-request-id", requestId);
  return new Response(response.body, { status: response.status, headers });
}
