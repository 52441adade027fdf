"""What the servers of Python run: an application that says what it was asked, byte for byte.

Every answer is `saw METHOD LENGTH SUM`, where the last is the sum of the body's bytes. The application is written for
ASGI (`asgi`) and for WSGI (`wsgi`); started by itself, this file serves it by a server that brings no command:
`apps.py NAME PORT`.
"""

import sys


def said(method, body):
    return f"saw {method} {len(body)} {sum(body)}\n".encode()


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer = said(scope["method"], body)
    length = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer})


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read()
    answer = said(environ["REQUEST_METHOD"], body)
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer]


def serve_http_server(port):
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self):
            if self.headers.get("Transfer-Encoding"):
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = said(self.command, body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        def __getattr__(self, name):
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def serve_aiohttp(port):
    from aiohttp import web

    async def answer(request):
        body = said(request.method, await request.read())
        return web.Response(body=body, headers={"Content-Length": str(len(body))})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def serve_tornado(port):
    import asyncio

    from tornado import web

    class Handler(web.RequestHandler):
        SUPPORTED_METHODS = web.RequestHandler.SUPPORTED_METHODS + ("FOO",)

        def answer(self, *_):
            self.write(said(self.request.method, self.request.body))

        get = head = post = put = patch = delete = options = foo = answer

    async def main():
        web.Application([(r".*", Handler)]).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(main())


def serve_waitress(port):
    import waitress

    waitress.serve(wsgi, host="127.0.0.1", port=port, _quiet=True)


def serve_cheroot(port):
    from cheroot import wsgi as cheroot

    cheroot.Server(("127.0.0.1", port), wsgi).start()


if __name__ == "__main__":
    globals()["serve_" + sys.argv[1]](int(sys.argv[2]))
