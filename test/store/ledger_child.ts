/**
 * A process that records turns until it is killed, for `kill.test.ts`.
 *
 *   bun ledger_child.ts DATA_DIR NODE_ID SEED FAILPOINT HITS
 *
 * Appends `o <event id>` or `c <event id>` to `DATA_DIR/acknowledged` after each `open` and `close`
 * that returned, and a byte to standard output. Kills itself at the HITS-th pass of FAILPOINT.
 */

import { openSync, writeSync } from "node:fs";
import { join } from "node:path";

import { sleep, systemClock } from "../../src/runtime/clock.ts";
import { openLedger } from "../../src/store/ledger.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { Prng } from "../support/prng.ts";
import { usageEvent } from "../support/usage_event.ts";

const [dataDir = "", nodeId = "", seed = "0", failpoint = "", hits = "0"] = process.argv.slice(2);
const prng = new Prng(Number(seed));
const acknowledged = openSync(join(dataDir, "acknowledged"), "a");
let hitsLeft = Number(hits);

const report = () => undefined;
const path = join(dataDir, "sluice.db");
const store = await openSqliteStore({ path, nodeId, clock: systemClock, report });
const ledger = openLedger({
  dataDir,
  nodeId,
  store,
  clock: systemClock,
  usage: {
    fsyncIntervalMs: 2,
    shipIntervalMs: 3,
    shipBatch: 20,
    durability: "process",
    spoolBytesMax: 100_000_000,
    spoolKeepMs: 0,
    retentionMs: 0,
  },
  segmentBytesMax: 20_000,
  report,
  failpoint(name) {
    if (name === failpoint && --hitsLeft === 0) process.kill(process.pid, "SIGKILL");
  },
});

function acknowledge(what: string, eventId: string): void {
  writeSync(acknowledged, `${what} ${eventId}\n`);
  writeSync(1, ".");
}

const running: string[] = [];
for (let number = 0; ; number++) {
  const eventId = `${nodeId}_${number}`;
  ledger.open(usageEvent(number, { event_id: eventId, status: "interrupted" }));
  acknowledge("o", eventId);
  running.push(eventId);
  while (running.length > prng.int(0, 5)) {
    const [ended = ""] = running.splice(prng.int(0, running.length - 1), 1);
    ledger.close(usageEvent(number, { event_id: ended, upstream_request_id: `closed ${ended}` }));
    acknowledge("c", ended);
  }
  if (prng.int(0, 9) === 0) await sleep(systemClock, prng.int(0, 3));
}
