-- The first schema. Written for SQLite and PostgreSQL alike: times are milliseconds since the
-- epoch, ids opaque text, flags 0 or 1, JSON is text.

CREATE TABLE projects (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  is_active INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deactivated_at BIGINT
);

-- Exchanges without a token of their own (static keys, auth: open) belong to it.
INSERT INTO projects (id, name, is_active, created_at, updated_at, deactivated_at)
VALUES ('default', 'default', 1, 0, 0, NULL);

CREATE TABLE credentials (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id),
  provider TEXT NOT NULL,
  label TEXT,
  ciphertext TEXT NOT NULL,
  masked TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE (project_id, provider)
);

CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects (id),
  label TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT
);

CREATE INDEX tokens_by_project ON tokens (project_id, created_at);

-- Not tied to tokens: a token may be revoked that this database never saw.
CREATE TABLE revocations (
  jti TEXT PRIMARY KEY,
  revoked_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

CREATE TABLE signing_keys (
  kid TEXT PRIMARY KEY,
  algorithm TEXT NOT NULL,
  public_jwk TEXT NOT NULL,
  ciphertext TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- No foreign keys: a turn that was billed is recorded whatever became of its project and token.
CREATE TABLE usage_events (
  event_id TEXT PRIMARY KEY,
  recorded_at BIGINT NOT NULL,
  node_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  token_id TEXT,
  session_id TEXT NOT NULL,
  turn BIGINT NOT NULL,
  kind TEXT NOT NULL,
  transport TEXT NOT NULL,
  provider TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  requested_model TEXT,
  model TEXT,
  requested_service_tier TEXT,
  decided_service_tier TEXT,
  service_tier TEXT,
  status TEXT NOT NULL,
  error_code TEXT,
  http_status BIGINT,
  response_id TEXT,
  upstream_request_id TEXT,
  input_tokens BIGINT,
  cached_input_tokens BIGINT,
  cache_creation_input_tokens BIGINT,
  output_tokens BIGINT,
  reasoning_tokens BIGINT,
  audio_input_tokens BIGINT,
  audio_output_tokens BIGINT,
  audio_seconds DOUBLE PRECISION,
  web_search_requests BIGINT,
  usage_source TEXT NOT NULL,
  details TEXT NOT NULL,
  cost_micros BIGINT,
  first_token_ms DOUBLE PRECISION,
  duration_ms DOUBLE PRECISION,
  frames_up BIGINT NOT NULL,
  frames_down BIGINT NOT NULL,
  bytes_up BIGINT NOT NULL,
  bytes_down BIGINT NOT NULL
);

CREATE INDEX usage_events_by_time ON usage_events (recorded_at, event_id);
CREATE INDEX usage_events_by_project ON usage_events (project_id, recorded_at, event_id);
CREATE INDEX usage_events_by_token ON usage_events (token_id, recorded_at, event_id);
CREATE INDEX usage_events_by_session ON usage_events (session_id, recorded_at, event_id);
-- Few rows at any time: turns in the background whose usage has not come yet.
CREATE INDEX usage_events_pending ON usage_events (response_id) WHERE status = 'pending';
