"""Messages with their rows placed, by the clocks and assignments that the database holds: what followers of readings share."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import batched_keys
