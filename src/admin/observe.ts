/**
 * What an operator looks at: `/manage/usage/events`, `sessions`, `providers` and `status`.
 *
 * Owns: these routes and their JSON. Does not own: the ledger, or the exchanges in flight.
 * Invariant: reading changes nothing; a provider is shown without its keys and headers.
 */

import type { ProviderConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { UsageEvent } from "../exchange.ts";
import type { UsageQuery } from "../store/store.ts";
import type { AdminOptions, LiveSession } from "./context.ts";
import { operation, type Operation, type Operations, pathParameter } from "./operation.ts";
import { pageOf, parseLimit } from "./page.ts";
import { notFound } from "./problem.ts";
import { pageOf as pageSchema, ref } from "./schemas.ts";
import { parseTime, rfc3339 } from "./time.ts";

const LIMIT_DEFAULT = 100;
const SESSIONS_PATH = "/manage/sessions";

const USAGE_QUERY = [
  "project_id",
  "token_id",
  "session_id",
  "since",
  "until",
  "limit",
  "cursor",
] as const;

/** The routes of this file. */
export function observeRoutes(options: AdminOptions): Operations {
  return {
    "/manage/usage/events": {
      GET: operation(
        {
          summary: "The ledger: one event a turn, newest first",
          query: USAGE_QUERY,
          answer: [200, pageSchema("events", "UsageEvent")],
        },
        async ({ query }) => {
          const page = await options.store.listUsage(usageQuery(query, options.clock.nowMs()));
          const events = page.events.map(eventJson);
          return Response.json({ events, next_cursor: page.nextCursor });
        },
      ),
    },
    [SESSIONS_PATH]: { GET: listSessions(options) },
    [`${SESSIONS_PATH}/{id}`]: { DELETE: endSession(options) },
    "/manage/providers": {
      GET: operation(
        { summary: "Configured providers", answer: [200, pageSchema("providers", "Provider")] },
        () => {
          const providers = options.providers().map(providerJson);
          return Response.json({ providers, next_cursor: null });
        },
      ),
    },
    "/manage/status": { GET: showStatus(options) },
  };
}

function listSessions(options: AdminOptions): Operation {
  return operation(
    {
      summary: "Exchanges in flight on this node, newest first",
      query: ["project_id", "token_id", "limit", "cursor"],
      answer: [200, pageSchema("sessions", "Session", { node_id: { type: "string" } })],
    },
    ({ query }) => {
      const live = options.sessions
        .list()
        .filter(
          (session) =>
            (query.project_id === undefined || session.projectId === query.project_id) &&
            (query.token_id === undefined || session.tokenId === query.token_id),
        );
      const page = pageOf(live, positionOf, parseLimit(query.limit, LIMIT_DEFAULT), query.cursor);
      const sessions = page.entries.map(sessionJson);
      const { nodeId: node_id } = options;
      return Response.json({ node_id, sessions, next_cursor: page.nextCursor });
    },
  );
}

function endSession(options: AdminOptions): Operation {
  return operation(
    {
      summary: "End an exchange in flight",
      answer: [204, null],
      change: { action: "session.end", subject: "session:{id}" },
    },
    async ({ context, by }) => {
      const id = pathParameter(context, "id");
      const session = options.sessions.get(id);
      if (session === undefined) throw notFound("Session", id, SESSIONS_PATH);
      const { projectId: project_id, tokenId: token_id } = session;
      // Written first: it cannot be taken back when the writing fails.
      await options.store.appendAudit([{ ...by, details: { project_id, token_id } }]);
      const message = "The session was ended by an administrator";
      session.end(new GatewayError("session_limit", { message }));
      return new Response(null, { status: 204 });
    },
  );
}

function showStatus(options: AdminOptions): Operation {
  const startedMs = options.clock.monotonicMs();
  return operation(
    { summary: "Version, uptime, and how the node is", answer: [200, ref("Status")] },
    async () => {
      const uptimeMs = options.clock.monotonicMs() - startedMs;
      return Response.json({
        version: options.version,
        uptime_seconds: Math.floor(uptimeMs / 1000),
        sessions: options.sessions.list().length,
        ...(await options.status()),
      });
    },
  );
}

function usageQuery(
  query: Partial<Record<(typeof USAGE_QUERY)[number], string>>,
  nowMs: number,
): UsageQuery {
  return {
    limit: parseLimit(query.limit, LIMIT_DEFAULT),
    ...(query.project_id === undefined ? {} : { projectId: query.project_id }),
    ...(query.token_id === undefined ? {} : { tokenId: query.token_id }),
    ...(query.session_id === undefined ? {} : { sessionId: query.session_id }),
    ...(query.since === undefined ? {} : { sinceMs: parseTime("since", query.since, nowMs) }),
    ...(query.until === undefined ? {} : { untilMs: parseTime("until", query.until, nowMs) }),
    ...(query.cursor === undefined ? {} : { cursor: query.cursor }),
  };
}

function eventJson(event: UsageEvent): object {
  return { ...event, recorded_at: rfc3339(event.recorded_at) };
}

function positionOf(session: LiveSession): { timeMs: number; id: string } {
  return { timeMs: Math.floor(session.startedAtMs), id: session.id };
}

function sessionJson(session: LiveSession): object {
  return {
    id: session.id,
    transport: session.transport,
    project_id: session.projectId,
    token_id: session.tokenId,
    provider: session.provider,
    endpoint: session.endpoint,
    started_at: rfc3339(session.startedAtMs),
    remote_address: session.remoteAddress,
    turns: session.turns,
  };
}

function providerJson(provider: ProviderConfig): object {
  const { hostname, port, tls, basePath } = provider.upstream;
  return {
    name: provider.name,
    type: provider.type,
    host: provider.host,
    path_prefix: provider.pathPrefix,
    upstream: `${tls ? "https" : "http"}://${hostname}:${port}${basePath}`,
    weight: provider.weight,
    priority: provider.priority,
    is_fallback: provider.isFallback,
    auth: provider.auth,
    api_keys: provider.apiKeys.length,
    auth_keys: provider.authKeys.length,
  };
}
