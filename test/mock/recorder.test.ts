import { expect, test } from "bun:test";

import { Recorder } from "../../src/mock/recorder.ts";

const request = (path: string) =>
  new Request(`http://x${path}`, { method: "POST", headers: { "x-a": "1" } });

test("Recorder keeps method, path with query, headers, body and frames", () => {
  const recorder = new Recorder(true);
  const recording = recorder.begin(request("/p?q=1"), "/p?q=1");
  recording.addBody(new Uint8Array([1, 2]));
  recording.addBody(new Uint8Array([3]));
  recording.addFrame("text");
  const view = new Uint8Array([9]);
  recording.addFrame(view);
  view[0] = 0;
  recording.ended("answered");
  recording.ended("aborted");
  expect(recorder.requests).toHaveLength(1);
  expect(recorder.requests[0]).toMatchObject({
    method: "POST",
    path: "/p?q=1",
    headers: { "x-a": "1" },
    body: new Uint8Array([1, 2, 3]),
    bodyBytes: 3,
    frames: ["text", new Uint8Array([9])],
    frameCount: 2,
    outcome: "answered",
  });
});

test("Recorder keeps the newest thousand requests", () => {
  const recorder = new Recorder(true);
  for (let n = 0; n < 1_005; n += 1) recorder.begin(request(`/${n}`), `/${n}`);
  expect(recorder.requests).toHaveLength(1_000);
  expect(recorder.requests[0]?.path).toBe("/5");
});

test("Recorder makes room for the newest bytes, and counts what it cuts", () => {
  const recorder = new Recorder(true);
  for (let n = 0; n < 6; n += 1) {
    const recording = recorder.begin(request(`/${n}`), `/${n}`);
    recording.addBody(new Uint8Array(12 * 1024 * 1024));
    recording.addBody(new Uint8Array(12 * 1024 * 1024));
  }
  expect(recorder.requests.map((one) => one.path)).toEqual(["/2", "/3", "/4", "/5"]);
  expect(recorder.requests[0]?.bodyBytes).toBe(24 * 1024 * 1024);
  expect(recorder.requests[0]?.body.length).toBe(16 * 1024 * 1024);
});

test("Recorder keeps the newest frames of a session", () => {
  const recorder = new Recorder(true);
  const recording = recorder.begin(request("/"), "/");
  for (let n = 0; n < 10_010; n += 1) recording.addFrame(String(n));
  expect(recording.frameCount).toBe(10_010);
  expect(recording.frames).toHaveLength(10_000);
  expect(recording.frames[0]).toBe("10");
});

test("a Recorder that is off keeps nothing", () => {
  const recorder = new Recorder(false);
  const recording = recorder.begin(request("/"), "/");
  recording.addBody(new Uint8Array(3));
  recording.addFrame("x");
  expect(recorder.requests).toHaveLength(0);
  expect([recording.body.length, recording.frames.length]).toEqual([0, 0]);
});

test("Recorder.clear() forgets, also what running sessions go on to send", () => {
  const recorder = new Recorder(true);
  const running = recorder.begin(request("/"), "/");
  recorder.clear();
  running.addFrame("late");
  expect(recorder.requests).toHaveLength(0);
  expect(running.frames).toHaveLength(0);
});

test("Recorder.toJson() shows text as text and other bytes as base64", () => {
  const recorder = new Recorder(true);
  const recording = recorder.begin(request("/"), "/");
  recording.addBody(new TextEncoder().encode("é"));
  recording.addFrame(new Uint8Array([0xff, 0xfe]));
  const { requests } = JSON.parse(recorder.toJson());
  expect(requests[0]).toMatchObject({
    body: "é",
    body_bytes: 2,
    frames: [{ data_base64: "//4=" }],
  });
});
