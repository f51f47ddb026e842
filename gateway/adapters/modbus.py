"""The Modbus driver: one line (serial RTU, RTU over TCP, or TCP) and the meters and relay boards on it.

It connects, keeps the silences that devices need, carries out one transaction a call and says in the port's words
what went wrong. It never repeats anything. An answer that comes late is never taken for another's: frames of other
units, other lengths and other transactions are filtered (`modbus_answers`), and a unit that failed to answer on a
line without transaction ids is not asked anything before its late answer could only have come and gone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from gateway.adapters.modbus_answers import AnswerFilter
from gateway.core.acquisition import ReadMeter, Sample
from gateway.core.profiles import MeterProfile, ReadPlan, RelayProfile, compile_plan
from gateway.ports import GarbledError, LineDownError, LineUsage, MeterRefusedError, MeterUnavailableError
from wire.runtime.clock import Clock

RECONNECT_MIN_MS = 500
RECONNECT_MAX_MS = 30_000
LATE_MS = 1_000
"""How long after its time-out an answer may still arrive."""
SETTLE_MAX_MS = 500
"""Longest wait for a noisy line to fall silent."""
SILENT_MAX = 8
"""Unanswered requests in a row, of whatever unit, after which a TCP connection is taken for dead."""
_PATH_CODES = frozenset({0x0A, 0x0B})
_PLANS_MAX = 256

# Each unanswered request would be a line of error there; what matters is told by the worker's events.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)


class SerialLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="serial"):
    """RS-485 on a port of this machine."""

    device: Annotated[str, Meta(min_length=1, max_length=255)]
    baud: Annotated[int, Meta(ge=300, le=1_000_000)] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1


class TcpLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tcp"):
    """A device with Ethernet, or a converter with RS-485 behind it."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 502
    framing: Literal["tcp", "rtu"] = "tcp"
    """`rtu`: the converter passes serial frames through as they are."""


Line = SerialLine | TcpLine
_Client = AsyncModbusSerialClient | AsyncModbusTcpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusMeter:
    """A meter on the line."""

    unit: int
    profile: MeterProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusRelay:
    """One output of a relay board on the line."""

    unit: int
    profile: RelayProfile
    output: int
    """0 to `profile.outputs` - 1."""

    @property
    def coil(self) -> int:
        return self.profile.coil_first + self.output


class ModbusDriver:
    """A `gateway.ports.BusDriver`.

    Args:
        line: How to reach the devices.
        meters: By meter id.
        relays: By relay id.
        clock: For silences and reconnecting.
        timeout_ms: How long a device may take to answer, and a line to open.
        late_ms: As `LATE_MS`.
    """

    def __init__(
        self,
        line: Line,
        *,
        meters: Mapping[str, ModbusMeter],
        relays: Mapping[str, ModbusRelay],
        clock: Clock,
        timeout_ms: int = 1_000,
        late_ms: int = LATE_MS,
    ) -> None:
        self._line = line
        self._meters = meters
        self._relays = relays
        self._clock = clock
        self._timeout_ms = timeout_ms
        self._late_ms = late_ms
        self._rtu = not (isinstance(line, TcpLine) and line.framing == "tcp")
        self._silence_ms = _silence_ms(line)
        self._answers = AnswerFilter(rtu=self._rtu, monotonic_ms=clock.monotonic_ms)
        self._plans: dict[tuple[int, tuple[int, ...]], ReadPlan] = {}
        self._client: _Client | None = None
        self._asking = False
        self._late_until_ms: dict[int, int] = {}
        self._transactions = 0
        self._failures = 0
        self._silent = 0
        self._connect_from_ms = 0
        self._line_failures = 0

    @property
    def usage(self) -> LineUsage:
        return LineUsage(self._transactions, self._failures, self._answers.sent_bytes, self._answers.received_bytes)

    def parts(self, read: ReadMeter) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(register.channel for register in transaction.registers)
            for transaction in self._plan_of(read).transactions
        )

    def _plan_of(self, read: ReadMeter) -> ReadPlan:
        profile = self._meters[read.meter_id].profile
        # By identity: hashing a register map costs more than the read.
        key = id(profile), read.channels
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _PLANS_MAX:
                self._plans.clear()
            plan = self._plans[key] = compile_plan(profile, read.channels)
        return plan

    async def read(self, read: ReadMeter, part: int) -> tuple[Sample, ...]:
        meter = self._meters[read.meter_id]
        transaction = self._plan_of(read).transactions[part]

        def ask(client: _Client) -> Awaitable[ModbusPDU]:
            request = client.read_holding_registers if transaction.function == 3 else client.read_input_registers
            return request(transaction.address, count=transaction.count, device_id=meter.unit)

        answer = await self._ask(meter.unit, meter.profile.frame_gap_ms, ask)
        return transaction.decode(answer.registers)

    async def switch(self, relay_id: str, *, closed: bool) -> bool:
        relay = self._relays[relay_id]
        coil_on = closed == relay.profile.coil_when_closed

        def ask(client: _Client) -> Awaitable[ModbusPDU]:
            return client.write_coil(relay.coil, coil_on, device_id=relay.unit)

        await self._ask(relay.unit, relay.profile.frame_gap_ms, ask)
        return await self.relay_state(relay_id)

    async def relay_state(self, relay_id: str) -> bool:
        relay = self._relays[relay_id]

        def ask(client: _Client) -> Awaitable[ModbusPDU]:
            return client.read_coils(relay.coil, count=1, device_id=relay.unit)

        answer = await self._ask(relay.unit, relay.profile.frame_gap_ms, ask)
        return bool(answer.bits[0]) == relay.profile.coil_when_closed

    def reset(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._silent = 0

    async def _ask(self, unit: int, gap_ms: int, ask: Callable[[_Client], Awaitable[ModbusPDU]]) -> ModbusPDU:
        client = await self._connected()
        await self._settle(unit, gap_ms)
        self._transactions += 1
        self._asking = True
        try:
            answer = await ask(client)
        except (ModbusException, OSError) as exc:
            self._failures += 1
            raise self._failure(client, unit, exc) from exc
        except asyncio.CancelledError:
            self._failures += 1
            self._late_until_ms[unit] = self._clock.monotonic_ms() + self._late_ms
            raise
        finally:
            self._asking = False
        self._silent = 0
        self._line_failures = 0
        if isinstance(answer, ExceptionResponse):
            code = answer.exception_code
            # A TCP gateway that cannot reach the device behind it speaks with the device's unit id.
            if code in _PATH_CODES:
                self._failures += 1
                raise MeterUnavailableError(f"the gateway before unit {unit} cannot reach it (code {code})")
            raise MeterRefusedError(f"unit {unit} refused with Modbus exception {code}", code=code)
        return answer

    def _failure(self, client: _Client, unit: int, exc: Exception) -> Exception:
        if not client.connected:
            self.reset()
            return self._line_down(f"the connection broke: {exc}", broke=True)
        self._late_until_ms[unit] = self._clock.monotonic_ms() + self._late_ms
        if self._answers.heard:
            self._silent = 0
            return GarbledError(f"what came back from unit {unit} is no answer to the request")
        self._silent += 1
        if self._silent >= SILENT_MAX and isinstance(self._line, TcpLine):
            self.reset()
        return MeterUnavailableError(f"unit {unit} did not answer within {self._timeout_ms} ms")

    async def _settle(self, unit: int, gap_ms: int) -> None:
        """Wait until the line is silent long enough and no late answer of this unit can mix in."""
        late_until_ms = self._late_until_ms.pop(unit, 0) if self._rtu else 0
        give_up_ms = max(self._clock.monotonic_ms() + SETTLE_MAX_MS, late_until_ms)
        while True:
            now_ms = self._clock.monotonic_ms()
            ready_ms = max(self._answers.active_ms + max(gap_ms, self._silence_ms), late_until_ms)
            if now_ms >= min(ready_ms, give_up_ms):
                break
            await asyncio.sleep((min(ready_ms, give_up_ms) - now_ms) / 1000)
        if late_until_ms:
            # After a stall of the process a late answer may lie unread: one round of the loop finds it, the next reads.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def _connected(self) -> _Client:
        if self._client is not None and self._client.connected:
            return self._client
        self.reset()
        wait_ms = self._connect_from_ms - self._clock.monotonic_ms()
        if wait_ms > 0:
            raise LineDownError("the line is down", retry_in_ms=wait_ms)
        client = self._make_client()
        if not await client.connect():
            client.close()
            raise self._line_down("the line cannot be opened", broke=False)
        self._client = client
        return client

    def _line_down(self, problem: str, *, broke: bool) -> LineDownError:
        # A converter hangs up on idle or restarted connections: the first break is made good at once, later ones with
        # no answer in between are not, or one that hangs up on every request would be asked without end.
        growing_ms = min(RECONNECT_MIN_MS << min(self._line_failures, 10), RECONNECT_MAX_MS)
        wait_ms = 0 if broke and not self._line_failures else growing_ms
        self._line_failures += 1
        self._connect_from_ms = self._clock.monotonic_ms() + wait_ms
        return LineDownError(problem, retry_in_ms=wait_ms)

    def _on_connection(self, connected: bool) -> None:  # noqa: FBT001  pymodbus calls it so
        # pymodbus leaves the request of a broken connection waiting for its whole time-out.
        if not connected and self._asking and self._client is not None:
            answer = self._client.ctx.response_future
            if not answer.done():
                answer.set_exception(ConnectionException("the other end closed"))

    def _make_client(self) -> _Client:
        timeout_s = self._timeout_ms / 1000
        client: _Client
        match self._line:
            case SerialLine(device=device, baud=baud, parity=parity, stop_bits=stop_bits):
                client = AsyncModbusSerialClient(
                    device,
                    baudrate=baud,
                    parity=parity,
                    stopbits=stop_bits,
                    timeout=timeout_s,
                    retries=0,
                    reconnect_delay=0,
                    trace_packet=self._answers.hook,
                    trace_connect=self._on_connection,
                )
            case TcpLine(host=host, port=port, framing=framing):
                client = AsyncModbusTcpClient(
                    host,
                    port=port,
                    framer=FramerType.RTU if framing == "rtu" else FramerType.SOCKET,
                    timeout=timeout_s,
                    retries=0,
                    reconnect_delay=0,
                    trace_packet=self._answers.hook,
                    trace_connect=self._on_connection,
                )
        # pymodbus would hang up after three silent requests, which one dead meter alone brings about.
        client.set_max_no_responses(2**31)
        return client


def _silence_ms(line: Line) -> int:
    """Return 3.5 characters of 11 bits, at least 1.75 ms (Modbus over serial line 1.02 clause 2.5.1.1); 0 on TCP."""
    match line:
        case SerialLine(baud=baud):
            return max(2, -(-38_500 // baud))
        case TcpLine():
            return 0
