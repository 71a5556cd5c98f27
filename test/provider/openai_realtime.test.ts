import { describe, expect, test } from "bun:test";
import { realtimeReader } from "../../src/provider/openai_realtime.ts";

const read = (event: object) => realtimeReader.upstreamSignal(JSON.stringify(event));

describe("realtimeReader", () => {
  test.each([
    [{ model: "m", audio: { input: { transcription: { model: "t" } } } }, "m", "t"],
    [{ model: "m", audio: { input: { transcription: null } } }, "m", null],
    [{ model: "m", input_audio_transcription: { model: "t" } }, "m", "t"],
    [{ audio: { input: {} } }, null, undefined],
    [{}, null, undefined],
  ])("reads the session %j", (session, model, transcriptionModel) => {
    const signal = read({ type: "session.updated", session });
    expect(signal).toMatchObject({ signal: "session", model });
    expect(signal !== null && "transcriptionModel" in signal).toBe(
      transcriptionModel !== undefined,
    );
    if (transcriptionModel !== undefined) expect(signal).toMatchObject({ transcriptionModel });
  });

  test.each([["completed"], ["cancelled"], ["incomplete"], ["failed"]])(
    "reads a response that is done as %s",
    (status) => {
      const status_details = { error: { code: "c" } };
      const response = { id: "r", status, status_details, usage: null };
      const wanted = { status, key: "r", errorCode: "c", usage: { reading: "absent" } };
      expect(read({ type: "response.done", response })).toMatchObject(wanted);
    },
  );

  test.each([
    ["{}", null],
    ['{"max_output_tokens":"inf"}', null],
    ['{"max_output_tokens":64}', 64],
    ['{"max_response_output_tokens":65}', 65],
    ['{"max_output_tokens":64,"max_output_tokens":65}', null],
  ])("reads the output limit of a create with %s as %p", (response, outputTokensMax) => {
    const signal = realtimeReader.clientSignal(`{"type":"response.create","response":${response}}`);
    expect(signal).toMatchObject({ signal: "requested", outputTokensMax });
  });

  test("takes a failed transcription as not billed", () => {
    const type = "conversation.item.input_audio_transcription.failed";
    const signal = read({ type, item_id: "i", error: { code: "c" } });
    const usage = { reading: "none_billed" };
    expect(signal).toMatchObject({ key: "i", errorCode: "c", status: "failed", usage });
  });

  test.each([["session.update"], ["rate_limits.updated"], ["session.other"]])(
    "passes by %s",
    (type) => {
      expect(read({ x: 0, type, session: { model: "m" } })).toBeNull();
    },
  );
});
