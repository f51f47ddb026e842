"""The meters of a gateway behind its buses: rows out of readings, and relays and demand reads into bus jobs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.bus import BusWorker, Outcome
from gateway.adapters.modbus import ModbusDriver, ModbusMeter, ModbusRelay
from gateway.adapters.profile_files import load_profiles
from gateway.config import Config, LineEntry, MeterEntry
from gateway.core.acquisition import BusEvent, Reading, ReadMeter, Sample, SwitchRelay
from gateway.core.effects import DemandRead, DriveRelay
from gateway.core.profiles import MeterProfile, Profile, ProfileError, RelayProfile
from gateway.core.schedule import BusBusyError
from gateway.ports import BusError, MeterRefusedError, MeterUnavailableError
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
            ConfigError: A profile is missing, of the wrong kind, or does not hold.
        """
        profiles = _load_profiles(config.profiles_folder)
        self.workers: dict[str, BusWorker] = {}
        self._places: dict[str, _Place] = {}
        self._driving: dict[str, asyncio.Future[Outcome]] = {}
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
        """Carry a drive out unless it was overtaken; return what reading back showed, or None.

        A drive that still waits for its line when the next one for the same relay comes is withdrawn, so that a line
        that is slow or down does not carry out what was decided long ago.
        """
        overtaken = self._driving.pop(drive.meter, None)
        if overtaken is not None:
            overtaken.cancel()
        if not is_wanted(drive):
            return None
        try:
            outcome = self._places[drive.meter].worker.submit(SwitchRelay(relay_id=drive.meter, closed=drive.closed))
        except BusBusyError:
            return None
        self._driving[drive.meter] = outcome
        await asyncio.wait((outcome,))
        if self._driving.get(drive.meter) is outcome:
            del self._driving[drive.meter]
        # What went wrong the line's worker has told; here it only matters that nothing was proved.
        return None if outcome.cancelled() or outcome.exception() is not None else bool(outcome.result())

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
        if not wanted:
            raise MeterRefusedError("the meter has none of these channels", code=0)
        outcome = place.worker.submit(ReadMeter(meter_id=demand.meter, channels=wanted))
        await asyncio.wait((outcome,))
        match outcome.exception():
            case None:
                reading = outcome.result()
            case BusError() as error:
                raise error
            case error:
                raise MeterUnavailableError(f"the read failed by a fault of this program: {error}") from error
        assert isinstance(reading, Reading), "a read brings a reading"
        return [_read_value(place.channels[sample.channel], sample) for sample in reading.samples]


def row_of(reading: Reading, channels: Sequence[Channel]) -> Row:
    """Return a complete reading as a row."""
    values: list[int | None] = [None] * len(channels)
    qualities = []
    for sample in reading.samples:
        values[sample.channel] = sample.value
        if sample.value is not None and sample.quality is not None:
            qualities.append((sample.channel, sample.quality))
    return Row(reading.meter_id, reading.tick_ms, values, qualities)


def _load_profiles(site_folder: str) -> dict[str, Profile]:
    try:
        return load_profiles(Path(site_folder) if site_folder else None)
    except ProfileError as error:
        raise ConfigError(error.file, f"{error.key}: {error.problem}", error.remedy) from error


def _read_value(channel: Channel, sample: Sample) -> ReadValue:
    return ReadValue(channel.obis, channel.scaler, channel.unit, sample.value)


def _modbus_meter(meter: MeterEntry, profiles: dict[str, Profile]) -> ModbusMeter:
    profile = profiles.get(meter.profile)
    if not isinstance(profile, MeterProfile):
        raise ConfigError(
            f"meter {meter.id}", f"no register map {meter.profile!r}", f"use one of {_names(profiles, MeterProfile)}"
        )
    return ModbusMeter(unit=meter.unit, profile=profile)


def _modbus_relays(line: LineEntry, profiles: dict[str, Profile]) -> dict[str, ModbusRelay]:
    relays = {}
    for meter in line.meters:
        if meter.relay is None:
            continue
        profile = profiles.get(meter.relay.profile)
        if not isinstance(profile, RelayProfile):
            raise ConfigError(
                f"relay of {meter.id}",
                f"no relay map {meter.relay.profile!r}",
                f"use one of {_names(profiles, RelayProfile)}",
            )
        if meter.relay.output >= profile.outputs:
            problem = f"output {meter.relay.output} of a board with outputs 0 to {profile.outputs - 1}"
            raise ConfigError(f"relay of {meter.id}", problem, "name one that it has")
        relays[meter.id] = ModbusRelay(unit=meter.relay.unit, profile=profile, output=meter.relay.output)
    return relays


def _names(profiles: dict[str, Profile], kind: type[Profile]) -> str:
    return ", ".join(sorted(name for name, profile in profiles.items() if isinstance(profile, kind)))
