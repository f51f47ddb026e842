"""The baseline of the feeder: one loop that posts lines that were made beforehand; a process of its own.

    python -m tests.bench.bare_post INFLUX_URL COPY LINES_FILE LINES_PER_WRITE

It has no database and makes no lines: the same lines, as many a request as the feeder's, over one connection to the
same server. Prints what it cost.
"""

import json
import sys
from pathlib import Path
from time import perf_counter, process_time

import urllib3


def main(url: str, copy: str, file: Path, size: int) -> None:
    """Post a file's lines and print."""
    lines = file.read_bytes().split(b"\n")
    pool = urllib3.PoolManager(retries=False)
    address = f"{url}/write?db={copy}&rp=detail&precision=ms"
    begun_s, used_s = perf_counter(), process_time()
    for first in range(0, len(lines), size):
        answer = pool.request("POST", address, body=b"\n".join(lines[first : first + size]))
        assert answer.status == 204, answer.data
    cost = {"wall_s": perf_counter() - begun_s, "cpu_s": process_time() - used_s}
    print(json.dumps({"ready": True, "lines": len(lines)} | cost), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
