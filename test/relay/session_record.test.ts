import { expect, test } from "bun:test";

import { SessionRecord } from "../../src/relay/session_record.ts";

test("SessionRecord keeps the first close code of a side and adds up drops by reason", () => {
  const record = new SessionRecord();
  record.closedDownstream(null);
  record.closedDownstream(1006);
  record.closedUpstream(1001);
  record.drop("write_timeout", 2);
  record.drop("write_timeout", 3);
  record.drop("upstream_gone", 0);
  record.stage = "downstream";
  record.dropForClient(4);
  record.dropFromClient();
  expect(record.outcome(null, { frames: 7, bytes: 70 })).toEqual({
    result: "completed",
    stage: "downstream",
    error: null,
    closeCodeDownstream: 1005,
    closeCodeUpstream: 1001,
    framesUp: 0,
    framesDown: 7,
    bytesUp: 0,
    bytesDown: 70,
    droppedFrames: { write_timeout: 5, downstream_gone: 4, session_ended: 1 },
    graceful: false,
  });
});
