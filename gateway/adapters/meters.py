"""The meters of a gateway behind its buses: rows out of readings, and relays and demand reads into bus jobs."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.bus import BusWorker, ExpiredError
from gateway.adapters.modbus import ModbusDriver, ModbusMeter, ModbusRelay
from gateway.adapters.profile_files import load_profiles
from gateway.config import Config, LineEntry, MeterEntry
from gateway.core.acquisition import BusEvent, Reading, ReadMeter, Sample, SwitchRelay
from gateway.core.effects import DemandRead, DriveRelay
from gateway.core.profiles import MeterProfile, Profile, RelayProfile
from gateway.core.schedule import BusBusyError
from gateway.ports import BusError
from wire.facts import ReadValue
from wire.readings import Channel, Row
from wire.runtime.clock import Clock
from wire.runtime.errors import ConfigError


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a meter is."""

    worker: BusWorker
    channels: tuple[Channel, ...]


class Meters:
    """All meters of this gateway, by id."""

    def __init__(self, config: Config, *, clock: Clock, sink: Callable[[BusEvent], Awaitable[None]]) -> None:
        """Lay out the buses.

        Raises:
            ConfigError: A profile is missing or of the wrong kind.
        """
        profiles = load_profiles(Path(config.profiles_folder) if config.profiles_folder else None)
        self.workers: dict[str, BusWorker] = {}
        self._places: dict[str, _Place] = {}
        for line in config.lines:
            meters = {meter.id: _modbus_meter(meter, profiles) for meter in line.meters}
            worker = BusWorker(
                line.id,
                driver=ModbusDriver(
                    line.connection,
                    meters=meters,
                    relays=_modbus_relays(line, profiles),
                    clock=clock,
                    timeout_ms=line.answer_ms_max,
                ),
                reads=[(ReadMeter(meter_id=meter.id), config.period_s * 1_000) for meter in line.meters],
                clock=clock,
                sink=sink,
            )
            self.workers[line.id] = worker
            for name, meter in meters.items():
                self._places[name] = _Place(worker, meter.profile.wire_channels())

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._places)

    def channels(self, meter: str) -> tuple[Channel, ...]:
        """Return the channels of a meter, by the index that samples name."""
        return self._places[meter].channels

    async def drive(self, drive: DriveRelay, *, is_wanted: Callable[[DriveRelay], bool]) -> bool | None:
        """Carry a drive out unless it was overtaken; return what reading back showed, or None."""
        if not is_wanted(drive):
            return None
        try:
            outcome = await self._places[drive.meter].worker.submit(
                SwitchRelay(relay_id=drive.meter, closed=drive.closed)
            )
        except (BusError, BusBusyError, ExpiredError):
            return None
        return bool(outcome)

    async def read(self, demand: DemandRead) -> list[ReadValue]:
        """Read a meter now.

        Raises:
            BusError: It did not answer, or refused.
            BusBusyError: Too much waits already.
        """
        place = self._places[demand.meter]
        wanted = tuple(
            index
            for index, channel in enumerate(place.channels)
            if not demand.channels or channel.obis in demand.channels
        )
        outcome = await place.worker.submit(ReadMeter(meter_id=demand.meter, channels=wanted))
        assert isinstance(outcome, Reading), "a read brings a reading"
        return [_read_value(place.channels[sample.channel], sample) for sample in outcome.samples]


def row_of(reading: Reading, channels: Sequence[Channel]) -> Row:
    """Return a complete reading as a row."""
    values: list[int | None] = [None] * len(channels)
    qualities = []
    for sample in reading.samples:
        values[sample.channel] = sample.value
        if sample.value is not None and sample.quality is not None:
            qualities.append((sample.channel, sample.quality))
    return Row(reading.meter_id, reading.tick_ms, values, qualities)


def _read_value(channel: Channel, sample: Sample) -> ReadValue:
    return ReadValue(channel.obis, channel.scaler, channel.unit, sample.value)


def _modbus_meter(meter: MeterEntry, profiles: dict[str, Profile]) -> ModbusMeter:
    profile = profiles.get(meter.profile)
    if not isinstance(profile, MeterProfile):
        raise ConfigError(f"meter {meter.id}", f"no register map {meter.profile!r}", f"use one of {_names(profiles)}")
    return ModbusMeter(unit=meter.unit, profile=profile)


def _modbus_relays(line: LineEntry, profiles: dict[str, Profile]) -> dict[str, ModbusRelay]:
    relays = {}
    for meter in line.meters:
        if meter.relay is None:
            continue
        profile = profiles.get(meter.relay.profile)
        if not isinstance(profile, RelayProfile):
            raise ConfigError(
                f"relay of {meter.id}", f"no relay map {meter.relay.profile!r}", f"use one of {_names(profiles)}"
            )
        relays[meter.id] = ModbusRelay(unit=meter.relay.unit, profile=profile, output=meter.relay.output)
    return relays


def _names(profiles: dict[str, Profile]) -> str:
    return ", ".join(sorted(profiles))
