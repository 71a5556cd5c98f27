-- The control plane: limits, revocations that nodes follow, leases, audit.

ALTER TABLE projects ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';

-- As signed into the token; NULL restricts nothing.
ALTER TABLE tokens ADD COLUMN models TEXT;
ALTER TABLE tokens ADD COLUMN endpoints TEXT;
ALTER TABLE tokens ADD COLUMN tiers TEXT;
ALTER TABLE tokens ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
-- Added up by the nodes every second or so, not with each request.
ALTER TABLE tokens ADD COLUMN last_used_at BIGINT;
ALTER TABLE tokens ADD COLUMN request_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN cache_hit_count BIGINT NOT NULL DEFAULT 0;

-- Pages of the list; the rows that are forgotten; those that a revocation of a project marks.
CREATE INDEX tokens_by_time ON tokens (created_at, id);
CREATE INDEX tokens_by_expiry ON tokens (expires_at, id);
CREATE INDEX tokens_unrevoked ON tokens (project_id, expires_at) WHERE revoked_at IS NULL;

-- One row for each thing that nodes keep in memory. A change raises its revision in the same
-- transaction, so that a node sees by one small query what it has to read again.
CREATE TABLE revisions (
  name TEXT PRIMARY KEY,
  revision BIGINT NOT NULL
);

INSERT INTO revisions (name, revision)
VALUES ('directory', 1), ('revocations', 1), ('signing_keys', 1);

-- Rows carry the revision that made them: a node reads only what is newer than what it has.
ALTER TABLE revocations ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
CREATE INDEX revocations_by_revision ON revocations (revision);
CREATE INDEX revocations_by_time ON revocations (revoked_at, jti);

-- Every token of the project that was issued at or before `issued_before`.
CREATE TABLE project_revocations (
  project_id TEXT PRIMARY KEY,
  issued_before BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revision BIGINT NOT NULL
);

-- What was changed of a token after it was signed. It only narrows what the token says.
CREATE TABLE token_overrides (
  jti TEXT PRIMARY KEY,
  is_active INTEGER NOT NULL,
  limits TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revision BIGINT NOT NULL
);

-- What a turn counted for against budgets, in micro-dollars: the price of its usage, or what was
-- set aside for it where its usage is not known.
ALTER TABLE usage_events ADD COLUMN settled_micros BIGINT;

-- Sums that limits are held against. `period` is day:<date>, month:<month> or total, in UTC.
CREATE TABLE spend (
  subject TEXT NOT NULL,
  quantity TEXT NOT NULL,
  period TEXT NOT NULL,
  used BIGINT NOT NULL,
  expires_at BIGINT,
  PRIMARY KEY (subject, quantity, period)
);

CREATE INDEX spend_by_expiry ON spend (expires_at);

-- `report` is the number of the last one that was taken: it may come twice, and counts once.
CREATE TABLE nodes (
  node_id TEXT PRIMARY KEY,
  seen_at BIGINT NOT NULL,
  report BIGINT NOT NULL DEFAULT 0
);

-- What a node holds of a limit beyond what is in the sums, as the node says itself. `period` is
-- minute:<number> or now; what is held now is void once the node was not seen for a while.
CREATE TABLE leases (
  node_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  quantity TEXT NOT NULL,
  period TEXT NOT NULL,
  held BIGINT NOT NULL,
  PRIMARY KEY (node_id, subject, quantity)
);

CREATE INDEX leases_by_subject ON leases (subject, quantity);

-- Each row's hash covers the row and the hash before it. The number of the last one is the
-- revision `audit`, so that rows missing at the end show too.
CREATE TABLE audit (
  sequence BIGINT PRIMARY KEY,
  recorded_at BIGINT NOT NULL,
  node_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  outcome TEXT NOT NULL,
  request_id TEXT NOT NULL,
  client_address TEXT NOT NULL,
  details TEXT NOT NULL,
  hash TEXT NOT NULL
);

CREATE INDEX audit_by_subject ON audit (subject, sequence);
-- A hash that was noted elsewhere is looked for by it.
CREATE INDEX audit_by_hash ON audit (hash);

INSERT INTO revisions (name, revision) VALUES ('audit', 0);
