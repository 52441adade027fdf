"""A service in another language that asks the official provider of flagd for the flag `new-tax`, in its process.

    flagged.py HOST PORT [--fails]

Prints its address on the first line, and answers each request with what the flag is for the user (`X-User`), `on` or `off`;
with --fails, who has it on gets a 500. /healthy is always well.
"""
import asyncio
import sys

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

host, port, fails = sys.argv[1], int(sys.argv[2]), "--fails" in sys.argv
api.set_provider_and_wait(FlagdProvider(host=host, port=port, resolver_type=ResolverType.IN_PROCESS, retry_backoff_max_ms=500))
client = api.get_client()


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            user = head.partition("x-user: ")[2].partition("\r\n")[0]
            is_on = client.get_boolean_value("new-tax", False, EvaluationContext(user))
            failed = fails and is_on and not head.startswith("get /healthy ")
            body = b"on" if is_on else b"off"
            status = "500 Internal Server Error" if failed else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await server.serve_forever()


asyncio.run(main())
