"""Bounds of everything that comes from outside, in one place; a receiver checks them before it takes memory."""

MESSAGE_BYTES_MAX = 65_536
"""A signed message as it travels, envelope included."""
BODY_BYTES_MAX = 524_288
"""The facts of one batch once inflated."""
DEPTH_MAX = 8
"""CBOR nesting."""
FACTS_PER_BATCH_MAX = 512
ROWS_PER_BLOCK_MAX = 8_192
CHANNELS_PER_BLOCK_MAX = 64
VALUES_PER_BLOCK_MAX = 131_072
"""Rows times channels of one block of readings."""
METERS_PER_GATEWAY_MAX = 1_024
FACTS_PER_DOWN_MESSAGE_MAX = 64
METRICS_PER_HEALTH_MAX = 64
DOWN_FACT_BYTES_MAX = 1_024
DIGESTS_PER_ACK_MAX = 256
FLOORS_MAX = 1_024
RESTORES_MAX = 64
METERS_PER_REQUEST_MAX = 256
NAME_BYTES_MAX = 32
DETAIL_CHARS_MAX = 120
SOFTWARE_CHARS_MAX = 40
WINDOW_MAX = 64
"""Batches one gateway may have in flight."""
TICK_MS_MAX = 2**53 - 1
TIME_MS_MIN = 1_577_836_800_000
"""2020-01-01; an earlier time is a clock that was never set."""
TIME_MS_MAX = 4_102_444_800_000
"""2100-01-01."""
VALUE_MAX = 2**62 - 1
"""Magnitude of a reading in units of its scaler; the difference of two then fits 64 bits."""
