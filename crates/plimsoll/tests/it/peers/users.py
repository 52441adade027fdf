"""Users who ask at a steady rate.

    users.py ADDRESS REQUESTS-PER-SECOND [METHOD]

They ask until a line comes on standard input, and then print one line of JSON: how often each answer came, as
`STATUS BODY`, or what went wrong. Every third is of the tier gold, and there are twenty thousand users (`X-User`).
"""
import asyncio
import collections
import json
import sys
import threading

address, rate = sys.argv[1], float(sys.argv[2])
method = sys.argv[3] if len(sys.argv) > 3 else "GET"
answered = collections.Counter()
stop = threading.Event()
WORKERS = 8


async def worker(number):
    host, port = address.rsplit(":", 1)
    connection, count = None, number
    loop = asyncio.get_running_loop()
    due = loop.time() + number / rate
    while not stop.is_set():
        await asyncio.sleep(max(0, due - loop.time()))
        due += WORKERS / rate
        count += WORKERS
        tier = "gold" if count % 3 == 0 else "free"
        head = f"{method} / HTTP/1.1\r\nHost: a\r\nX-Tier: {tier}\r\nX-User: {count * 7919 % 20000}\r\n"
        head += "Content-Length: 0\r\n\r\n"
        try:
            connection = connection or await asyncio.open_connection(host, port)
            reader, writer = connection
            writer.write(head.encode())
            answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode().lower()
            length = int(answer.split("content-length: ")[1].split("\r\n")[0])
            body = (await reader.readexactly(length)).decode()
            status = answer.split(" ")[1]
            answered[f"{status} {body}" if len(body) < 20 else status] += 1
        except Exception as error:
            answered[repr(error)] += 1
            connection = None


async def main():
    await asyncio.gather(*(worker(number) for number in range(WORKERS)))


def wait_for_the_end():
    sys.stdin.readline()
    stop.set()


threading.Thread(target=wait_for_the_end, daemon=True).start()
print("calling", flush=True)
asyncio.run(main())
print(json.dumps(answered), flush=True)
