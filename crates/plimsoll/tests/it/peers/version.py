"""A version of a service in another language.

    version.py NAME [--fails SHARE] [--slow MILLISECONDS] [--only TIER] [--when-told] [--port PORT] [--dies NAME]

Prints its address on the first line, and answers every request with its name: a share of them with 500, all of them so
much later, or both for requests of one tier only (`X-Tier`). /healthy is always well. With --when-told it is as good as any
until a line comes on standard input. With --port it listens there, and ends by itself after three minutes, since whoever starts
it may be gone. If --dies is its name, it ends at the fifth request that is meant.
"""
import argparse
import asyncio
import os
import random
import sys
import threading

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--fails", type=float, default=0)
parser.add_argument("--slow", type=float, default=0)
parser.add_argument("--only")
parser.add_argument("--when-told", action="store_true")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--dies")
args = parser.parse_args()
dice = random.Random(args.name)
told = threading.Event()
lives = 5


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length or 0))
            meant = not head.startswith("get /healthy ") and (not args.only or f"x-tier: {args.only}\r\n" in head)
            meant = meant and (told.is_set() or not args.when_told)
            if meant and args.dies == args.name:
                global lives
                lives -= 1
                if lives == 0:
                    os._exit(3)
            if meant and args.slow:
                await asyncio.sleep(args.slow / 1000)
            fails = meant and dice.random() < args.fails
            status = "500 Internal Server Error" if fails else "200 OK"
            body = args.name.encode()
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", args.port)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await server.serve_forever()


def wait_until_told():
    if sys.stdin.readline():
        told.set()


if args.port:
    ends = threading.Timer(180, os._exit, [0])
    ends.daemon = True
    ends.start()
threading.Thread(target=wait_until_told, daemon=True).start()
asyncio.run(main())
