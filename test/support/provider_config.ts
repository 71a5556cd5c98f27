/** A provider's configuration with nothing special about it, for tests to vary. */

import type { ProviderConfig, TimeoutsConfig } from "../../src/config/config.ts";

export const TIMEOUTS: TimeoutsConfig = {
  requestMs: 0,
  dialMs: 10_000,
  responseHeaderMs: 600_000,
  idleMs: 900_000,
  writeMs: 120_000,
  firstFrameMs: 30_000,
  betweenTurnsMs: 0,
  pingMs: 30_000,
  drainAfterDisconnectMs: 1_200,
};

export function providerConfig(changes: Partial<ProviderConfig> = {}): ProviderConfig {
  return {
    name: "openai",
    type: "openai",
    host: null,
    pathPrefix: "",
    upstream: { hostname: "api.openai.example", port: 443, tls: true, basePath: "" },
    weight: 1,
    priority: 0,
    isFallback: false,
    apiKeys: [],
    authHeader: null,
    authValue: null,
    auth: "required",
    authKeys: [],
    headersStrip: [],
    headersInject: {},
    timeouts: TIMEOUTS,
    retry: { attempts: 2, on: ["connect"] },
    circuitBreaker: { failures: 5, cooldownMs: 30_000, statuses: [502, 503, 504] },
    probe: null,
    models: new Map(),
    allowedModels: null,
    allowedEndpoints: null,
    allowedMethods: null,
    allowedOrigins: null,
    requiredHeaders: new Map(),
    paramWhitelist: new Map(),
    credentialKind: "api_key",
    injectStreamUsage: true,
    xForwardedFor: "strip",
    connection: { idleMax: 64, idleTimeoutMs: 90_000 },
    egressProxy: null,
    certificateFiles: { ca: null, cert: null, key: null },
    certificates: { ca: null, cert: null, key: null },
    ...changes,
  };
}
