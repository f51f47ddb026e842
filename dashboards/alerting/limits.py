"""The limits of all alert rules, each with its reason; which series they are held against stands in `rules`.

A limit here is a working value for a network whose gateways report every quarter of an hour. Who runs another network
changes it here and runs `wattpost dashboards build`.
"""

from typing import Final

REPORT_S: Final = 900
"""How often a gateway reports on itself, and how often meters are read, as the gateway comes."""

GATEWAY_SILENT_S: Final = 3 * REPORT_S
"""Two reports may be lost to a bad line; the third says that nobody is coming."""
GATEWAYS_SILENT_PERCENT: Final = 10.0
"""So many at once do not fail by themselves: it is a broker, a carrier or our own intake."""
GATEWAYS_SILENT_COUNT: Final = 2
"""In a village of five gateways one is twenty per cent, which the rule about that gateway has said already."""
METERS_SILENT_PERCENT: Final = 20.0
"""Of a gateway that is heard: a line of several is down, or a line is so bad that a fifth of its meters is lost."""
METERS_SILENT_COUNT: Final = 2
"""A single dead meter is work for the next round, not for the person on duty."""

BACKLOG_AGE_S: Final = 4 * REPORT_S
"""Acknowledgements take seconds; what waits for an hour while the gateway is heard does not get through."""
STORE_USED_PERCENT: Final = 70.0
"""At 100 readings are given up; from 70 there are days left at the usual rate, time enough to drive there."""
ACK_LATENCY_MS: Final = 30_000.0
"""The gateway sends again after less than that; slower, everything is sent twice."""
DISK_FREE_PERCENT: Final = 10.0
"""Below it flash cards wear fast and the store's own growth soon meets the end of the disk."""
CLOUD_DISK_FREE_PERCENT: Final = 15.0
"""A database that cannot grow stops the whole intake; at a percent a day there are two weeks to act."""

CLOCK_ERROR_MS: Final = 60_000.0
"""A minute is what a billing interval of a quarter of an hour may be off by without dispute (1/15)."""
METER_CLOCK_OFFSET_MS: Final = 60_000.0
"""The same for a meter that stamps its own intervals."""

SIGNATURES_REFUSED_COUNT: Final = 0
"""No honest part of the network sends a signature that does not hold: one is worth looking at."""
COMMANDS_FAILED_PERCENT: Final = 10.0
"""Single meters fail for reasons of their own; a tenth is more than that."""
COMMANDS_FAILED_COUNT: Final = 3
"""One of two commands of a quiet hour is half of them and says nothing."""
DISCONNECTED_COUNT: Final = 10
"""Fewer within a quarter of an hour happen wherever credit runs out."""
DISCONNECTED_PERCENT: Final = 1.0
"""Of all meters: prepaid households run out of credit one after another, not together."""
DISCONNECTED_COUNT_MAX: Final = 500
"""However large the network, so many customers in the dark within a quarter of an hour want a person's look."""
TAMPER_COUNT: Final = 0
"""Each one is a meter to visit."""

FOLLOWER_LAG_S: Final = 600.0
"""Work on committed messages is a matter of seconds; ten minutes are no burst any more."""
WRITES_FAILED_COUNT: Final = 5
"""A restart of InfluxDB costs a few writes, which are repeated; more means that it does not come back."""
REPORTS_MISSED_MEAN: Final = 0.3
"""Mean count of reports of three pieces of two minutes: a process that reports each minute stands at 2, and at 1/3 with
a single report in six minutes."""
