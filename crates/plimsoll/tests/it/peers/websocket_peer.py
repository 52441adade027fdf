"""WebSockets by the `websockets` package: `serve` prints its address; `talk ADDRESS` talks to an echo and checks it."""
import asyncio
import sys

import websockets


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=2**22) as server:
        print("127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def talk(address):
    async with websockets.connect(f"ws://{address}/chat", max_size=2**22) as socket:
        for message in ["hello", "ü" * 100_000, b"\x00" * 1_000_000]:
            await socket.send(message)
            if await socket.recv() != message:
                sys.exit("the echo is not what was sent")
        await (await socket.ping())
    print("ok websocket", flush=True)


asyncio.run(serve() if sys.argv[1] == "serve" else talk(sys.argv[2]))
