"""A meter on the bench: reads, writes and invokes by typed references, as one of its clients."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from device_sim.core.faults import Faults
from device_sim.core.is15959.associations import Client
from device_sim.core.is15959.clock import DAY_MS, MINUTE_MS
from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.settings import MeterSettings, Nameplate
from device_sim.core.supply import Supply
from dlms.apdu.codec import decode_apdu
from dlms.apdu.services import DataNotification, Selection
from dlms.axdr.data import Data
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.values import Value, decode_value
from dlms.cosem.attribute import AttributeRef, MethodRef
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.profile_rows import CaptureObject, Row
from dlms.cosem.registers import DataObject
from dlms.errors import AccessRefusedError, ActionRefusedError
from dlms.obis import obis
from dlms.server.device import Access

T = TypeVar("T")
P = TypeVar("P")
NOON_MS = 1_780_315_200_000
"""2026-06-01 12:00 UTC, 17:30 in India."""
HOUR_MS = 60 * MINUTE_MS
INDIA_MS = 330 * MINUTE_MS
MIDNIGHT_MS = NOON_MS - (NOON_MS + INDIA_MS) % DAY_MS + DAY_MS
"""The next local midnight."""
CLOCK_COLUMN = CaptureObject(8, obis("0.0.1.0.0.255"), 2)
BLOCK = ProfileGeneric("1.0.99.1.0.255")
DAILY = ProfileGeneric("1.0.99.2.0.255")
BILLING = ProfileGeneric("1.0.98.1.0.255")
VOLTAGE_LOG, TRANSACTION_LOG, OTHER_LOG, CONTROL_LOG = (
    ProfileGeneric(f"0.0.99.98.{number}.255") for number in (0, 3, 4, 6)
)
POWER_LOG = ProfileGeneric("0.0.99.98.2.255")
IMPORT_WH = DataObject("1.0.1.8.0.255")


@dataclass
class Bench:
    meter: Is15959Meter
    supply: Supply
    now_ms: int = NOON_MS

    def wait(self, duration_ms: int) -> None:
        self.wait_until(self.now_ms + duration_ms)

    def wait_until(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.meter.advance(now_ms)

    def read_raw(
        self, ref: AttributeRef[Any], selection: Selection | None = None, client: int = Client.SETTINGS
    ) -> bytes:
        return self.meter.read(ref.descriptor, selection, Access(client, 0, 0))

    def read(self, ref: AttributeRef[T], selection: Selection | None = None, client: int = Client.SETTINGS) -> T:
        return ref.decode(self.read_raw(ref, selection, client))

    def plain(self, ref: AttributeRef[Any]) -> Value:
        return decode_value(self.read_raw(ref))

    def number(self, name: str, class_id: int = 1) -> int:
        """Return the number that an object holds."""
        ref = AttributeRef(class_id, obis(name), 2, DataObject.value.codec)
        found = self.read(ref)
        assert isinstance(found, int)
        return found

    def write(self, ref: AttributeRef[T], value: T | Data, client: int = Client.SETTINGS) -> None:
        self.meter.write(ref.descriptor, None, ref.encode(value), Access(client, 0, 0))

    def invoke(self, ref: MethodRef[P, Any], parameters: P | Data, client: int = Client.SETTINGS) -> None:
        self.meter.invoke(ref.descriptor, ref.encode(parameters), Access(client, 0, 0))

    def rows(self, profile: ProfileGeneric, selection: Selection | None = None) -> tuple[Row, ...]:
        columns = self.read(profile.capture_objects)
        return self.read(profile.rows(columns), selection)

    def codes(self, log: ProfileGeneric) -> list[int]:
        """Return the event codes of a log, oldest first."""
        return [row[1] for row in self.rows(log) if isinstance(row[1], int)]

    def refused(self, act: Callable[[], object]) -> int:
        """Return the result with which something is refused."""
        try:
            act()
        except (AccessRefusedError, ActionRefusedError) as refusal:
            return refusal.result
        raise AssertionError("nothing was refused")

    def pushed(self) -> list[tuple[Value, ...]]:
        """Return the bodies of the pushes that wait."""
        bodies = []
        for push in self.meter.take_pushes():
            notification = decode_apdu(push.apdu)
            assert isinstance(notification, DataNotification)
            body = decode_value(notification.body)
            assert isinstance(body, tuple)
            bodies.append(body)
        return bodies


def local(now_ms: int) -> CosemDateTime:
    """Return a site time as a meter without drift shows it."""
    return CosemDateTime.from_utc_ms(now_ms, -330)


def local_ms(cell: object) -> int:
    """Return site time of a cell of a clock column."""
    assert isinstance(cell, CosemDateTime)
    return cell.to_utc_ms()


def make_bench(supply: Supply, *, now_ms: int = NOON_MS, **settings: Any) -> Bench:
    """Return a meter that begins at `now_ms`."""
    told = MeterSettings(nameplate=Nameplate(serial="00000001"), **settings)
    faults = Faults((), rng=Random(1))
    return Bench(Is15959Meter(told, supply=supply, faults=faults, now_ms=now_ms), supply, now_ms)
