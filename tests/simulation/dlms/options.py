"""What a world of meters is like, drawn from its seed; each world has some of the faults only, so that rare pairs meet.

What a line may do to a session depends on what protects it. HDLC has a check sequence of 16 bits and numbers of three,
the wrapper neither; so what is not authenticated can be right only on an *honest* line, and authenticated sessions have
to be right on any. Honest means:

* HDLC: 1 to 3 bits flipped in a frame, which the check sequence finds for certain (see `test_check_sequence`); frames
  lost, doubled, cut or late, garbage, frames of others. Of what is cut or drowned in garbage 1 in 65,536 could pass by
  chance, and would then still have to fit in length, address and number. No frame is so late that its response could
  come after the client has given it up (`HdlcSettings.response_timeout_ms` says what is meant).
* TCP: bytes arrive in their order or the stream breaks.
* UDP: packets lost, doubled, cut, overtaken, but none so late that it meets its invoke-id again, 16 requests later.

On a *hostile* line anybody changes and sends again anything at any time, with correct check sequences.
"""

import random
from dataclasses import dataclass, fields
from enum import Enum

from dlms.apdu.acse import Mechanism
from dlms.security.protection import CipherForm

RESPONSE_TIMEOUT_MS = 2_000
STATIONS = (17, 18, 19)
"""Physical addresses of the meters on a bus."""
LATENCY_MS = 10
DATAGRAM_LATE_MS_MAX = 14 * LATENCY_MS
"""Sixteen requests take longer, even if every answer comes at once."""


class Medium(Enum):
    """What lies between."""

    BUS = "HDLC on a bus that several meters share"
    STREAM = "the wrapper over TCP"
    DATAGRAMS = "the wrapper over UDP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One world. Times are milliseconds, shares are probabilities for each frame or packet."""

    seed: int
    medium: Medium
    meters: int
    errands: int
    """With each meter."""
    attempts: int
    """Sessions in which to get an errand done."""
    # ---- the associations
    mechanism: Mechanism
    is_ciphered: bool
    control: int
    form: CipherForm
    client_pdu_bytes: int
    server_pdu_bytes: int
    general_blocks: bool
    rows: int
    # ---- the link
    info_bytes: int
    window: int
    is_wide: bool
    """Whether HDLC addresses have four bytes."""
    # ---- the line
    is_hostile: bool
    is_ordered: bool
    """Whether what is late holds up what comes behind it, or is overtaken."""
    lost: float
    flipped: float
    doubled: float
    cut: float
    late: float
    late_ms_max: int
    garbage: float
    strangers: float
    """Answers of the wrong meter and requests of another client, with numbers that would fit."""
    again: float
    """On a hostile line: anything that was ever sent, sent again."""
    forged: float
    """On a hostile line: changed, with correct check sequences."""
    breaks: int
    """Of a TCP stream."""
    # ---- the meters and the client
    work_ms_max: int
    """How long a meter thinks."""
    reboots: int
    off_ms_max: int
    crashes: int
    """Of the client."""

    @property
    def is_exact(self) -> bool:
        """Whether no request may be carried out twice: not true of datagrams without counters."""
        return self.medium is not Medium.DATAGRAMS or self.is_ciphered

    def __str__(self) -> str:
        return ", ".join(f"{item.name}={getattr(self, item.name)}" for item in fields(self))


def draw(seed: int) -> Options:
    """Return the world of a seed."""
    rng = random.Random(f"dlms {seed}")

    def sometimes(value: float, share: float = 0.5) -> float:
        return rng.uniform(0, value) if rng.random() < share else 0.0

    medium = rng.choice([Medium.BUS, Medium.BUS, Medium.BUS, Medium.STREAM, Medium.DATAGRAMS])
    mechanism = rng.choice([Mechanism.LOW, Mechanism.HIGH, Mechanism.HIGH_GMAC, Mechanism.HIGH_GMAC])
    is_ciphered = rng.random() < 0.6
    control = rng.choice([0x30, 0x30, 0x30, 0x10]) if is_ciphered else 0
    is_hostile = is_ciphered and rng.random() < 0.5
    share = 0.2 if medium is Medium.STREAM else 1.0
    work_ms_max = rng.choice([0, 0, 30, 300])
    return Options(
        seed=seed,
        medium=medium,
        meters=rng.choice([1, 2, 3]) if medium is Medium.BUS else 1,
        errands=rng.randint(1, 6),
        attempts=rng.choice([1, 2, 3]),
        mechanism=mechanism,
        is_ciphered=is_ciphered,
        control=control,
        form=rng.choice(list(CipherForm)),
        client_pdu_bytes=rng.choice([200, 512, 509, 2048, 0xFFFF]),
        server_pdu_bytes=rng.choice([200, 512, 1024]),
        general_blocks=rng.random() < 0.2,
        rows=rng.choice([4, 24, 96]),
        info_bytes=rng.choice([32, 128, 128, 512, 2030]),
        window=rng.choice([1, 1, 2, 3, 7]),
        is_wide=rng.random() < 0.2,
        is_hostile=is_hostile,
        is_ordered=rng.random() < 0.7,
        lost=sometimes(0.25) * share,
        flipped=sometimes(0.25) * share,
        doubled=sometimes(0.3) * share,
        cut=sometimes(0.2) * share,
        late=sometimes(0.5),
        late_ms_max=_late_ms_max(rng, medium, work_ms_max, is_hostile=is_hostile),
        garbage=sometimes(0.3),
        strangers=sometimes(0.3),
        again=sometimes(0.2) if is_hostile else 0.0,
        forged=sometimes(0.1) if is_hostile else 0.0,
        breaks=rng.choice([0, 0, 1, 3]) if medium is Medium.STREAM else 0,
        work_ms_max=work_ms_max,
        reboots=rng.choice([0, 0, 1, 4]),
        off_ms_max=rng.choice([100, 5_000, 60_000]),
        crashes=rng.choice([0, 0, 1, 2]),
    )


def _late_ms_max(rng: random.Random, medium: Medium, work_ms_max: int, *, is_hostile: bool) -> int:
    if is_hostile:
        return rng.choice([100, 1_000, 20_000])
    match medium:
        case Medium.BUS:
            return rng.choice([20, 200, (RESPONSE_TIMEOUT_MS - work_ms_max) // 2 - 100])
        case Medium.STREAM:
            return rng.choice([20, 1_000, 20_000])
        case Medium.DATAGRAMS:
            return rng.choice([20, DATAGRAM_LATE_MS_MAX])
