"""The meters of a gateway behind its buses: rows out of readings, and relays and demand reads into bus jobs."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlms.link.address import encode_client
from gateway.adapters.bus import Agenda, BusWorker, Outcome, Visits
from gateway.adapters.dlms.access import DlmsMeter, make_meter
from gateway.adapters.dlms.carriers import Carrier, SerialCarrier, TcpCarrier, UdpCarrier
from gateway.adapters.dlms.counters import CounterBook
from gateway.adapters.dlms.driver import DlmsDriver, DriverPorts, LineSettings
from gateway.adapters.dlms.entries import UdpLine
from gateway.adapters.dlms.push_meters import PushBook, PushMeter, make_push_meter
from gateway.adapters.modbus import ModbusDriver, ModbusMeter, ModbusRelay, SerialLine, TcpLine
from gateway.adapters.profile_files import load_profiles
from gateway.config import Config, LineEntry, MeterEntry
from gateway.core.acquisition import BusEvent, Reading, ReadMeter, ReadRelay, Sample, SwitchRelay, VisitMeter
from gateway.core.dlms_profiles import DlmsProfile
from gateway.core.effects import DemandRead, DriveRelay
from gateway.core.profiles import MeterProfile, Profile, ProfileError, RelayProfile
from gateway.core.schedule import BusBusyError, Priority
from gateway.ports import BusError, MeterRefusedError, MeterUnavailableError, Shelf
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

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        sink: Callable[[BusEvent], Awaitable[None]],
        agenda: Agenda,
        shelf: Shelf,
        gateway: str,
    ) -> None:
        """Lay out the buses.

        Args:
            config: The operator's.
            clock: For all of them.
            sink: Takes each event; awaited.
            agenda: Tells what is due at a meter that is visited.
            shelf: Keeps what drivers learn and count.
            gateway: Our name.

        Raises:
            ConfigError: A profile or key file is missing, of the wrong kind, or does not hold.
        """
        profiles = load_site_profiles(config.profiles_folder)
        self.workers: dict[str, BusWorker] = {}
        self.visited: dict[str, DlmsProfile] = {}
        """The make of each meter that keeps records of its own."""
        self.with_relay: list[str] = []
        """Meters whose supply can be switched, by a relay board or by themselves."""
        self.pushing = push_meters(config, profiles)
        """Meters whose pushes are taken."""
        self.push_book = PushBook(shelf, [meter.id for meter in self.pushing])
        self._clock = clock
        self._sink = sink
        self._agenda = agenda
        self._period_ms = config.period_s * 1_000
        self._ports = DriverPorts(
            clock=clock,
            shelf=shelf,
            counters=CounterBook(shelf),
            fresh_bytes=secrets.token_bytes,
            pushes=self.push_book,
        )
        self._places: dict[str, _Place] = {}
        self._driving: dict[str, asyncio.Future[Outcome]] = {}
        self._observing: dict[str, asyncio.Future[Outcome]] = {}
        for line in config.lines:
            if line.protocol == "modbus":
                self._add_modbus(line, profiles)
            else:
                self._add_dlms(line, dlms_meters(line, profiles, gateway=gateway))

    def _add_modbus(self, line: LineEntry, profiles: dict[str, Profile | DlmsProfile]) -> None:
        assert not isinstance(line.connection, UdpLine), "the configuration was checked"
        meters = {meter.id: _modbus_meter(meter, profiles) for meter in line.meters}
        relays = _modbus_relays(line, profiles)
        self.with_relay.extend(relays)
        self.workers[line.id] = worker = BusWorker(
            line.id,
            driver=ModbusDriver(
                line.connection, meters=meters, relays=relays, clock=self._clock, timeout_ms=line.answer_ms_max
            ),
            reads=[(ReadMeter(meter_id=meter.id), self._period_ms) for meter in line.meters],
            clock=self._clock,
            sink=self._sink,
        )
        for name, meter in meters.items():
            self._places[name] = _Place(worker, meter.profile.wire_channels())

    def _add_dlms(self, line: LineEntry, meters: dict[str, DlmsMeter]) -> None:
        driver = dlms_driver(line, meters, self._ports)
        self.with_relay.extend(name for name, meter in meters.items() if meter.has_relay)
        self.workers[line.id] = worker = BusWorker(
            line.id,
            driver=driver,
            reads=[(VisitMeter(meter_id=name), self._period_ms) for name in meters],
            clock=self._clock,
            sink=self._sink,
            visits=Visits(driver, self._agenda),
        )
        for name, meter in meters.items():
            self.visited[name] = meter.profile
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

    async def observe(self, meter: str) -> bool | None:
        """Return whether a relay is closed, or None if that cannot be found out, or is asked anew meanwhile."""
        before = self._observing.pop(meter, None)
        if before is not None:
            before.cancel()
        try:
            outcome = self._places[meter].worker.submit(ReadRelay(relay_id=meter), priority=Priority.DEMAND)
        except BusBusyError:
            return None
        self._observing[meter] = outcome
        await asyncio.wait((outcome,))
        if self._observing.get(meter) is outcome:
            del self._observing[meter]
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


def load_site_profiles(site_folder: str) -> dict[str, Profile | DlmsProfile]:
    """Return the profiles of the program and of a site.

    Raises:
        ConfigError: A file does not hold.
    """
    try:
        return load_profiles(Path(site_folder) if site_folder else None)
    except ProfileError as error:
        raise ConfigError(error.file, f"{error.key}: {error.problem}", error.remedy) from error


def dlms_meters(line: LineEntry, profiles: dict[str, Profile | DlmsProfile], *, gateway: str) -> dict[str, DlmsMeter]:
    """Return the meters of a DLMS line by their ids.

    Raises:
        ConfigError: A profile or key file is missing or does not hold.
    """
    meters = {}
    for meter in line.meters:
        profile = profiles.get(meter.profile)
        if not isinstance(profile, DlmsProfile):
            problem = f"{meter.profile!r} is no make of DLMS meters"
            raise ConfigError(f"meter {meter.id}", problem, f"use one of {_names(profiles, DlmsProfile)}")
        assert meter.dlms is not None, "the configuration was checked"
        made = meters[meter.id] = make_meter(meter.id, meter.dlms, profile, gateway=gateway)
        if line.protocol == "dlms-hdlc":
            _check_addresses(made)
    return meters


def _check_addresses(meter: DlmsMeter) -> None:
    """Refuse what HDLC has no address for."""
    try:
        meter.station.encode()
        for access in meter.roles.values():
            encode_client(access.settings.client_sap)
    except ValueError as error:
        remedy = "give logical and client below 128, or address beside a higher logical"
        raise ConfigError(f"meter {meter.id}: dlms", str(error), remedy) from error


def push_meters(config: Config, profiles: dict[str, Profile | DlmsProfile]) -> list[PushMeter]:
    """Return the meters whose pushes are taken.

    Raises:
        ConfigError: A key file is missing or does not hold.
    """
    if config.push is None:
        return []
    meters = []
    for line in config.lines:
        for meter in line.meters:
            profile = profiles.get(meter.profile)
            if meter.dlms is not None and isinstance(profile, DlmsProfile):
                meters.append(make_push_meter(meter.id, meter.dlms, profile))
    return [meter for meter in meters if meter is not None]


def dlms_driver(line: LineEntry, meters: dict[str, DlmsMeter], ports: DriverPorts) -> DlmsDriver:
    """Return the driver of a DLMS line."""
    baud = 0
    carrier: Carrier
    match line.connection:
        case SerialLine(baud=baud) as port:
            carrier = SerialCarrier(port)
        case TcpLine() as stream:
            carrier = TcpCarrier(stream)
        case UdpLine(host=host, port=number):
            carrier = UdpCarrier(host, number)
    settings = LineSettings(
        is_hdlc=line.protocol == "dlms-hdlc",
        is_datagrams=isinstance(line.connection, UdpLine),
        answer_ms_max=line.answer_ms_max,
        retries_max=line.retries_max,
        frame_bytes_max=line.frame_bytes_max,
        window=line.window,
        baud=baud,
    )
    return DlmsDriver(carrier, settings, meters=meters, ports=ports)


def _read_value(channel: Channel, sample: Sample) -> ReadValue:
    return ReadValue(channel.obis, channel.scaler, channel.unit, sample.value)


def _modbus_meter(meter: MeterEntry, profiles: dict[str, Profile | DlmsProfile]) -> ModbusMeter:
    profile = profiles.get(meter.profile)
    if not isinstance(profile, MeterProfile):
        raise ConfigError(
            f"meter {meter.id}", f"no register map {meter.profile!r}", f"use one of {_names(profiles, MeterProfile)}"
        )
    assert meter.unit is not None, "the configuration was checked"
    return ModbusMeter(unit=meter.unit, profile=profile)


def _modbus_relays(line: LineEntry, profiles: dict[str, Profile | DlmsProfile]) -> dict[str, ModbusRelay]:
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


def _names(profiles: dict[str, Profile | DlmsProfile], kind: type[Profile | DlmsProfile]) -> str:
    return ", ".join(sorted(name for name, profile in profiles.items() if isinstance(profile, kind)))
