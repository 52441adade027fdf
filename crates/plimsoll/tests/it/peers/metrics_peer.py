"""Reads a page of OpenMetrics with the reference parser, which is strict; prints how many families and exemplars."""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = list(text_string_to_metric_families(sys.stdin.read()))
exemplars = sum(sample.exemplar is not None for family in families for sample in family.samples)
print(len(families), exemplars)
