/** The socket suite on Bun. */

import { bunRuntime } from "../../src/runtime/bun.ts";
import { socketSuite } from "./socket_suite.ts";

socketSuite("Bun", bunRuntime, [
  {
    reason: "The runtime's parser takes a 16-bit length below 126; the message itself is right",
    tests: ["a frame that is a length that is not minimal ends the session, and is not delivered"],
  },
]);
