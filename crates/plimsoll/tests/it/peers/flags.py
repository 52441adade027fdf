"""Asks for flags through the official providers of OpenFeature for Python.

    flags.py MODE HOST PORT [--selector S] [--cache lru|disabled] [--deadline-ms N] [--header K=V ...]
  MODE  rpc         openfeature-provider-flagd, evaluation over gRPC (flagd.evaluation.v2)
        in-process  openfeature-provider-flagd, flags over gRPC (flagd.sync.v1), evaluated here
        ofrep       openfeature-provider-ofrep, one HTTP POST per evaluation

stdin, one JSON object a line                         stdout, one JSON object a line
  {"flag": K, "type": boolean|string|integer|float|object, "default": D, "context": {...}}
                                                        {"value", "variant", "reason", "error_code"[, "error"]}
  {"wait_change": SECONDS}                              {"changed": [keys]} or {"timeout": true}
  {"wait_event": SECONDS, "name": ready|stale|error}    {"event": name} or {"timeout": true}

Events are kept from start-up on, so a change that comes before the wait line is not lost; those of
the first connection are dropped. Exit code 3: the provider did not become ready (reason on stderr).

packages: openfeature-sdk==0.10.0 openfeature-provider-flagd==0.6.1 openfeature-provider-ofrep==0.3.0
"""
import argparse
import json
import os
import queue
import sys
import time

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent

EVENTS = {
    "change": ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
    "ready": ProviderEvent.PROVIDER_READY,
    "stale": ProviderEvent.PROVIDER_STALE,
    "error": ProviderEvent.PROVIDER_ERROR,
}


def make_provider(args):
    if args.mode == "ofrep":
        from openfeature.contrib.provider.ofrep import OFREPProvider

        headers = dict(h.split("=", 1) for h in args.header)
        if args.selector:
            headers["Flagd-Selector"] = args.selector
        return OFREPProvider(f"http://{args.host}:{args.port}", headers_factory=lambda: headers)

    from openfeature.contrib.provider.flagd import FlagdProvider
    from openfeature.contrib.provider.flagd.config import CacheType, ResolverType

    return FlagdProvider(
        host=args.host,
        port=args.port,
        resolver_type=ResolverType.RPC if args.mode == "rpc" else ResolverType.IN_PROCESS,
        selector=args.selector,
        cache=CacheType(args.cache),
        deadline_ms=args.deadline_ms,
        retry_backoff_max_ms=1000,
    )


def evaluate(client, line):
    fields = dict(line.get("context") or {})
    context = EvaluationContext(fields.pop("targetingKey", None), fields)
    call = getattr(client, f"get_{line['type']}_details")
    d = call(line["flag"], line["default"], context)
    out = {
        "value": d.value,
        "variant": d.variant,
        "reason": None if d.reason is None else str(d.reason),
        "error_code": None if d.error_code is None else str(getattr(d.error_code, "value", d.error_code)),
    }
    if d.error_message:
        out["error"] = d.error_message
    return out


def wait(box, seconds):
    try:
        return box.get(timeout=seconds)
    except queue.Empty:
        return None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("mode", choices=["rpc", "in-process", "ofrep"])
    p.add_argument("host")
    p.add_argument("port", type=int)
    p.add_argument("--selector")
    p.add_argument("--cache", choices=["lru", "disabled"], default="lru")
    p.add_argument("--deadline-ms", type=int, default=3000)
    p.add_argument("--header", action="append", default=[])
    args = p.parse_args()

    boxes = {name: queue.Queue() for name in EVENTS}
    for name, event in EVENTS.items():
        api.add_handler(event, lambda details, name=name: boxes[name].put(details))
    try:
        api.set_provider_and_wait(make_provider(args))
    except Exception as e:  # whatever the provider raised, the peer is of no use
        print(f"not ready: {type(e).__name__}: {e}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)
    time.sleep(0.3)  # handlers run on other threads: let those of the first connection pass
    for box in boxes.values():
        box.queue.clear()
    print("ready", file=sys.stderr, flush=True)

    client = api.get_client()
    for text in sys.stdin:
        if not text.strip():
            continue
        line = json.loads(text)
        if "wait_change" in line:
            d = wait(boxes["change"], line["wait_change"])
            out = {"timeout": True} if d is None else {"changed": sorted(d.flags_changed or [])}
        elif "wait_event" in line:
            d = wait(boxes[line["name"]], line["wait_event"])
            out = {"timeout": True} if d is None else {"event": line["name"]}
        else:
            out = evaluate(client, line)
        print(json.dumps(out), flush=True)
    api.shutdown()
    sys.stdout.flush()
    os._exit(0)  # the providers' threads may outlive shutdown()


if __name__ == "__main__":
    main()
