/**
 * Names of everything that sluice logs: a closed set, so that a dashboard can rely on them.
 */

import type { LogLevel } from "../config/config.ts";

/** Each log event with the level it is written at. */
export const LOG_EVENTS = {
  starting: "info",
  configuration_warning: "warn",
  listening: "info",
  ready: "info",
  draining: "info",
  stopped: "info",
  store_failed: "error",
  clock_difference: "warn",
  limits_unenforced: "warn",
  policy_in_force: "info",
  policy_unreadable: "error",
  policy_shadow: "info",
  ledger_problem: "error",
  ledger_recovered: "warn",
  request_refused: "info",
  admin_refused: "warn",
  relay_start: "debug",
  relay_dial_start: "debug",
  relay_dial_ok: "debug",
  relay_dial_failed: "warn",
  relay_turn_completed: "info",
  relay_completed: "info",
  relay_failed: "warn",
  usage_parse_failed: "warn",
  credential_command_failed: "warn",
  circuit_opened: "warn",
  circuit_closed: "info",
  health_check_failed: "warn",
  health_check_recovered: "info",
  internal_error: "error",
  log_lines_dropped: "warn",
} as const satisfies Record<string, LogLevel>;

export type LogEvent = keyof typeof LOG_EVENTS;
