"""An ordinary HTTP service in another language: what stands behind Plimsoll in the tests.

Prints its address on the first line. GET /headers answers what it was sent, GET /status/N with that status,
GET /slow/MS after so long, POST anything with the length and checksum of the body, GET /events an event stream.
"""
import hashlib
import http.server
import socketserver
import sys
import time


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        kind, _, value = self.path.strip("/").partition("/")
        if kind == "status":
            self.answer(int(value), "as asked\n")
        elif kind == "slow":
            time.sleep(int(value) / 1000)
            self.answer(200, "at last\n")
        elif kind == "events":
            self.events(int(value))
        else:
            self.answer(200, f"{self.command} {self.path}\n{self.headers}")

    do_HEAD = do_GET

    def events(self, count):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(count):
            event = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            length += len(piece)
        self.answer(200, f"{length} {digest.hexdigest()}\n")

    do_PUT = do_POST

    def pieces(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                piece = self.rfile.read(min(left, 65536))
                left -= len(piece)
                yield piece

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Service)
print("127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
