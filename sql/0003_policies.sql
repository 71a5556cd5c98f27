-- Policies that are stored, every version of them.

-- The newest version of a name is in force. NULL: that version takes the policy away again.
CREATE TABLE policies (
  name TEXT NOT NULL,
  version BIGINT NOT NULL,
  document TEXT,
  created_at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  PRIMARY KEY (name, version)
);

INSERT INTO revisions (name, revision) VALUES ('policies', 1);
