/**
 * The management API: every route of the admin listener, behind its guards.
 *
 * Owns: the order of the checks, methods, and how a thrown problem becomes an answer.
 * Does not own: the listener, or what a route does.
 * Invariant: below `/manage` nothing but a refusal is answered without the admin token.
 */

import { type Context, Hono } from "hono";
import { secretsEqual } from "../auth/static_key.ts";
import { GatewayError } from "../errors.ts";
import type { AdminOptions, HealthProbe, Route, Routes } from "./context.ts";
import { requireAdminToken, requireKnownHost } from "./guard.ts";
import { observeRoutes } from "./observe.ts";
import { Problem, problemResponse } from "./problem.ts";
import { projectRoutes } from "./projects.ts";
import { tokenRoutes } from "./tokens.ts";

const PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8";

/** Answers a request of the admin listener. Never rejects. */
export type AdminHandler = (request: Request) => Promise<Response>;

/** The handler of the admin listener. */
export function createAdminHandler(options: AdminOptions): AdminHandler {
  const app = new Hono();
  app.use("/manage/*", async (context, next) => {
    requireKnownHost(context.req.raw, options.hostnames);
    requireAdminToken(context.req.raw, (token) => secretsEqual(token, options.adminToken));
    await next();
  });
  register(app, publicRoutes(options));
  register(app, projectRoutes(options));
  register(app, tokenRoutes(options));
  register(app, observeRoutes(options));
  app.notFound(() => problemResponse(unknownPath()));
  app.onError((error, context) => {
    if (error instanceof Problem && error.code === "unauthorized") {
      options.onUnauthorized(context.req.raw);
    }
    return refusal(options, error);
  });
  return async (request) => withSafeHeaders(await app.fetch(request));
}

/** Health and metrics carry no secret, and probes send whatever host and token they like. */
function publicRoutes(options: AdminOptions): Routes {
  const health = (probe: HealthProbe) => ({ GET: () => options.health(probe) });
  return {
    "/health": health("health"),
    "/health/live": health("live"),
    "/health/ready": health("ready"),
    "/metrics": {
      GET: async () =>
        new Response(await options.metrics(), { headers: { "content-type": PROMETHEUS_TEXT } }),
    },
  };
}

function register(app: Hono, routes: Routes): void {
  for (const [path, byMethod] of Object.entries(routes)) {
    for (const [method, route] of Object.entries(byMethod)) app.on(method, path, route);
    app.all(path, methodNotAllowed(Object.keys(byMethod)));
  }
}

/**
 * hono answers HEAD from the GET route, so it is allowed wherever GET is (RFC 9110 section 9.3.2).
 */
function methodNotAllowed(methods: readonly string[]): Route {
  const allowed = methods.includes("GET") ? ["GET", "HEAD", ...methods.slice(1)] : methods;
  const allow = allowed.join(", ");
  return (context: Context) => {
    const message = `${context.req.method.slice(0, 20)} is not allowed here`;
    throw new Problem("method_not_allowed", message, `Allowed: ${allow}`, { allow });
  };
}

function unknownPath(): Problem {
  return new Problem(
    "not_found",
    "No such path",
    "See /manage/{projects,tokens,revocations,usage/events,sessions,providers,status}",
  );
}

function refusal(options: AdminOptions, error: unknown): Response {
  if (error instanceof Problem) return problemResponse(error);
  // The store judges its own cursors.
  if (error instanceof GatewayError && error.code === "bad_request") {
    const advice = error.param === null ? "Correct the request" : `It is about "${error.param}"`;
    return problemResponse(new Problem("bad_request", error.message, advice));
  }
  options.onError(error);
  const advice = "The node's log says why. If the database is away, try again later";
  return problemResponse(new Problem("internal", "Internal error", advice));
}

/** Answers hold what must stay in no cache and be taken for nothing but what it is. */
function withSafeHeaders(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.set("cache-control", "no-store");
  headers.set("x-content-type-options", "nosniff");
  return new Response(response.body, { status: response.status, headers });
}
