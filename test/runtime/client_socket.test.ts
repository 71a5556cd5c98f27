import { expect, test } from "bun:test";

import { openClientSocket } from "../../src/runtime/client_socket.ts";

test("openClientSocket() sends its headers with the handshake", async () => {
  const seen = Promise.withResolvers<string | null>();
  const server = Bun.serve<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, self) {
      seen.resolve(request.headers.get("authorization"));
      return self.upgrade(request, { data: undefined }) ? undefined : new Response(null);
    },
    websocket: { message() {} },
  });
  const url = `ws://127.0.0.1:${server.port}/`;
  const socket = openClientSocket(url, { authorization: "Bearer x" });
  const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  expect(await seen.promise).toBe("Bearer x");
  socket.close();
  await closed;
  await server.stop(true);
});
