"""Callers who notice everything: HTTP/1 kept and not, HTTP/2, a gRPC stream after the other, WebSockets, all at once.

    callers.py ADDRESS-OF-HTTP [ADDRESS-OF-GRPC ADDRESS-OF-WEBSOCKET]

They call until a line comes on standard input, and then print one line of JSON: for each kind how many requests were
answered, and the first failures in words. A caller heeds what it is told (`Connection: close`, GOAWAY, a Close frame)
and does nothing again that was sent. gRPC's stack has its defaults: a call that it has not sent when it hears GOAWAY,
it sends by the next connection. Told not to (`grpc.enable_retries` 0), it fails such a call without having sent it.
"""
import asyncio
import collections
import json
import sys
import threading

import grpc
import websockets

SERVICE = "plimsoll.test.Echo"
answered = collections.Counter()
failures = collections.defaultdict(list)
stop = threading.Event()


def failed(kind, what):
    failures[kind].append(what)
    del failures[kind][20:]
    answered[kind + " failed"] += 1


class Connection:
    """HTTP/1 by hand: what a library would do again without a word is to be seen."""

    async def open(self, host, port):
        self.reader, self.writer = await asyncio.open_connection(host, port)
        return self

    async def ask(self, path, close=False):
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\n" + ("Connection: close\r\n" if close else "") + "\r\n"
        self.writer.write(head.encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        await self.reader.readexactly(length)
        status = int(head.split(" ")[1])
        if status != 200:
            raise RuntimeError(head)
        return "connection: close" in head

    def close(self):
        self.writer.close()


async def kept(host, port):
    connection = None
    while not stop.is_set():
        try:
            connection = connection or await Connection().open(host, port)
            if await connection.ask("/kept"):
                connection.close()
                connection = None
            answered["kept"] += 1
        except Exception as error:
            failed("kept", repr(error))
            connection = None
        await asyncio.sleep(0)


async def fresh(host, port):
    while not stop.is_set():
        try:
            connection = await Connection().open(host, port)
            await connection.ask("/fresh", close=True)
            connection.close()
            answered["fresh"] += 1
        except Exception as error:
            failed("fresh", repr(error))


async def slow(host, port):
    """One whose request is under way for longer than an upgrade takes."""
    while not stop.is_set():
        try:
            connection = await Connection().open(host, port)
            await connection.ask("/slow/300", close=True)
            connection.close()
            answered["slow"] += 1
        except Exception as error:
            failed("slow", repr(error))


async def websocket(address):
    while not stop.is_set():
        try:
            async with websockets.connect(f"ws://{address}/", open_timeout=10) as socket:
                for number in range(20):
                    message = f"message {number}"
                    await socket.send(message)
                    if await asyncio.wait_for(socket.recv(), 20) != message:
                        raise RuntimeError("the echo is not what was sent")
                    answered["websocket"] += 1
                    await asyncio.sleep(0.02)
        except Exception as error:
            failed("websocket", repr(error))


def unary(channel):
    call = channel.unary_unary(f"/{SERVICE}/Unary")
    while not stop.is_set():
        try:
            if call(b"hello", timeout=20) != b"echo hello":
                raise RuntimeError("the echo is not what was sent")
            answered["grpc unary"] += 1
        except Exception as error:
            failed("grpc unary", repr(error))


def chat(channel):
    """Streams that outlive an upgrade: a message, its answer, a pause, and so on."""
    call = channel.stream_stream(f"/{SERVICE}/Chat")

    def messages(turn):
        for number in range(20):
            turn.acquire()
            yield b"message %d" % number

    while not stop.is_set():
        turn, seen = threading.Semaphore(1), 0
        try:
            for answer in call(messages(turn), timeout=60):
                if answer != b"MESSAGE %d" % seen:
                    raise RuntimeError("the echo is not what was sent")
                seen += 1
                answered["grpc stream"] += 1
                stop.wait(0.02)
                turn.release()
            if seen != 20:
                raise RuntimeError(f"the stream ended after {seen}")
        except Exception as error:
            failed("grpc stream", repr(error))


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    tasks = [kept(host, port) for _ in range(4)] + [fresh(host, port) for _ in range(2)] + [slow(host, port)]
    threads = []
    if len(sys.argv) > 3:
        # Two channels, or Python's stack would share one connection.
        for work in (unary, chat):
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = grpc.insecure_channel(sys.argv[2], options=options)
            threads.append(threading.Thread(target=work, args=(channel,)))
        tasks += [websocket(sys.argv[3]) for _ in range(2)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*tasks)
    for thread in threads:
        thread.join()


def wait_for_the_end():
    sys.stdin.readline()
    stop.set()


threading.Thread(target=wait_for_the_end, daemon=True).start()
print("calling", flush=True)
asyncio.run(main())
print(json.dumps({"answered": answered, "failures": failures}), flush=True)
