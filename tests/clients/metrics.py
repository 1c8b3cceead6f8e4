"""Reads what /metrics serves with the parsers of Prometheus' Python library.

Reads from standard input a line with the format, `openmetrics` or `text`, and the metrics. Writes a line of JSON for each
series: name of the family, its type, name of the series, labels, value.
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

format, _, metrics = sys.stdin.buffer.read().decode("utf-8").partition("\n")
seen = set()
for family in {"openmetrics": openmetrics, "text": text}[format](metrics):
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        if key in seen:
            sys.exit(f"twice: {key}")
        seen.add(key)
        value = repr(sample.value) if sample.value in (float("inf"), float("-inf")) else sample.value
        print(json.dumps([family.name, family.type, sample.name, sample.labels, value]))
