/** Configurations as tests write them: what they mean, or each problem as one line of text. */

import type { Config, ProviderConfig } from "../../src/config/config.ts";
import { type ParsedConfig, parseConfig } from "../../src/config/parse.ts";
import { ConfigError } from "../../src/config/problem.ts";

type Env = Record<string, string | undefined>;

export function parse(text: string | null, env: Env = {}): ParsedConfig {
  return parseConfig({ text, env });
}

export function configOf(text: string | null, env: Env = {}): Config {
  return parse(text, env).config;
}

/** Each as `line path: message`. Throws where the configuration is good. */
export function problemsOf(text: string | null, env: Env = {}): string[] {
  try {
    parse(text, env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, path, message }) => `${line ?? "-"} ${path}: ${message}`);
  }
  throw new Error("The configuration was accepted");
}

/** Each as `line path: message`. */
export function warningsOf(text: string | null, env: Env = {}): string[] {
  return parse(text, env).warnings.map(
    ({ line, path, message }) => `${line ?? "-"} ${path}: ${message}`,
  );
}

/** The one provider whose keys these are. */
export function providerOf(keys: string): ProviderConfig {
  const lines = keys.split("\n").map((line) => `    ${line}\n`);
  const [provider] = configOf(`providers:\n  -\n${lines.join("")}`).providers;
  if (provider === undefined) throw new Error("There is no provider");
  return provider;
}
