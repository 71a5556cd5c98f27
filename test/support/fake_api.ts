/**
 * A management API that only knows a table of answers, for commands that are thin clients of it.
 * Reveals requests that a command sends beside those that a test expects.
 */

import { audit } from "../../src/cli/audit.ts";
import { credential } from "../../src/cli/credential.ts";
import { keys } from "../../src/cli/keys.ts";
import { project } from "../../src/cli/project.ts";
import { revocation } from "../../src/cli/revocation.ts";
import { runCommand } from "../../src/cli/run.ts";
import { session } from "../../src/cli/session.ts";
import { token } from "../../src/cli/token.ts";
import { usage } from "../../src/cli/usage.ts";
import { FakeIo, type FakeIoOptions } from "./fake_io.ts";

const CLIENTS = [project, credential, token, revocation, usage, session, audit, keys];

/** Answers by `METHOD path-with-query`; null is 204. */
type Answers = Readonly<Record<string, unknown>>;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** `METHOD path` and JSON body of each request, in order. */
  readonly calls: readonly (readonly [call: string, body?: unknown])[];
}

/** Runs a command against it. */
export async function runAgainst(
  answers: Answers,
  args: readonly string[],
  options: FakeIoOptions = {},
): Promise<Ran> {
  const calls: [string, unknown?][] = [];
  const io = new FakeIo({
    ...options,
    env: { SLUICE_ADMIN_URL: "http://127.0.0.1:9090", SLUICE_ADMIN_TOKEN: "t", ...options.env },
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const call = `${request.method} ${pathname.replace("/manage/", "")}${search}`;
      const text = await request.text();
      calls.push(text === "" ? [call] : [call, JSON.parse(text)]);
      const answer = answers[call];
      if (answer === undefined) return Response.json({ error: `No ${call}` }, { status: 404 });
      return answer === null ? new Response(null, { status: 204 }) : Response.json(answer);
    },
  });
  const code = await runCommand(CLIENTS, args, io);
  return { code, out: io.out, err: io.err, calls };
}
