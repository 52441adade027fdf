"""The cases of gRPC's interoperability tests, by Python's stack: `interop.py HOST:PORT`. Prints `ok CASE` for each.

The messages of grpc.testing are few and small, and are written here by hand, so that nothing has to be generated.
"""

import sys
import threading

import grpc


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """A field with a number or with bytes; absent if it is nothing, as proto3 has it."""
    if not value:
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def payload(size):
    return field(2, bytes(size))


def status(code, message):
    return field(1, code) + field(2, message.encode())


def simple_request(response_size=0, size=0, echo=b""):
    return field(2, response_size) + field(3, payload(size)) + field(7, echo)


def streaming_request(sizes, size=0, echo=b""):
    parameters = b"".join(field(2, field(1, wanted)) for wanted in sizes)
    return parameters + field(3, payload(size)) + field(7, echo)


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def fields(data):
    """The fields of a message, by number; the last of each."""
    found, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        found[tag >> 3] = value
    return found


def payload_size(answer):
    return len(fields(fields(answer).get(1, b"")).get(2, b""))


class Stub:
    def __init__(self, channel):
        test = "/grpc.testing.TestService/"
        self.empty = channel.unary_unary(test + "EmptyCall")
        self.unary = channel.unary_unary(test + "UnaryCall")
        self.input = channel.stream_unary(test + "StreamingInputCall")
        self.output = channel.unary_stream(test + "StreamingOutputCall")
        self.duplex = channel.stream_stream(test + "FullDuplexCall")
        self.unimplemented = channel.unary_unary(test + "UnimplementedCall")
        self.unknown = channel.unary_unary("/grpc.testing.UnimplementedService/UnimplementedCall")


class Pipe:
    """Requests that are sent when somebody says so."""

    def __init__(self):
        self.items, self.ready = [], threading.Condition()

    def send(self, item):
        with self.ready:
            self.items.append(item)
            self.ready.notify()

    def close(self):
        self.send(None)

    def __iter__(self):
        return self

    def __next__(self):
        with self.ready:
            self.ready.wait_for(lambda: self.items)
            item = self.items.pop(0)
        if item is None:
            raise StopIteration
        return item


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def empty_unary(stub):
    assert stub.empty(b"") == b""


def large_unary(stub):
    assert payload_size(stub.unary(simple_request(314159, 271828))) == 314159


def client_streaming(stub):
    sizes = [27182, 8, 1828, 45904]
    answer = stub.input(iter([field(1, payload(size)) for size in sizes]))
    assert fields(answer)[1] == 74922, answer


def server_streaming(stub):
    sizes = [31415, 9, 2653, 58979]
    assert [payload_size(answer) for answer in stub.output(streaming_request(sizes))] == sizes


def ping_pong(stub):
    pipe = Pipe()
    answers = stub.duplex(pipe)
    for wanted, size in [(31415, 27182), (9, 8), (2653, 1828), (58979, 45904)]:
        pipe.send(streaming_request([wanted], size))
        assert payload_size(next(answers)) == wanted
    pipe.close()
    assert list(answers) == []


def empty_stream(stub):
    assert list(stub.duplex(iter([]))) == []


def cancel_after_begin(stub):
    pipe = Pipe()
    call = stub.input.future(pipe)
    call.cancel()
    assert call.cancelled() and call.code() is grpc.StatusCode.CANCELLED
    pipe.close()


def cancel_after_first_response(stub):
    pipe = Pipe()
    call = stub.duplex(pipe)
    pipe.send(streaming_request([31415], 27182))
    assert payload_size(next(call)) == 31415
    call.cancel()
    assert code_of(lambda: next(call))[0] is grpc.StatusCode.CANCELLED
    pipe.close()


def timeout_on_sleeping_server(stub):
    pipe = Pipe()
    call = stub.duplex(pipe, timeout=0.001)
    pipe.send(streaming_request([], 27182))
    assert code_of(lambda: next(call))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    pipe.close()


def status_code_and_message(stub):
    wanted = (grpc.StatusCode.UNKNOWN, "test status message")
    echo = status(2, wanted[1])
    assert code_of(lambda: stub.unary(simple_request(echo=echo))) == wanted
    assert code_of(lambda: list(stub.duplex(iter([streaming_request([], echo=echo)])))) == wanted


def special_status_message(stub):
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    request = simple_request(echo=status(2, message))
    assert code_of(lambda: stub.unary(request)) == (grpc.StatusCode.UNKNOWN, message)


def custom_metadata(stub):
    initial, trailing = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
    sent = [(initial, "test_initial_metadata_value"), (trailing, b"\xab\xab\xab")]
    _, call = stub.unary.with_call(simple_request(314159, 271828), metadata=sent)
    calls = [call]
    pipe = Pipe()
    stream = stub.duplex(pipe, metadata=sent)
    pipe.send(streaming_request([314159], 271828))
    next(stream)
    pipe.close()
    assert list(stream) == []
    for call in calls + [stream]:
        assert dict(call.initial_metadata())[initial] == sent[0][1]
        assert dict(call.trailing_metadata())[trailing] == sent[1][1]


def unimplemented_method(stub):
    assert code_of(lambda: stub.unimplemented(b""))[0] is grpc.StatusCode.UNIMPLEMENTED


def unimplemented_service(stub):
    assert code_of(lambda: stub.unknown(b""))[0] is grpc.StatusCode.UNIMPLEMENTED


def main():
    stub = Stub(grpc.insecure_channel(sys.argv[1]))
    for case in [
        empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, cancel_after_begin,
        cancel_after_first_response, timeout_on_sleeping_server, status_code_and_message, special_status_message,
        custom_metadata, unimplemented_method, unimplemented_service,
    ]:
        case(stub)
        print("ok", case.__name__)


main()
