"""gRPC by Google's own stack: `serve` prints its address; `call ADDRESS` makes every kind of call and checks it.

No generated code of ours: methods are registered by name and messages are bytes, which is all a proxy sees anyway.
The health service is the one that comes with the stack; it says that `plimsoll.test.Sick` is not serving.
"""
import concurrent.futures
import sys
import time

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "plimsoll.test.Echo"


def unary(request, context):
    context.set_trailing_metadata((("served-by", "python"),))
    return b"echo " + request


def fail(request, context):
    context.abort(BY_NUMBER[int(request)], "as asked")


def slow(request, context):
    time.sleep(int(request) / 1000)
    return b"at last"


def many(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def collect(requests, context):
    return b"+".join(requests)


def chat(requests, context):
    for request in requests:
        yield request.upper()


BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def serve():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    states = health.HealthServicer()
    states.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    states.set("plimsoll.test.Sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("127.0.0.1:%d" % port, flush=True)
    server.wait_for_termination()


def check(name, got, wanted):
    if got != wanted:
        sys.exit(f"{name}: got {got!r}, wanted {wanted!r}")
    print(f"ok {name}", flush=True)


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, dict(error.trailing_metadata() or ())
    return "OK", {}


def call(address):
    channel = grpc.insecure_channel(address)
    method = f"/{SERVICE}/"
    unary = channel.unary_unary(method + "Unary")
    answer, state = unary.with_call(b"hello", timeout=5)
    check("unary", answer, b"echo hello")
    check("trailers", dict(state.trailing_metadata()).get("served-by"), "python")
    check("server streaming", list(channel.unary_stream(method + "Many")(b"50", timeout=5)), [b"%d" % n for n in range(50)])
    check("client streaming", channel.stream_unary(method + "Collect")(iter([b"a", b"b", b"c"]), timeout=5), b"a+b+c")
    check("both streaming", list(channel.stream_stream(method + "Chat")(iter([b"x", b"y"]), timeout=5)), [b"X", b"Y"])
    check("large message", len(unary(b"z" * 3_000_000, timeout=10)), 3_000_005)
    for name in ("NOT_FOUND", "UNAVAILABLE", "INTERNAL"):
        number = b"%d" % grpc.StatusCode[name].value[0]
        check(f"status {name}", code_of(lambda: channel.unary_unary(method + "Fail")(number, timeout=5))[0], name)
    check("deadline", code_of(lambda: channel.unary_unary(method + "Slow")(b"3000", timeout=0.4))[0], "DEADLINE_EXCEEDED")
    code, trailers = code_of(lambda: channel.unary_unary("/plimsoll.test.Nobody/Knows")(b"", timeout=5))
    check("unknown route", (code, trailers.get("x-plimsoll-reason")), ("UNIMPLEMENTED", "unknown-route"))


if sys.argv[1] == "serve":
    serve()
else:
    call(sys.argv[2])
