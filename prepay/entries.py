"""The authorised entries a balance is computed from; the set of them only ever grows.

It decides what each entry says, its bounds and its shape on the wire (an array with a small integer tag first), since
the same types travel inside signed facts. Who may sign which kind is left to the wire contract; what entries mean
together is left to `prepay.balance`. Tags and field order are part of every digest and never change.
"""

from enum import IntEnum
from typing import Annotated, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from prepay.money import EXPONENT_MAX, PRICE_DIGITS_MAX

INSTANT_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, Unix time in milliseconds."""
QUANTITY_MAX = 10**15
"""The largest amount in minor units and the largest register in watt-hours."""
INSTALLATIONS_MAX = 16
"""Installations of one account that a statement can carry."""
PERIODS_MAX = 4
"""Tariff periods that a statement can leave open."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9-]+\Z")]
MeterSerial: TypeAlias = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[!-~]+\Z")]
EntryId: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Reference: TypeAlias = Annotated[bytes, Meta(max_length=32)]
"""An entry's id (16 bytes), an entry's digest (32 bytes), or nothing (0 bytes)."""
BootId: TypeAlias = Annotated[bytes, Meta(min_length=8, max_length=8)]
InstantMs: TypeAlias = Annotated[int, Meta(ge=0, le=INSTANT_MS_MAX)]
EnergyWh: TypeAlias = Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
InstallationNumber: TypeAlias = Annotated[int, Meta(ge=1, le=2**32 - 1)]
EntryDigest: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Price: TypeAlias = Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
PriceDigits: TypeAlias = Annotated[int, Meta(ge=0, le=PRICE_DIGITS_MAX)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]


class AdjustmentReason(IntEnum):
    """Why an amount was booked that is no credit and no consumption."""

    CORRECTION = 1
    """Energy or money that was counted wrongly, a quarantined step among it."""
    REVERSAL = 2
    """A credit taken back."""
    REFUND = 3
    FEE = 4
    DEBT = 5
    """What was owed when the account became prepaid."""
    TRANSFER = 6
    """To or from another account."""


class PointReason(IntEnum):
    """Why a register was read; it explains the point and decides nothing."""

    HOURLY = 1
    SWITCHING = 2
    INSTALL = 3
    REMOVAL = 4
    TARIFF = 5
    """Taken at a change of tariff, which makes the split between the two exact."""


class Opening(Struct, frozen=True, kw_only=True, array_like=True, tag=1, forbid_unknown_fields=True, gc=False):
    """An account begins. One per account."""

    account: Name
    currency: Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}\Z")]
    exponent: Annotated[int, Meta(ge=0, le=EXPONENT_MAX)]
    tariff_class: Name
    """Tariffs with this scope hold for the account."""
    opened_at_ms: InstantMs


class Credit(Struct, frozen=True, kw_only=True, array_like=True, tag=2, forbid_unknown_fields=True, gc=False):
    """Money paid in, counted from `issued_at_ms` on."""

    id: EntryId
    account: Name
    amount_minor: Annotated[int, Meta(ge=1, le=QUANTITY_MAX)]
    issued_at_ms: InstantMs


class Adjustment(Struct, frozen=True, kw_only=True, array_like=True, tag=3, forbid_unknown_fields=True, gc=False):
    """Money given or taken for a stated reason, counted from `issued_at_ms` on."""

    id: EntryId
    account: Name
    amount_minor: Annotated[int, Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
    """Above zero in the household's favour."""
    reason: AdjustmentReason
    refers_to: Reference
    issued_at_ms: InstantMs


class Tariff(Struct, frozen=True, kw_only=True, array_like=True, tag=4, forbid_unknown_fields=True, gc=False):
    """A flat price from a date on."""

    id: EntryId
    scope: Name
    """A tariff class, or one account, whose own tariffs go before those of its class; the two share one name space."""
    predecessor: Annotated[bytes, Meta(max_length=16)]
    """Id of the tariff of the same scope before this one; empty for the first."""
    price: Price
    """Minor units per 1000 Wh times 10 to the power `price_digits`."""
    price_digits: PriceDigits
    effective_from_ms: InstantMs


class Assignment(Struct, frozen=True, kw_only=True, array_like=True, tag=5, forbid_unknown_fields=True, gc=False):
    """A meter's register counts for an account from a date on.

    Each installation of a meter at an account has a number of its own: a meter that comes back gets a new one.
    """

    account: Name
    meter_serial: MeterSerial
    installation: InstallationNumber
    opening_wh: EnergyWh
    from_ms: InstantMs
    rated_power_w: Annotated[int, Meta(ge=1, le=10**9)]
    """The most this connection can draw."""
    register_step_wh: Annotated[int, Meta(ge=1, le=10**6)]
    """The smallest change the register shows."""
    register_modulus_wh: EnergyWh
    """The register returns to zero here; zero where that is not known."""


class Release(Struct, frozen=True, kw_only=True, array_like=True, tag=6, forbid_unknown_fields=True, gc=False):
    """An assignment ends: the register counts up to `closing_wh` and no further."""

    account: Name
    meter_serial: MeterSerial
    installation: InstallationNumber
    closing_wh: EnergyWh
    until_ms: InstantMs


class RegisterPoint(Struct, frozen=True, kw_only=True, array_like=True, tag=7, forbid_unknown_fields=True, gc=False):
    """A cumulative register as a gateway read it."""

    meter_serial: MeterSerial
    installation: InstallationNumber
    boot_id: BootId
    tick_ms: Annotated[int, Meta(ge=0, le=2**53)]
    """Monotonic time since that boot; with `boot_id` it is the point's key, which no clock correction changes."""
    taken_at_ms: InstantMs
    """The tick in UTC as it was known when the point was reported."""
    energy_wh: EnergyWh
    reason: PointReason


class Reached(NamedTuple):
    """A register and when it was read."""

    taken_at_ms: InstantMs
    energy_wh: EnergyWh


class CarriedInstallation(Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """How far an installation was followed at a close."""

    meter_serial: MeterSerial
    installation: InstallationNumber
    charged_wh: EnergyWh
    """Since the installation began."""
    believed: Reached
    """The last believed register, or the opening."""
    candidate: Reached | None
    """A later register that no rule explained; the next point may confirm it."""


class CarriedPeriod(Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The energy of a tariff period that goes on after the close; it is rounded with what comes."""

    from_ms: InstantMs
    tariff: EntryId
    price: Price
    price_digits: PriceDigits
    energy_wh: EnergyWh


class Statement(Struct, frozen=True, kw_only=True, array_like=True, tag=8, forbid_unknown_fields=True, gc=False):
    """An account is closed at an instant: this stands for all its register points up to then, and goes on from there.

    The latest close counts. Credits, adjustments, tariffs, assignments and releases stay entries of their own.
    """

    account: Name
    closed_at_ms: InstantMs
    issued_at_ms: InstantMs
    """When the cloud signed it, later than the close."""
    predecessor: Annotated[bytes, Meta(max_length=32)]
    """Digest of the statement before this one; empty for the first."""
    covers: EntryDigest
    """Of the set this stands for: the predecessor, and the register points since its close."""
    points_count: Count
    """Register points this stands for, the predecessors' among them."""
    quarantined_count: Count
    """How many of them were not believed."""
    settled_wh: EnergyWh
    """Priced energy of the tariff periods that were over at the close."""
    settled_minor: Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
    """What it cost, each period rounded once, in minor units."""
    unpriced_wh: EnergyWh
    """Energy used before any tariff held; it costs nothing any more."""
    released_wh: EnergyWh
    """Energy of the installations that had ended at the close."""
    installations: Annotated[tuple[CarriedInstallation, ...], Meta(max_length=INSTALLATIONS_MAX)]
    """Those that go on, by meter serial and number."""
    periods: Annotated[tuple[CarriedPeriod, ...], Meta(max_length=PERIODS_MAX)]
    """Those that go on."""


Entry: TypeAlias = Opening | Credit | Adjustment | Tariff | Assignment | Release | RegisterPoint | Statement
