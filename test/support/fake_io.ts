/**
 * A process that exists only in memory: remembers what a command wrote, and answers its requests.
 */

import type { Io } from "../../src/cli/io.ts";

export interface FakeIoOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly isTerminal?: boolean;
  /** What is piped in; absent, standard input is a terminal. */
  readonly input?: string;
  /** What is typed at a prompt. */
  readonly typed?: string;
  readonly cwd?: string;
  readonly fetch?: (request: Request) => Promise<Response>;
}

export class FakeIo implements Io {
  out = "";
  err = "";
  readonly prompts: string[] = [];
  readonly requests: Request[] = [];
  readonly env: Readonly<Record<string, string>>;
  readonly isTerminal: boolean;
  readonly isErrorTerminal = false;
  readonly cwd: string;
  readonly stdout = { write: (text: string) => void (this.out += text) };
  readonly stderr = { write: (text: string) => void (this.err += text) };
  readonly stdin: Io["stdin"];
  readonly #fetch: (request: Request) => Promise<Response>;

  constructor(options: FakeIoOptions = {}) {
    this.env = options.env ?? {};
    this.isTerminal = options.isTerminal ?? false;
    this.cwd = options.cwd ?? "/nonexistent";
    this.#fetch = options.fetch ?? (() => Promise.reject(new Error("connection refused")));
    this.stdin = {
      isTerminal: options.input === undefined,
      readAll: () => Promise.resolve(options.input ?? ""),
      readSecret: (prompt) => {
        this.prompts.push(prompt);
        return Promise.resolve(options.typed ?? "");
      },
    };
  }

  fetch(request: Request): Promise<Response> {
    this.requests.push(request);
    return this.#fetch(request);
  }
}
