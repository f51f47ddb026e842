"""The prepaid objects 0.0.94.96.19 to 25: mirrors of an account that is kept elsewhere.

Decides nothing; the meter only shows what it was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from device_sim.core.is15959.quantities import NEVER
from dlms.axdr.datetimes import CosemDateTime


class MeteringMode(IntEnum):
    """What 0.0.94.96.19 says."""

    FORWARD_ONLY = 0
    IMPORT_EXPORT = 1


class PaymentMode(IntEnum):
    """What 0.0.94.96.20 says."""

    POSTPAID = 0
    PREPAID = 1


@dataclass(slots=True)
class Prepaid:
    """Modes and amounts; amounts in the smallest unit of the currency."""

    metering_mode: MeteringMode = MeteringMode.FORWARD_ONLY
    payment_mode: PaymentMode = PaymentMode.POSTPAID
    recharge_amount: int = 0
    recharged_at: CosemDateTime = CosemDateTime(NEVER)  # noqa: RUF009 - frozen
    recharge_total: int = 0
    balance: int = 0
    """May be negative."""
    balance_at: CosemDateTime = CosemDateTime(NEVER)  # noqa: RUF009 - frozen
