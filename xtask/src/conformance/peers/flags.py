"""Evaluates flags with flagd's own evaluator for Python: one question a line on standard input, one answer a line on
standard output. A question has definitions, the flag, the kind of value, the time and contexts."""

import json
import logging
import sys
import time

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

logging.disable(logging.CRITICAL)


def answer(evaluator, kind, flag, attributes):
    key = attributes.pop("targetingKey", None)
    context = EvaluationContext(targeting_key=key, attributes=attributes)
    resolve = {
        "bool": evaluator.resolve_boolean_value,
        "string": evaluator.resolve_string_value,
        "number": evaluator.resolve_float_value,
        "object": evaluator.resolve_object_value,
    }[kind]
    try:
        details = resolve(flag, None, context)
    except OpenFeatureError as error:
        return {"reason": "ERROR", "error": error.error_code.value}
    except Exception as error:
        return {"crashed": repr(error)}
    return {"value": details.value, "variant": details.variant, "reason": str(details.reason.value)}


for line in sys.stdin:
    question = json.loads(line)
    time.time = lambda now=question["now"]: now
    evaluator = FlagdCore()
    try:
        evaluator.set_flags(question["definitions"])
        answers = [answer(evaluator, question["kind"], question["flag"], c) for c in question["contexts"]]
    except Exception as error:
        answers = [{"refused": repr(error)} for _ in question["contexts"]]
    print(json.dumps(answers))
