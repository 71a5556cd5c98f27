/**
 * Every command, in the order in which `help` lists them. Owns the list and nothing else; the
 * invariant is that no name or alias occurs twice.
 */

import { audit } from "./audit.ts";
import { check } from "./check.ts";
import type { Command } from "./command.ts";
import { credential } from "./credential.ts";
import { demo } from "./demo.ts";
import { health } from "./health.ts";
import { keys } from "./keys.ts";
import { migrate } from "./migrate.ts";
import { mock } from "./mock.ts";
import { policy } from "./policy.ts";
import { project } from "./project.ts";
import { revocation } from "./revocation.ts";
import { serve } from "./serve.ts";
import { session } from "./session.ts";
import { token } from "./token.ts";
import { usage } from "./usage.ts";

export const COMMANDS: readonly Command[] = [
  serve,
  demo,
  mock,
  check,
  migrate,
  project,
  credential,
  token,
  revocation,
  policy,
  usage,
  session,
  audit,
  keys,
  health,
];
