/** The socket suite on Bun: with connections that are made directly, and through a proxy. */

import { afterAll } from "bun:test";

import { bunRuntime } from "../../src/runtime/bun.ts";
import { ConnectProxy } from "../support/connect_proxy.ts";
import { socketSuite } from "./socket_suite.ts";

const GAPS = [
  {
    reason: "The runtime's parser takes a 16-bit length below 126; the message itself is right",
    tests: ["a frame that is a length that is not minimal ends the session, and is not delivered"],
  },
];

socketSuite("Bun", bunRuntime, GAPS);

const connectProxy = await ConnectProxy.start();
const proxy = { hostname: "127.0.0.1", port: connectProxy.port, authorization: null };
const proxied = {
  ...bunRuntime,
  connect: (...[options, handler]: Parameters<typeof bunRuntime.connect>) =>
    bunRuntime.connect({ ...options, proxy }, handler),
};
socketSuite("Bun through a proxy", proxied, GAPS);

afterAll(() => connectProxy.stop());
