"""One Modbus line: frames in, what its devices make of them, frames out; over whatever carries the bytes.

Frames and checksums are pymodbus'; its server is not used, since it has no way to leave one unit silent, to answer for
another late or to spoil bytes while the rest of the line goes on. As on a real line nothing waits for a late answer:
it comes when it comes, perhaps when the master already speaks to somebody else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU, ReadCoilsRequest, ReadHoldingRegistersRequest
from pymodbus.pdu.bit_message import ReadCoilsResponse, WriteSingleCoilRequest, WriteSingleCoilResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
)

from device_sim.adapters.pace import Pace
from device_sim.core.exchange import (
    Coils,
    Device,
    Exchange,
    ReadCoils,
    ReadRegisters,
    Refusal,
    Registers,
    Reply,
    Request,
    Unserved,
    WriteCoil,
    exchange,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from device_sim.adapters.carriers import Stream
    from device_sim.adapters.truth import Truth
    from wire.runtime.clock import Clock

FRAME_GAP_S: Final = 0.2
"""A silence that ends a broken frame: far longer than on a real line, since a busy machine may pause amid a frame."""
FRAME_BYTES_MAX: Final = 1024
"""More than this without a frame in it is noise."""
BITS_PER_CHARACTER: Final = 11
FRAME_GAP_CHARACTERS: Final = 3.5
_MBAP_UNIT: Final = 6
_MBAP_FUNCTION: Final = 7
_NO_FUNCTION: Final = 0x60
"""Turns every function code into one that Modbus does not have."""


@dataclass(slots=True)
class _Unread:
    """What has come of the next frame on a connection."""

    pending: bytes = b""
    heard_at_s: float = 0.0


class ModbusLine:
    """The devices of one line."""

    def __init__(
        self,
        units: Mapping[int, Device],
        *,
        is_rtu: bool,
        baud: int,
        clock: Clock,
        truth: Truth,
        rng: Random,
    ) -> None:
        """Join devices to a line.

        Args:
            units: The devices by unit address.
            is_rtu: RTU frames with a checksum; else Modbus TCP frames with a header.
            baud: Pace of the line in bits a second; 0 for as fast as it goes.
            clock: Tells the devices the site time.
            truth: Is told what happened.
            rng: Chooses the bytes that noise spoils.
        """
        self._units = dict(units)
        self._is_rtu = is_rtu
        decoder = DecodePDU(is_server=True)
        self._framer: FramerBase = FramerRTU(decoder) if is_rtu else FramerSocket(decoder)
        self._pace = Pace(baud=baud, bits_per_character=BITS_PER_CHARACTER, gap_characters=FRAME_GAP_CHARACTERS)
        self._clock = clock
        self._truth = truth
        self._rng = rng
        self._unread: dict[Stream, _Unread] = {}

    def received(self, stream: Stream, data: bytes) -> None:
        """Take bytes from a connection and serve the requests that they complete."""
        unread = self._unread.setdefault(stream, _Unread())
        now_s = asyncio.get_running_loop().time()
        if now_s - unread.heard_at_s > FRAME_GAP_S or len(unread.pending) > FRAME_BYTES_MAX:
            unread.pending = b""
        unread.heard_at_s = now_s
        unread.pending += data
        while unread.pending:
            try:
                used_bytes, pdu = self._framer.handleFrame(unread.pending, 0, 0)
            except ModbusException:
                frame, unread.pending = unread.pending, b""
                self._refuse_unreadable(stream, frame)
                return
            unread.pending = unread.pending[used_bytes:]
            if pdu is None:
                return
            self._serve(stream, pdu, _request(pdu), used_bytes)

    def closed(self, stream: Stream) -> None:
        """Forget a connection."""
        self._unread.pop(stream, None)

    def _refuse_unreadable(self, stream: Stream, frame: bytes) -> None:
        """Answer a frame that is whole but holds no request Modbus knows; on RTU such a frame is just noise."""
        if self._is_rtu or len(frame) <= _MBAP_FUNCTION:
            return
        is_known = frame[_MBAP_FUNCTION] in self._framer.decoder.pdu_table
        refusal = Refusal.ILLEGAL_DATA_VALUE if is_known else Refusal.ILLEGAL_FUNCTION
        unread = ModbusPDU(dev_id=frame[_MBAP_UNIT], transaction_id=int.from_bytes(frame[:2], "big"))
        unread.function_code = frame[_MBAP_FUNCTION]
        self._serve(stream, unread, Unserved(refusal), len(frame))

    def _serve(self, stream: Stream, pdu: ModbusPDU, request: Request, request_bytes: int) -> None:
        device = self._units.get(pdu.dev_id)
        if device is None:
            self._pace.occupy(request_bytes)
            return
        at_ms = self._clock.wall_ms()
        done = exchange(device, request, now_ms=at_ms)
        if done.reply is None:
            self._truth.silent(device.id)
            self._pace.occupy(request_bytes)
            return
        frame = self._framer.buildFrame(_response(pdu, done.reply))
        delay_s = self._pace.occupy(request_bytes + len(frame)) + done.delay_ms / 1000
        if delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s, self._send, stream, device.id, frame, done, at_ms)
        else:
            self._send(stream, device.id, frame, done, at_ms)

    def _send(self, stream: Stream, device_id: str, frame: bytes, done: Exchange, at_ms: int) -> None:
        """Put an answer on the line, and record it unless nobody can have understood it."""
        if not stream.is_open():
            self._truth.silent(device_id)
        elif done.garbled:
            stream.write(self._spoilt(frame))
            self._truth.garbled(device_id)
        else:
            stream.write(frame)
            assert done.reply is not None
            self._truth.answered(device_id, done.reply, at_ms=at_ms)

    def _spoilt(self, frame: bytes) -> bytes:
        """Return a frame that no master can take for a good one."""
        spoilt = bytearray(frame)
        if self._is_rtu:
            # One changed byte never passes CRC-16, which finds every burst of up to 16 bits.
            spoilt[self._rng.randrange(len(frame))] ^= self._rng.randrange(1, 256)
        else:
            spoilt[_MBAP_FUNCTION] ^= _NO_FUNCTION
        return bytes(spoilt)


def _request(pdu: ModbusPDU) -> Request:
    """Return what a PDU asks for."""
    # The class for function 2 derives from that for function 1, and 4 from 3: the code tells them apart.
    match pdu:
        case ReadHoldingRegistersRequest() | ReadInputRegistersRequest():
            return ReadRegisters(pdu.function_code, pdu.address, pdu.count)
        case ReadCoilsRequest(function_code=1):
            return ReadCoils(pdu.address, pdu.count)
        case WriteSingleCoilRequest():
            return WriteCoil(pdu.address, bool(pdu.bits[0]))
        case _:
            return Unserved(Refusal.ILLEGAL_FUNCTION)


def _response(pdu: ModbusPDU, reply: Reply) -> ModbusPDU:
    """Return a reply as the PDU that answers a request."""
    unit, transaction = pdu.dev_id, pdu.transaction_id
    match reply:
        case Refusal():
            return ExceptionResponse(pdu.function_code, reply, unit, transaction)
        case Registers(words):
            kind = ReadHoldingRegistersResponse if pdu.function_code == 3 else ReadInputRegistersResponse
            return kind(registers=words, dev_id=unit, transaction_id=transaction)
        case Coils(values) if pdu.function_code == 1:
            return ReadCoilsResponse(bits=values, dev_id=unit, transaction_id=transaction)
        case Coils(values):
            return WriteSingleCoilResponse(address=pdu.address, bits=values, dev_id=unit, transaction_id=transaction)
