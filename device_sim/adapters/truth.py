"""What really happened: counts for each device, every energy that went out, and what DLMS meters captured, in a file.

The file has one JSON object a line, whose `kind` says what it is; `at_ms` is site time, `meter` the name:

- `energy`: an energy went out; `energy_wh`, on Modbus lines also `address` and `raw` (the registers as sent). It is
  recorded when its answer is handed to the transport in good order, of a DLMS meter when it is read; whether the master
  still waits for it nobody can know here.
- `row`: a meter captured a row of `profile`; `stamp_s` is the instant it stands for (Unix seconds, by the meter's
  clock), `values` has value, scaler and unit by logical name.
- `event`: a meter logged `code` in `log` under the log's new `sequence` number; with `stamp_s` and `values` as above.
- `relay`: the contacts of a meter's own switch moved; `closed`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from device_sim.core.exchange import Refusal, Registers, Reply
from device_sim.core.is15959.quantities import VALUE
from dlms.axdr.values import decode_value
from dlms.cosem.units import NO_UNIT
from dlms.obis import obis_text

if TYPE_CHECKING:
    from pathlib import Path

    from device_sim.core.is15959.witness import Captured

FLUSH_INTERVAL_S: Final = 0.25
"""How much of the file a kill can cost."""
Values = dict[str, tuple[int, int, int]]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One line of the file."""

    at_ms: int
    meter: str


class EnergySent(_Entry, frozen=True, kw_only=True, tag="energy"):
    """A Modbus meter's energy went out."""

    address: int
    raw: tuple[int, ...]
    energy_wh: float


class EnergyRead(_Entry, frozen=True, kw_only=True, tag="energy"):
    """A DLMS meter's energy was read."""

    energy_wh: float


class RowCaptured(_Entry, frozen=True, kw_only=True, tag="row"):
    """A DLMS meter captured a row."""

    profile: str
    stamp_s: int
    values: Values


class EventLogged(_Entry, frozen=True, kw_only=True, tag="event"):
    """A DLMS meter logged an event."""

    log: str
    sequence: int
    code: int
    stamp_s: int
    values: Values


class RelayMoved(_Entry, frozen=True, kw_only=True, tag="relay"):
    """The switch of a DLMS meter moved."""

    closed: bool


Entry = EnergySent | EnergyRead | RowCaptured | EventLogged | RelayMoved


class Tally(msgspec.Struct, kw_only=True):
    """What one device did."""

    answered: int = 0
    """Answers sent in good order, refusals included; of DLMS meters frames or packets."""
    refused: int = 0
    """Answers that were Modbus exceptions."""
    silent: int = 0
    """Requests without an answer."""
    garbled: int = 0
    """Answers spoilt on the way."""
    energies: int = 0
    """Energy values sent in good order."""
    last_energy_wh: float | None = None


class DlmsTally(Tally, kw_only=True):
    """What one DLMS meter did."""

    rows: int = 0
    """Rows captured, since the history began."""
    events: int = 0
    """Events logged, since the history began."""
    pushes: int = 0
    """Pushes delivered, as far as the transport can tell."""
    pushes_lost: int = 0
    """Pushes given up, and those without a destination."""


class Truth:
    """The record of one simulation."""

    def __init__(self, path: Path | None) -> None:
        """Start a new file; none without a path.

        Raises:
            OSError: The file cannot be written.
        """
        self._file = path.open("wb") if path is not None else None
        self._encoder = msgspec.json.Encoder()
        self._unwritten: list[bytes] = []
        self._writing = asyncio.Lock()
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)

    def silent(self, device_id: str) -> None:
        self.tallies[device_id].silent += 1

    def garbled(self, device_id: str) -> None:
        self.tallies[device_id].garbled += 1

    def answered(self, device_id: str, reply: Reply, *, at_ms: int) -> None:
        """Count an answer, and record the energies in it."""
        tally = self.tallies[device_id]
        tally.answered += 1
        if isinstance(reply, Refusal):
            tally.refused += 1
        elif isinstance(reply, Registers):
            for sample in reply.energies:
                tally.energies += 1
                tally.last_energy_wh = sample.energy_wh
                if self.is_kept:
                    self.write(
                        EnergySent(
                            at_ms=at_ms,
                            meter=device_id,
                            address=sample.address,
                            raw=sample.raw,
                            energy_wh=sample.energy_wh,
                        )
                    )

    def carried(self, device_id: str) -> None:
        """Count an answer of a DLMS meter."""
        self.tallies[device_id].answered += 1

    def pushed(self, device_id: str, *, is_delivered: bool) -> None:
        """Count what a meter said by itself."""
        tally = self.tallies[device_id]
        assert isinstance(tally, DlmsTally), "only DLMS meters push"
        tally.pushes += is_delivered
        tally.pushes_lost += not is_delivered

    @property
    def is_kept(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    def write(self, entry: Entry) -> None:
        """Record something, if there is a file."""
        if self._file is not None:
            self._unwritten.append(self._encoder.encode(entry))

    async def flush(self) -> None:
        """Write what is recorded so far, off the event loop."""
        async with self._writing:
            lines, self._unwritten = self._unwritten, []
            if self._file is not None and lines:
                await asyncio.to_thread(_append, self._file, b"\n".join((*lines, b"")))

    async def keep_flushing(self) -> None:
        """Write every so often, for ever."""
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await self.flush()

    async def close(self) -> None:
        """Write the rest and close the file."""
        await self.flush()
        if self._file is not None:
            self._file.close()


class MeterTruth:
    """What one DLMS meter lives through; a `Witness`."""

    def __init__(self, truth: Truth, meter_id: str, *, utc_offset_min: int) -> None:
        self._truth = truth
        self._meter_id = meter_id
        self._utc_offset_s = utc_offset_min * 60
        self._tally = truth.tallies[meter_id] = DlmsTally()

    def captured(self, captured: Captured) -> None:
        self._tally.rows += 1
        if self._truth.is_kept:
            self._truth.write(
                RowCaptured(
                    at_ms=captured.at_ms,
                    meter=self._meter_id,
                    profile=obis_text(captured.name),
                    stamp_s=self._stamp_s(captured),
                    values=values_of(captured),
                )
            )

    def occurred(self, code: int, sequence: int, captured: Captured) -> None:
        self._tally.events += 1
        if self._truth.is_kept:
            self._truth.write(
                EventLogged(
                    at_ms=captured.at_ms,
                    meter=self._meter_id,
                    log=obis_text(captured.name),
                    sequence=sequence,
                    code=code,
                    stamp_s=self._stamp_s(captured),
                    values=values_of(captured),
                )
            )

    def switched(self, *, is_closed: bool, at_ms: int) -> None:
        self._truth.write(RelayMoved(at_ms=at_ms, meter=self._meter_id, closed=is_closed))

    def energy_read(self, energy_wh: int, *, at_ms: int) -> None:
        self._tally.energies += 1
        self._tally.last_energy_wh = energy_wh
        self._truth.write(EnergyRead(at_ms=at_ms, meter=self._meter_id, energy_wh=energy_wh))

    def _stamp_s(self, captured: Captured) -> int:
        return captured.stamp_local_ms // 1000 - self._utc_offset_s


def values_of(captured: Captured) -> Values:
    """Return the numbers of a row by logical name, each with scaler and unit; times are left out."""
    cells = decode_value(captured.row)
    assert isinstance(cells, tuple), "a row is a structure"
    values: Values = {}
    for quantity, cell in zip(captured.table.quantities, cells, strict=True):
        if isinstance(cell, int) and quantity.capture.attribute == VALUE:
            measure = quantity.scaler_unit
            scaler, unit = (measure.scaler, measure.unit) if measure is not None else (0, NO_UNIT)
            values[obis_text(quantity.capture.name)] = (cell, scaler, unit)
    return values


def _append(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
