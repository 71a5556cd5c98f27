import { expect, test } from "bun:test";

import { openListener, urlOf } from "../../src/accept/listener.ts";
import type { Listener, ListenOptions } from "../../src/runtime/runtime.ts";

const options: ListenOptions = {
  hostname: "127.0.0.1",
  port: 80,
  bodyBytesMax: 0,
  messageBytesMax: 0,
  handle: () => new Response(),
};

test.each([
  ["EADDRINUSE", "another process listens there"],
  ["EADDRNOTAVAIL", "this machine does not have that address"],
  ["EACCES", "ports below 1024 need a privilege"],
  ["EWHATEVER", "EWHATEVER"],
])("openListener() words %s and names the keys", (code, words) => {
  const listen = () => {
    throw Object.assign(new Error("bind"), { code });
  };
  const open = () => openListener({ listen }, "http", options);
  expect(open).toThrow(words);
  expect(open).toThrow("127.0.0.1:80 (http_port, http_bind_address)");
});

test.each([
  ["127.0.0.1", false, "http://127.0.0.1:8080"],
  ["0.0.0.0", false, "http://127.0.0.1:8080"],
  ["::", true, "https://[::1]:8080"],
  ["::1", false, "http://[::1]:8080"],
  ["localhost", false, "http://localhost:8080"],
])("urlOf() of %s can be connected to from this machine", (hostname, secure, url) => {
  const listener: Listener = { hostname, port: 8080, secure, stop: () => Promise.resolve() };
  expect(urlOf(listener)).toBe(url);
});
