import { expect, test } from "bun:test";

import { Fixtures } from "../../src/mock/fixtures.ts";
import { defaultSession, mergedSession } from "../../src/mock/openai_realtime_session.ts";
import { Ids, Words } from "../../src/mock/text.ts";
import { FakeClock } from "../support/fake_clock.ts";

const world = {
  clock: new FakeClock(),
  words: new Words(1),
  ids: new Ids("00"),
  fixtures: await Fixtures.load(null),
  keys: null,
};

test("defaultSession() has a model, or transcribes", () => {
  expect(defaultSession(world, "gpt-realtime-2")).toMatchObject({
    type: "realtime",
    model: "gpt-realtime-2",
    output_modalities: ["audio"],
    expires_at: Math.floor(world.clock.nowMs() / 1000) + 3_600,
  });
  const transcribing = defaultSession(world, null);
  expect(transcribing).toMatchObject({ type: "transcription" });
  expect(transcribing).not.toHaveProperty("model");
});

test("mergedSession() changes what the update names and nothing else", () => {
  const session = { a: 1, audio: { input: { x: 1, y: { on: true } }, output: 2 } };
  const update = { audio: { input: { y: null } } };
  expect(mergedSession(session, update)).toEqual({
    a: 1,
    audio: { input: { x: 1, y: null }, output: 2 },
  });
  expect(session.audio.input.y).toEqual({ on: true });
});
