"""Encodes readings with pysparkplug; runs in an environment without our packages.

Reads JSON on standard input, a list of
    {"name", "metrics": [[alias, timestamp_ms, value]]}
and prints JSON: for each name the payload of one DDATA message as hex. Values are whole numbers in the unit that the
birth certificate would state, names are left to it as well: the shortest form that Sparkplug B has.
"""

import json
import sys

from pysparkplug import DataType, DData, Metric


def _encoded(item: dict) -> str:
    metrics = tuple(
        Metric(timestamp=timestamp_ms, name=None, datatype=DataType.INT64, value=value, alias=alias)
        for alias, timestamp_ms, value in item["metrics"]
    )
    sent_ms = max(metric.timestamp for metric in metrics)
    return DData(timestamp=sent_ms, seq=1, metrics=metrics).encode().hex()


if __name__ == "__main__":
    json.dump({item["name"]: _encoded(item) for item in json.load(sys.stdin)}, sys.stdout)
