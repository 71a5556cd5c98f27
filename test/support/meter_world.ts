/** What a meter needs around it, in memory. */

import type { ExchangeContext, TurnKind } from "../../src/exchange.ts";
import type { BodyMeterOptions } from "../../src/meter/body_meter.ts";
import type { MeterReport } from "../../src/meter/row.ts";
import type { SessionMeterOptions } from "../../src/meter/session_meter.ts";
import type { MeterDialect, RequestedTurn } from "../../src/provider/provider.ts";
import { FakeClock } from "./fake_clock.ts";
import { MemoryLedger } from "./memory_ledger.ts";
import { RecordingAdmission, RecordingReservation } from "./reservation.ts";

export const CONTEXT: ExchangeContext = {
  sessionId: "sess_1",
  projectId: "default",
  tokenId: "tok_1",
  provider: "openai",
  endpoint: "/v1/responses",
  upstreamRequestId: "req_1",
};

export class MeterWorld {
  readonly clock = new FakeClock();
  readonly ledger = new MemoryLedger();
  readonly reports: MeterReport[] = [];
  /** Of the sessions. */
  readonly admission = new RecordingAdmission();
  /** The client's names of models, by the upstream's, where they differ. */
  readonly aliases = new Map<string, string>();
  /** Of the exchanges. */
  reservation = new RecordingReservation();

  session(dialect: MeterDialect): SessionMeterOptions {
    return {
      ...this.#base(),
      context: CONTEXT,
      dialect,
      admission: this.admission,
      callerModel: (name) => this.aliases.get(name) ?? name,
      sessionModel: null,
    };
  }

  body(
    dialect: MeterDialect,
    requested: RequestedTurn | null,
    kind: TurnKind = "response",
  ): BodyMeterOptions {
    return {
      ...this.#base(),
      context: CONTEXT,
      dialect,
      kind,
      requested,
      decidedServiceTier: requested?.serviceTier ?? null,
      sentModel: requested?.model ?? null,
      reservation: this.reservation,
      bodyBytesMax: 1 << 20,
    };
  }

  #base() {
    const report = (each: MeterReport) => void this.reports.push(each);
    return { nodeId: "node_1", clock: this.clock, ledger: this.ledger, report };
  }
}
