"""A small DLMS meter made from the classes of dlms-cosem 21.3.2 (MIT); runs in an environment without our packages.

Reads one line of JSON on standard input, prints {"port": N} as one line, and serves until standard input closes:
    link                "wrapper" or "hdlc"
    authentication      "none", "lls", "gmac"
    secret              hex, of LLS
    title, encryption_key, authentication_key    hex; with keys the association is ciphered, without it is plain
    invocation_counter  the first to use, 0 unless told
    pdu_bytes_max       what the meter can receive and send, 512 unless told
    first, rows, period_s   the load profile: ISO 8601 time of its first row, 96 rows and 900 s unless told
    bare_release        the RLRE carries no user information
    info_bytes_max      HDLC information field, 128 unless told; window is 1

Objects, all read from the question or from what was written before:
    8  0.0.1.0.0.255      attribute 2 an octet-string, writable, first read is `first`
    1  0.0.42.0.0.255     attribute 2 visible-string "FOREIGN METER"
    3  1.0.1.8.0.255      attribute 2 double-long-unsigned 123456, 3 structure (-1, 30)
    7  1.0.99.1.0.255     attribute 2 by range or entry: time and 7 columns, column c of row r is 1000 * c + r;
                          attributes 3, 4, 7, 8
    70 0.0.96.3.10.255    attributes 2, 3, 4; methods 1 and 2
    18 0.0.44.0.0.255     attributes 2 (200), 4, 5, 6, 7 (signature: SHA-256 of what came); methods 1 to 4; verification
                          answers temporary-failure and ends at the second reading of attribute 6
Range selection takes whole columns only, as the library does.
"""

import datetime as dt
import hashlib
import json
import math
import os
import socket
import sys
import threading
import traceback
from typing import Any

from dlms_cosem import dlms_data, security, time, utils
from dlms_cosem import enumerations as enums
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.hdlc import address, frames
from dlms_cosem.protocol import acse, xdlms
from dlms_line import hex_of

OVERHEAD_BYTES = 48
BOTH = security.SecurityControlField(security_suite=0, authenticated=True, encrypted=True)
ONLY_AUTHENTICATED = security.SecurityControlField(security_suite=0, authenticated=True)
GLO_ANSWERS = {200: 204, 201: 205, 203: 207}
IMAGE_BLOCK_BYTES = 200
VERIFY_POLLS = 2
SERVICES = (
    *("general_protection", "get", "set", "action", "selective_access", "multiple_references"),
    "block_transfer_with_get_or_read",
)
Refusal = enums.DataAccessResult


class RefusedError(Exception):
    """Raised by an object that does not do what it is asked; carries a Data-Access-Result."""

    def __init__(self, result: int) -> None:
        super().__init__(result)
        self.result = result


def number(value: int) -> bytes:
    return dlms_data.DoubleLongUnsignedData(value).to_bytes()


def octets(value: bytes) -> bytes:
    return b"\x09" + dlms_data.encode_variable_integer(len(value)) + value


def structure(*items: bytes) -> bytes:
    return b"\x02" + dlms_data.encode_variable_integer(len(items)) + b"".join(items)


def array(items: list[bytes]) -> bytes:
    return b"\x01" + dlms_data.encode_variable_integer(len(items)) + b"".join(items)


class Meter:
    """The objects; all associations share them."""

    def __init__(self, question: dict[str, Any]) -> None:
        self.first = dt.datetime.fromisoformat(question.get("first", "2026-01-01T00:15:00+05:30"))
        self.period = dt.timedelta(seconds=question.get("period_s", 900))
        self.row_count = question.get("rows", 96)
        self.clock = time.datetime_to_bytes(self.first)
        self.connected = True
        self.image = bytearray()
        self.image_bytes = 0
        self.image_name = b""
        self.image_status = 0
        self.polls = 0

    def read(self, class_id: int, obis: str, index: int, selection: bytes | None) -> bytes:
        match class_id, obis, index:
            case 8, "0.0.1.0.0.255", 2:
                return octets(self.clock)
            case 1, "0.0.42.0.0.255", 2:
                return b"\x0a\x0dFOREIGN METER"
            case 3, "1.0.1.8.0.255", 2:
                return number(123456)
            case 3, "1.0.1.8.0.255", 3:
                return structure(dlms_data.IntegerData(-1).to_bytes(), dlms_data.EnumData(30).to_bytes())
            case 7, "1.0.99.1.0.255", _:
                return self._profile(index, selection)
            case 70, "0.0.96.3.10.255", 2:
                return bytes([3, self.connected])
            case 70, "0.0.96.3.10.255", 3:
                return dlms_data.EnumData(int(self.connected)).to_bytes()
            case 70, "0.0.96.3.10.255", 4:
                return dlms_data.EnumData(4).to_bytes()
            case 18, "0.0.44.0.0.255", _:
                return self._image(index)
        raise RefusedError(Refusal.OBJECT_UNDEFINED)

    def _profile(self, index: int, selection: bytes | None) -> bytes:
        match index:
            case 2:
                return array([self._row(row) for row in self._chosen(selection)])
            case 3:
                columns = [(8, "0.0.1.0.0.255")] + [(3, f"1.0.{column}.29.0.255") for column in range(1, 8)]
                return array([capture_object(class_id, obis) for class_id, obis in columns])
            case 4:
                return number(int(self.period.total_seconds()))
            case 7 | 8:
                return number(self.row_count)
        raise RefusedError(Refusal.READ_WRITE_DENIED)

    def _chosen(self, selection: bytes | None) -> range:
        if selection is None:
            return range(self.row_count)
        if selection[0] == 1:
            asked = RangeDescriptor.from_bytes(selection)
            steps = [(aware(moment) - self.first) / self.period for moment in (asked.from_value, asked.to_value)]
            return range(max(0, math.ceil(steps[0])), min(self.row_count, math.floor(steps[1]) + 1))
        first, last, *_ = utils.parse_as_dlms_data(selection[1:])
        return range(first - 1, min(last or self.row_count, self.row_count))

    def _row(self, row: int) -> bytes:
        moment = octets(time.datetime_to_bytes(self.first + row * self.period))
        return structure(moment, *(number(1000 * column + row) for column in range(1, 8)))

    def _image(self, index: int) -> bytes:
        match index:
            case 2:
                return number(IMAGE_BLOCK_BYTES)
            case 4:
                return number(math.ceil(len(self.image) / IMAGE_BLOCK_BYTES))
            case 5:
                return b"\x03\x01"
            case 6:
                self.polls += 1
                if self.image_status == 2 and self.polls >= VERIFY_POLLS:
                    self.image_status = 3 if len(self.image) == self.image_bytes else 4
                return dlms_data.EnumData(self.image_status).to_bytes()
            case 7:
                digest = hashlib.sha256(self.image).digest()
                return array([structure(number(len(self.image)), octets(self.image_name), octets(digest))])
        raise RefusedError(Refusal.READ_WRITE_DENIED)

    def write(self, class_id: int, obis: str, index: int, value: bytes) -> None:
        if (class_id, obis, index) != (8, "0.0.1.0.0.255", 2):
            raise RefusedError(Refusal.READ_WRITE_DENIED)
        self.clock = bytes(value[2:14] if value[0] == 9 else value[1:13])

    def act(self, class_id: int, obis: str, index: int, parameters: bytes | None) -> None:
        match class_id, obis, index:
            case 70, "0.0.96.3.10.255", 1 | 2:
                self.connected = index == 2
            case 18, "0.0.44.0.0.255", 1:
                self.image_name, self.image_bytes = utils.parse_as_dlms_data(parameters)
                self.image, self.image_status = bytearray(), 1
            case 18, "0.0.44.0.0.255", 2:
                block, part = utils.parse_as_dlms_data(parameters)
                if block * IMAGE_BLOCK_BYTES != len(self.image):
                    raise RefusedError(enums.ActionResultStatus.DATA_BLOCK_UNAVAILABLE)
                self.image += part
            case 18, "0.0.44.0.0.255", 3:
                self.image_status, self.polls = 2, 0
                raise RefusedError(enums.ActionResultStatus.TEMPORARY_FAILURE)
            case 18, "0.0.44.0.0.255", 4:
                self.image_status = 6
            case _:
                raise RefusedError(enums.ActionResultStatus.OBJECT_UNDEFINED)


def capture_object(class_id: int, obis: str) -> bytes:
    return structure(
        dlms_data.UnsignedLongData(class_id).to_bytes(),
        octets(bytes(int(part) for part in obis.split("."))),
        dlms_data.IntegerData(2).to_bytes(),
        dlms_data.UnsignedLongData(0).to_bytes(),
    )


def aware(moment: dt.datetime) -> dt.datetime:
    """Return a time with an offset; the library leaves it away where it is zero."""
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


class Association:
    """One client: what it agreed on, its counters, and the block transfer under way."""

    def __init__(self, question: dict[str, Any], meter: Meter, counter: list[int]) -> None:
        self._question = question
        self._meter = meter
        self._counter = counter
        self._title = hex_of(question, "title") or b"FOR\x00\x00\x00\x00\x01"
        self._key = hex_of(question, "encryption_key")
        self._auth_key = hex_of(question, "authentication_key") or b""
        self._pdu_bytes_max = question.get("pdu_bytes_max", 512)
        self._client_title = b""
        self._from_client = b""
        self._from_server = b""
        self._open = False
        self._proposed = xdlms.Conformance()
        self._pending = b""
        self._block = 0

    def answer(self, apdu: bytes) -> bytes:
        """Return the answer to one APDU, protected as the APDU was."""
        match apdu[0]:
            case acse.ApplicationAssociationRequest.TAG:
                return self._associate(apdu)
            case acse.ReleaseRequest.TAG:
                return self._release()
            case xdlms.GeneralGlobalCipher.TAG:
                opened = xdlms.GeneralGlobalCipher.from_bytes(apdu)
                plain = self._unprotect(opened.invocation_counter, opened.ciphered_text)
                sealed = self._protect(self._serve(plain))
                return bytes([219, 8]) + self._title + dlms_data.encode_variable_integer(len(sealed)) + sealed
            case tag if tag in GLO_ANSWERS:
                _, content = dlms_data.decode_variable_integer(apdu[1:])
                plain = self._unprotect(int.from_bytes(content[1:5], "big"), content[5:])
                sealed = self._protect(self._serve(plain))
                return bytes([GLO_ANSWERS[tag]]) + dlms_data.encode_variable_integer(len(sealed)) + sealed
            case _ if self._key:
                return xdlms.ExceptionResponse(
                    enums.StateException.SERVICE_NOT_ALLOWED, enums.ServiceException.OPERATION_NOT_POSSIBLE
                ).to_bytes()
        return self._serve(apdu)

    def _protect(self, plain: bytes) -> bytes:
        counter = self._counter[0]
        self._counter[0] += 1
        sealed = security.encrypt(BOTH, self._title, counter, self._key, plain, self._auth_key)
        return BOTH.to_bytes() + counter.to_bytes(4, "big") + sealed

    def _unprotect(self, counter: int, ciphered: bytes) -> bytes:
        opened = security.decrypt(BOTH, self._client_title, counter, self._key, bytes(ciphered), self._auth_key)
        return bytes(opened)

    # ---- association ----

    def _associate(self, apdu: bytes) -> bytes:
        request = acse.ApplicationAssociationRequest.from_bytes(apdu)
        self._client_title = bytes(request.system_title or b"")
        initiate = request.user_information.content
        if isinstance(initiate, xdlms.GlobalCipherInitiateRequest):
            plain = self._unprotect(initiate.invocation_counter, initiate.ciphered_text)
        else:
            plain = initiate.to_bytes()
        self._pdu_bytes_max = min(int.from_bytes(plain[-2:], "big") or 0xFFFF, self._pdu_bytes_max)
        # The library drops the first byte of the conformance that it parses in an InitiateRequest.
        self._proposed = xdlms.Conformance.from_bytes(b"\0" + plain[-5:-2])
        wanted = self._question.get("authentication", "none")
        mechanism = request.authentication or enums.AuthenticationMechanism.NONE
        matches = {"none": 0, "lls": 1, "gmac": 5}[wanted] == mechanism and bool(self._key) == request.ciphered
        if wanted == "lls" and request.authentication_value != hex_of(self._question, "secret"):
            matches = False
        if not matches:
            return self._aare(enums.AssociationResult.REJECTED_PERMANENT, 13, mechanism)
        if wanted != "gmac":
            self._open = True
            return self._aare(enums.AssociationResult.ACCEPTED, 0, mechanism)
        self._from_client = bytes(request.authentication_value)
        self._from_server = os.urandom(16)
        return self._aare(enums.AssociationResult.ACCEPTED, 14, mechanism)

    def _aare(self, result: int, diagnostic: int, mechanism: int) -> bytes:
        return acse.ApplicationAssociationResponse(
            result=result,
            result_source_diagnostics=enums.AcseServiceUserDiagnostics(diagnostic),
            ciphered=bool(self._key),
            system_title=self._title if self._key else None,
            authentication=mechanism or None,
            authentication_value=self._from_server or None,
            user_information=acse.UserInformation(content=self._initiate_response()),
        ).to_bytes()

    def _initiate_response(self) -> Any:
        granted = {name: True for name in SERVICES if getattr(self._proposed, name)}
        response = xdlms.InitiateResponse(xdlms.Conformance(**granted), self._pdu_bytes_max)
        if not self._key:
            return response
        sealed = self._protect(response.to_bytes())
        return xdlms.GlobalCipherInitiateResponse(BOTH, int.from_bytes(sealed[1:5], "big"), sealed[5:])

    def _release(self) -> bytes:
        self._open = False
        bare = self._question.get("bare_release")
        information = None if bare else acse.UserInformation(content=self._initiate_response())
        return acse.ReleaseResponse(enums.ReleaseResponseReason.NORMAL, information).to_bytes()

    def _check_challenge(self, parameters: bytes) -> bytes:
        """Return what `reply_to_HLS_authentication` returns (Green Book 9.2.7.4)."""
        came = bytes(utils.parse_as_dlms_data(parameters))
        counter = int.from_bytes(came[1:5], "big")
        keys = self._key, self._auth_key
        if came[5:] != security.gmac(ONLY_AUTHENTICATED, self._client_title, counter, *keys, self._from_server):
            raise RefusedError(enums.ActionResultStatus.OTHER_REASON)
        self._open = True
        mine = self._counter[0]
        self._counter[0] += 1
        tag = security.gmac(ONLY_AUTHENTICATED, self._title, mine, *keys, self._from_client)
        return octets(ONLY_AUTHENTICATED.to_bytes() + mine.to_bytes(4, "big") + tag)

    # ---- services ----

    def _serve(self, apdu: bytes) -> bytes:
        service, choice, invoke = apdu[:3]
        if service == xdlms.GetRequestNormal.TAG and self._open:
            if choice == enums.GetRequestType.NEXT:
                return self._next_block(invoke, xdlms.GetRequestNext.from_bytes(apdu).block_number)
            if choice == enums.GetRequestType.WITH_LIST:
                return self._get_list(apdu, invoke)
            return self._get(apdu, invoke)
        if service == xdlms.SetRequestNormal.TAG and self._open:
            return self._set(xdlms.SetRequestNormal.from_bytes(apdu))
        if service == xdlms.ActionRequestNormal.TAG:
            return self._action(xdlms.ActionRequestNormal.from_bytes(apdu))
        refusal = enums.StateException.SERVICE_NOT_ALLOWED, enums.ServiceException.SERVICE_NOT_SUPPORTED
        return xdlms.ExceptionResponse(*refusal).to_bytes()

    def _get(self, apdu: bytes, invoke: int) -> bytes:
        # The library cannot read a selection by entry, so the request is cut apart here.
        class_id, obis, index = int.from_bytes(apdu[3:5], "big"), ".".join(map(str, apdu[5:11])), apdu[11]
        try:
            data = self._meter.read(class_id, obis, index, apdu[13:] if apdu[12] else None)
        except RefusedError as refused:
            error = enums.DataAccessResult(refused.result)
            invoked = xdlms.InvokeIdAndPriority.from_bytes(bytes([invoke]))
            return xdlms.GetResponseNormalWithError(error, invoked).to_bytes()
        if len(data) + OVERHEAD_BYTES > self._pdu_bytes_max:
            self._pending, self._block = data, 0
            return self._next_block(invoke, 0)
        return bytes([196, 1, invoke, 0]) + data

    def _next_block(self, invoke: int, acknowledged: int) -> bytes:
        invoked = xdlms.InvokeIdAndPriority.from_bytes(bytes([invoke]))
        if acknowledged != self._block or not self._pending:
            error = enums.DataAccessResult.DATA_BLOCK_NUMBER_INVALID
            return xdlms.GetResponseLastBlockWithError(error, acknowledged, invoked).to_bytes()
        size = self._pdu_bytes_max - OVERHEAD_BYTES
        part, self._pending = self._pending[:size], self._pending[size:]
        self._block += 1
        form = xdlms.GetResponseWithBlock if self._pending else xdlms.GetResponseLastBlock
        return form(part, self._block, invoked).to_bytes()

    def _get_list(self, apdu: bytes, invoke: int) -> bytes:
        results = b""
        wanted = xdlms.GetRequestWithList.from_bytes(apdu).cosem_attributes_with_selection
        for item in wanted:
            name = item.attribute
            try:
                obis = ".".join(map(str, name.instance.to_bytes()))
                results += b"\0" + self._meter.read(name.interface, obis, name.attribute, None)
            except RefusedError as refused:
                results += bytes([1, refused.result])
        return bytes([196, 3, invoke, len(wanted)]) + results

    def _set(self, request: xdlms.SetRequestNormal) -> bytes:
        name = request.cosem_attribute
        result = enums.DataAccessResult.SUCCESS
        try:
            obis = ".".join(map(str, name.instance.to_bytes()))
            self._meter.write(name.interface, obis, name.attribute, request.data)
        except RefusedError as refused:
            result = enums.DataAccessResult(refused.result)
        return xdlms.SetResponseNormal(result, request.invoke_id_and_priority).to_bytes()

    def _action(self, request: xdlms.ActionRequestNormal) -> bytes:
        name, invoked = request.cosem_method, request.invoke_id_and_priority
        try:
            if name.interface == enums.CosemInterface.ASSOCIATION_LN:
                returned = self._check_challenge(bytes(request.data))
                success = enums.ActionResultStatus.SUCCESS
                return xdlms.ActionResponseNormalWithData(success, returned, invoked).to_bytes()
            self._act(name, request.data)
        except RefusedError as refused:
            return xdlms.ActionResponseNormal(enums.ActionResultStatus(refused.result), invoked).to_bytes()
        return xdlms.ActionResponseNormal(enums.ActionResultStatus.SUCCESS, invoked).to_bytes()

    def _act(self, name: Any, parameters: bytes | None) -> None:
        if not self._open:
            raise RefusedError(enums.ActionResultStatus.READ_WRITE_DENIED)
        self._meter.act(name.interface, ".".join(map(str, name.instance.to_bytes())), name.method, parameters)


class WrapperSide:
    """APDUs over the TCP wrapper."""

    def __init__(self, connection: socket.socket, association: Association) -> None:
        self._stream = connection.makefile("rwb")
        self._association = association

    def serve(self) -> None:
        while len(header := self._stream.read(8)) == 8:
            reply = self._association.answer(self._stream.read(int.from_bytes(header[6:8], "big")))
            self._stream.write(header[:2] + header[4:6] + header[2:4] + len(reply).to_bytes(2, "big") + reply)
            self._stream.flush()


class HdlcSide:
    """APDUs in HDLC frames; addresses of one byte each, window 1, no repetition, as an undisturbed line needs none."""

    def __init__(self, connection: socket.socket, association: Association, info_bytes_max: int) -> None:
        self._stream = connection.makefile("rwb")
        self._association = association
        self._info_bytes_max = info_bytes_max
        self._sent = 0
        self._received = 0
        self._incoming = b""
        self._outgoing = b""

    def serve(self) -> None:
        while (start := self._stream.read(1)) == b"\x7e":
            head = self._stream.read(2)
            while head and head[0] == frames.HDLC_FLAG[0]:
                head = head[1:] + self._stream.read(1)
            if len(head) < 2:
                return
            rest = self._stream.read(((head[0] & 7) << 8 | head[1]) - 2 + 1)
            self._handle(start + head + rest)

    def _handle(self, frame: bytes) -> None:
        self._meter_address = address.HdlcAddress(frame[3] >> 1, None, "server")
        self._client_address = address.HdlcAddress(frame[4] >> 1, None, "client")
        control = frame[5]
        if control in (0x93, 0x53):
            self._sent = self._received = 0
            self._incoming = self._outgoing = b""
            size = self._info_bytes_max.to_bytes(2, "big")
            parameters = b"\x05\x02" + size + b"\x06\x02" + size + b"\x07\x04\0\0\0\x01\x08\x04\0\0\0\x01"
            parameters = b"\x81\x80" + bytes([len(parameters)]) + parameters
            self._write(frames.UnNumberedAcknowledgmentFrame(self._client_address, self._meter_address, parameters))
        elif control & 1 == 0:
            # The library takes the destination of what it parses for a client, which for one byte is the same.
            self._information(frames.InformationFrame.from_bytes(frame))
        elif control & 0x0F == 1:
            self._send_segment()

    def _information(self, frame: frames.InformationFrame) -> None:
        self._received = (frame.send_sequence_number + 1) % 8
        self._incoming += frame.payload
        if frame.segmented:
            ready = frames.ReceiveReadyFrame(
                self._client_address, self._meter_address, receive_sequence_number=self._received
            )
            self._write(ready)
            return
        apdu, self._incoming = self._incoming[3:], b""
        self._outgoing = b"\xe6\xe7\x00" + self._association.answer(apdu)
        self._send_segment()

    def _send_segment(self) -> None:
        part, self._outgoing = self._outgoing[: self._info_bytes_max], self._outgoing[self._info_bytes_max :]
        frame = frames.InformationFrame(
            self._client_address,
            self._meter_address,
            part,
            segmented=bool(self._outgoing),
            send_sequence_number=self._sent,
            receive_sequence_number=self._received,
        )
        self._sent = (self._sent + 1) % 8
        self._write(frame)

    def _write(self, frame: Any) -> None:
        self._stream.write(frame.to_bytes())
        self._stream.flush()


def serve(listener: socket.socket, question: dict[str, Any]) -> None:
    """Serve one client after the other; counters and objects live on."""
    meter = Meter(question)
    counter = [question.get("invocation_counter", 0)]
    while True:
        connection, _ = listener.accept()
        association = Association(question, meter, counter)
        try:
            with connection:
                if question.get("link", "wrapper") == "hdlc":
                    HdlcSide(connection, association, question.get("info_bytes_max", 128)).serve()
                else:
                    WrapperSide(connection, association).serve()
        except Exception:  # noqa: BLE001 - a library of others raises whatever it likes; the next client is served
            traceback.print_exc()


def main() -> None:
    question = json.loads(sys.stdin.readline())
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    threading.Thread(target=serve, args=(listener, question), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
