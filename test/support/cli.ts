/** Runs commands in this process against the real management API. */

import { COMMANDS } from "../../src/cli/commands.ts";
import { runCommand } from "../../src/cli/run.ts";
import { ADMIN_TOKEN, type AdminSetup, setUpAdmin } from "./admin.ts";
import { FakeIo, type FakeIoOptions } from "./fake_io.ts";

export const ADMIN_URL = "http://127.0.0.1:9090";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly io: FakeIo;
}

export interface CliSetup extends AdminSetup {
  sluice(args: readonly string[], options?: FakeIoOptions): Promise<Ran>;
}

export async function setUpCli(change?: Parameters<typeof setUpAdmin>[0]): Promise<CliSetup> {
  const admin = await setUpAdmin(change);
  const env = { SLUICE_ADMIN_URL: ADMIN_URL, SLUICE_ADMIN_TOKEN: ADMIN_TOKEN };
  return {
    ...admin,
    async sluice(args, options = {}) {
      const io = new FakeIo({
        fetch: (request) => admin.handle(request, { remoteAddress: "127.0.0.1" }),
        ...options,
        env: { ...env, ...options.env },
      });
      const code = await runCommand(COMMANDS, args, io);
      return { code, out: io.out, err: io.err, io };
    },
  };
}
