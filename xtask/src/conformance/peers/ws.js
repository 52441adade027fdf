// WebSockets by the `ws` package: `serve` prints its address; `talk ADDRESS` talks to an echo and checks it.
const assert = require("assert");
const { once } = require("events");
const { WebSocket, WebSocketServer } = require("ws");

async function serve() {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 1 << 22, perMessageDeflate: true });
  server.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
  await once(server, "listening");
  console.log(`127.0.0.1:${server.address().port}`);
}

async function talk(address) {
  for (const perMessageDeflate of [false, true]) {
    const socket = new WebSocket(`ws://${address}/chat`, { perMessageDeflate });
    await once(socket, "open");
    for (const message of ["", "hello", "ü".repeat(100_000), Buffer.alloc(1_000_000)]) {
      socket.send(message);
      const [answer, binary] = await once(socket, "message");
      assert.equal(binary, Buffer.isBuffer(message));
      assert(answer.equals(Buffer.from(message)), "the echo is not what was sent");
    }
    // In pieces, with a ping between them.
    socket.send("in ", { fin: false });
    socket.ping("are you there?");
    const [pong] = await once(socket, "pong");
    assert.equal(pong.toString(), "are you there?");
    socket.send("pieces", { fin: true });
    assert.equal((await once(socket, "message"))[0].toString(), "in pieces");
    socket.close(4321, "enough");
    assert.equal((await once(socket, "close"))[0], 4321, "the code of the closing comes back");
  }
  console.log("ok websocket");
}

const [verb, address] = process.argv.slice(2);
(verb === "serve" ? serve() : talk(address)).catch((error) => {
  console.error(error);
  process.exit(1);
});
