/** A Realtime client in a process of its own, because a trusted certificate is read at start. */

import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const socket = new OpenAIRealtimeWS({ model: "gpt-realtime-2" }, new OpenAI());

socket.on("session.created", () => {
  socket.send({
    type: "conversation.item.create",
    item: { type: "message", role: "user", content: [{ type: "input_text", text: "Say hi" }] },
  });
  socket.send({ type: "response.create", response: { output_modalities: ["text"] } });
});
socket.on("response.done", (event) => {
  process.stdout.write(JSON.stringify(event.response));
  socket.close();
});
socket.on("error", (error) => {
  process.stderr.write(String(error));
  process.exit(1);
});
