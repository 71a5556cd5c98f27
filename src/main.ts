/**
 * Entry point: hands the arguments to the command they name. Owns nothing else; the invariant is
 * that the process exits with what the command returned.
 */

import { COMMANDS } from "./cli/commands.ts";
import { exitWith, processArguments, processIo } from "./cli/io.ts";
import { runCommand } from "./cli/run.ts";

exitWith(await runCommand(COMMANDS, processArguments(), processIo()));
