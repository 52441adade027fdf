"""A collector with a decoder that we did not write: OpenTelemetry's own protobuf definitions.

Prints its address on the first line, then one line of JSON for each POST that it could decode: for /v1/traces the
kind of each span, for /v1/metrics the points by metric. What it cannot decode it answers with 400.

    otlp_peer.py [CERTIFICATE KEY]    with files: over TLS
"""
import base64
import http.server
import json
import ssl
import sys
import threading

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def ids_to_base64(value):
    """OTLP's JSON has ids in hex, where protobuf's own has bytes in base64."""
    if isinstance(value, list):
        return [ids_to_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in ids else ids_to_base64(item)
        for key, item in value.items()
    }


def resource_of(part):
    return {attribute.key: attribute.value.string_value for attribute in part.resource.attributes}


def traces(body):
    request = json_format.ParseDict(body, ExportTraceServiceRequest())
    (part,) = request.resource_spans
    spans = [span for scope in part.scope_spans for span in scope.spans]
    assert all(len(span.trace_id) == 16 and len(span.span_id) == 8 for span in spans)
    return {"resource": resource_of(part), "kinds": [span.kind for span in spans]}


def metrics(body):
    request = json_format.ParseDict(body, ExportMetricsServiceRequest())
    (part,) = request.resource_metrics
    said = {}
    for metric in (metric for scope in part.scope_metrics for metric in scope.metrics):
        kind = metric.WhichOneof("data")
        data = getattr(metric, kind)
        assert kind == "gauge" or data.aggregation_temporality == 2
        for point in data.data_points:
            assert 0 < point.start_time_unix_nano <= point.time_unix_nano
            if kind == "histogram":
                assert sum(point.bucket_counts) == point.count
                assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
                assert all(len(exemplar.trace_id) == 16 for exemplar in point.exemplars)
        values = [
            point.count if kind == "histogram" else point.as_int or point.as_double for point in data.data_points
        ]
        said[metric.name] = {"kind": kind, "unit": metric.unit, "values": values}
    return {"resource": resource_of(part), "metrics": said}


SAYING = threading.Lock()


def tell(line):
    """Traces and metrics come at the same time, and print() writes a line and its end one after the other."""
    with SAYING:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        decode = {"/v1/traces": traces, "/v1/metrics": metrics}.get(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            assert self.headers["Content-Type"] == "application/json"
            said = decode(ids_to_base64(json.loads(body)))
            status = 200
        except Exception as error:  # whatever it is, the test is to see it
            said, status = {"error": repr(error)}, 400
        tell(json.dumps({"path": self.path, **said}))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.daemon_threads = True
    if len(sys.argv) == 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


main()
