// The cases of gRPC's interoperability tests, by JavaScript's stack: `node interop.js HOST:PORT`. Prints `ok CASE` for
// each. Messages are written by hand: see interop.py.
const assert = require("assert");
const grpc = require("@grpc/grpc-js");

function varint(number) {
  const bytes = [];
  for (; number >= 0x80; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return Buffer.from([...bytes, number]);
}

function field(number, value) {
  if (!value || value.length === 0) return Buffer.alloc(0);
  if (typeof value === "number") return Buffer.concat([varint(number * 8), varint(value)]);
  return Buffer.concat([varint(number * 8 + 2), varint(value.length), value]);
}

const payload = (size) => field(2, Buffer.alloc(size));
const status = (code, message) => Buffer.concat([field(1, code), field(2, Buffer.from(message))]);
const simpleRequest = (responseSize, size, echo) =>
  Buffer.concat([field(2, responseSize), field(3, payload(size)), field(7, echo)]);
const streamingRequest = (sizes, size, echo) =>
  Buffer.concat([...sizes.map((wanted) => field(2, field(1, wanted))), field(3, payload(size)), field(7, echo)]);

function readVarint(data, at) {
  let [number, scale] = [0, 1];
  for (;;) {
    const byte = data[at++];
    number += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) return [number, at];
  }
}

function fields(data) {
  const found = {};
  for (let at = 0; at < data.length; ) {
    let tag, value;
    [tag, at] = readVarint(data, at);
    [value, at] = readVarint(data, at);
    if (tag % 8 === 2) [value, at] = [data.subarray(at, at + value), at + value];
    found[tag >> 3] = value;
  }
  return found;
}

const none = Buffer.alloc(0);
const payloadSize = (answer) => (fields(fields(answer)[1] ?? none)[2] ?? none).length;

const same = (bytes) => bytes;
const method = (path, requestStream, responseStream) => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
const test = "/grpc.testing.TestService/";
const Client = grpc.makeGenericClientConstructor({
  empty: method(test + "EmptyCall", false, false),
  unary: method(test + "UnaryCall", false, false),
  input: method(test + "StreamingInputCall", true, false),
  output: method(test + "StreamingOutputCall", false, true),
  duplex: method(test + "FullDuplexCall", true, true),
  unimplemented: method(test + "UnimplementedCall", false, false),
  unknown: method("/grpc.testing.UnimplementedService/UnimplementedCall", false, false),
});
const client = new Client(process.argv[2], grpc.credentials.createInsecure());

const ask = (name, request, metadata = new grpc.Metadata()) =>
  new Promise((resolve, reject) => {
    const heard = {};
    const call = client[name](request, metadata, (error, answer) => {
      // The status comes behind the answer.
      setImmediate(() => (error ? reject(error) : resolve({ answer, ...heard })));
    });
    call.on("metadata", (initial) => (heard.initial = initial));
    call.on("status", (status) => (heard.trailing = status.metadata));
  });

// The answers of a stream to their end, which is an error if it is one.
const gather = (call) =>
  new Promise((resolve, reject) => {
    const answers = [];
    call.on("data", (answer) => answers.push(answer));
    call.on("error", reject);
    call.on("end", () => resolve(answers));
  });

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

const cases = {
  async empty_unary() {
    assert.equal((await ask("empty", none)).answer.length, 0);
  },
  async large_unary() {
    assert.equal(payloadSize((await ask("unary", simpleRequest(314159, 271828))).answer), 314159);
  },
  async client_streaming() {
    const answer = await new Promise((resolve, reject) => {
      const call = client.input((error, answer) => (error ? reject(error) : resolve(answer)));
      for (const size of [27182, 8, 1828, 45904]) call.write(field(1, payload(size)));
      call.end();
    });
    assert.equal(fields(answer)[1], 74922);
  },
  async server_streaming() {
    const sizes = [31415, 9, 2653, 58979];
    assert.deepEqual((await gather(client.output(streamingRequest(sizes, 0)))).map(payloadSize), sizes);
  },
  async ping_pong() {
    const call = client.duplex();
    const rounds = [[31415, 27182], [9, 8], [2653, 1828], [58979, 45904]];
    const seen = [];
    const next = () => {
      if (seen.length === rounds.length) return call.end();
      const [wanted, size] = rounds[seen.length];
      call.write(streamingRequest([wanted], size));
    };
    call.on("data", (answer) => {
      seen.push(payloadSize(answer));
      next();
    });
    next();
    await gather(call);
    assert.deepEqual(seen, rounds.map(([wanted]) => wanted));
  },
  async empty_stream() {
    const call = client.duplex();
    call.end();
    assert.deepEqual(await gather(call), []);
  },
  async cancel_after_begin() {
    const error = await failure(
      new Promise((resolve, reject) => {
        const call = client.input((error, answer) => (error ? reject(error) : resolve(answer)));
        call.cancel();
      }),
    );
    assert.equal(error.code, grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const call = client.duplex();
    call.on("data", () => call.cancel());
    call.write(streamingRequest([31415], 27182));
    assert.equal((await failure(gather(call))).code, grpc.status.CANCELLED);
  },
  async timeout_on_sleeping_server() {
    const call = client.duplex({ deadline: Date.now() + 1 });
    call.write(streamingRequest([], 27182));
    assert.equal((await failure(gather(call))).code, grpc.status.DEADLINE_EXCEEDED);
  },
  async status_code_and_message() {
    const echo = status(2, "test status message");
    const call = client.duplex();
    call.end(streamingRequest([], 0, echo));
    for (const failed of [failure(ask("unary", simpleRequest(0, 0, echo))), failure(gather(call))]) {
      const error = await failed;
      assert.deepEqual([error.code, error.details], [grpc.status.UNKNOWN, "test status message"]);
    }
  },
  async special_status_message() {
    const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    const error = await failure(ask("unary", simpleRequest(0, 0, status(2, message))));
    assert.deepEqual([error.code, error.details], [grpc.status.UNKNOWN, message]);
  },
  async custom_metadata() {
    const [initial, trailing] = ["x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"];
    const metadata = new grpc.Metadata();
    metadata.set(initial, "test_initial_metadata_value");
    metadata.set(trailing, Buffer.from([0xab, 0xab, 0xab]));
    const heard = await ask("unary", simpleRequest(314159, 271828), metadata);
    assert.deepEqual(heard.initial.get(initial), ["test_initial_metadata_value"]);
    assert.deepEqual(heard.trailing.get(trailing), [Buffer.from([0xab, 0xab, 0xab])]);
  },
  async unimplemented_method() {
    assert.equal((await failure(ask("unimplemented", none))).code, grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    assert.equal((await failure(ask("unknown", none))).code, grpc.status.UNIMPLEMENTED);
  },
};

(async () => {
  for (const [name, play] of Object.entries(cases)) {
    await play();
    console.log("ok", name);
  }
  client.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
