"""A DLMS client made from dlms-cosem 21.3.2 (MIT); a process of its own, in an environment without our packages.

    python dlms_cosem_client.py              does the steps of the question once, answers with the result of each
    python dlms_cosem_client.py --repeat N   whole sessions of these steps, answers with processor seconds a session
    python dlms_cosem_client.py --decode N   decodes the A-XDR data of {"hex"}, answers with processor seconds each

`dlms_line` says what a question is. Of it the library can: authentication "none", "lls", "gmac"; security "none" and
"both", by general-glo-ciphering only; HDLC with `physical` up to 127 and without parameters in the SNRM, so 128 bytes
and window 1. Keys give the ciphering, `security` is not read. "general_block_transfer" true proposes that too, though
the library cannot do it.

Steps, with what their `value` is:
    associate                                   {"pdu_bytes_max", "server_title"}
    clock [obis]                                {"datetime"}
    get class obis index [raw=true]             the value; raw as A-XDR, for what the library cannot decode: strings,
                                                floats, bit-strings, compact arrays
    get_list items=[[class, obis, index]]       the values; a refused one is {"refused": number}
    range obis first last [count]               rows, or with `count` how many; times in ISO 8601 with an offset
    set class obis index value                  null; `value` is A-XDR as hex
    action class obis index [value]             what the method returns; `value` is A-XDR as hex
    image [obis] identification image|bytes seed  {"blocks", "block_bytes", "polls", "status"}
    sleep seconds, release, disconnect          null
Values: bytes are {"hex"}, the rest plain JSON.
What the library gets wrong and is worked around here: lengths above 127 in general-glo-ciphering and octet-strings,
a first server counter of 0, a UA without information field, a frame with 0x7E inside, challenges of 32 bytes.
"""

import datetime as dt
import logging
import time
from typing import Any

from dlms_cosem import cosem, dlms_data, state, utils
from dlms_cosem import enumerations as enums
from dlms_cosem.clients.dlms_client import ActionError, DataResultError, DlmsClient
from dlms_cosem.clients.hdlc_transport import SerialHdlcTransport
from dlms_cosem.connection import DlmsConnection
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.hdlc import frames
from dlms_cosem.hdlc import state as hdlc_state
from dlms_cosem.protocol import xdlms
from dlms_cosem.protocol.wrappers import WrapperHeader, WrapperProtocolDataUnit
from dlms_cosem.time import datetime_from_bytes
from dlms_line import Line, Refused, hex_of, made_up_image, run_steps, serve_client

AUTHENTICATIONS = {
    "none": None,
    "lls": enums.AuthenticationMechanism.LLS,
    "gmac": enums.AuthenticationMechanism.HLS_GMAC,
}
CLOCK = cosem.CosemAttribute(enums.CosemInterface.CLOCK, cosem.Obis(0, 0, 1, 0, 0), 2)
VERIFICATION_ENDED = (3, 4)


class WrapperTransport:
    """What the library wants of a transport, over TCP."""

    def __init__(self, line: Line, client_sap: int, server_sap: int) -> None:
        self._line = line
        self._saps = client_sap, server_sap

    def connect(self) -> None:
        """Do nothing: the line is open."""

    def disconnect(self) -> None:
        """Do nothing: the line is closed at the end."""

    def send(self, apdu: bytes) -> bytes:
        header = WrapperHeader(*self._saps, len(apdu))
        self._line.send(WrapperProtocolDataUnit(apdu, header).to_bytes())
        return self._line.read_wrapper()[8:]


class HdlcTransport(SerialHdlcTransport):
    """The HDLC of the library on our line in place of its serial port."""

    def connect(self) -> None:
        """Send SNRM; the library cannot read a UA without information field, so the UA is read here."""
        connection = self.hdlc_connection
        addresses = self.server_hdlc_address, self.client_hdlc_address
        self._line.send(connection.send(frames.SetNormalResponseModeFrame(*addresses)))
        self._expect_ua()
        connection.state.current_state = hdlc_state.IDLE

    def next_event(self) -> Any:
        """Return the next frame; the library looks for its end at each 0x7E in turn, and must be asked as often."""
        self.hdlc_connection.receive_data(self._line.read_hdlc())
        while (event := self.hdlc_connection.next_event()) is hdlc_state.NEED_DATA:
            if self.hdlc_connection.buffer_search_position == len(self.hdlc_connection.buffer):
                raise Refused(f"a frame that the library cannot read: {self.hdlc_connection.buffer.hex()}")
        return event

    def disconnect(self) -> None:
        if self.hdlc_connection.state.current_state is not hdlc_state.IDLE:
            self.hdlc_connection.state.current_state = hdlc_state.IDLE
        self._line.send(
            self.hdlc_connection.send(frames.DisconnectFrame(self.server_hdlc_address, self.client_hdlc_address))
        )
        self._expect_ua()

    @property
    def _line(self) -> Line:
        return self._serial.line

    def _expect_ua(self) -> None:
        frame = self._line.read_hdlc()
        control = frame[3 + self.client_hdlc_address.length + self.server_hdlc_address.length]
        if control != 0x73:
            raise Refused(f"answered with control field {control:02x}, not UA")


class AsSerial:
    """Our line as the library writes to a serial port."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def write(self, data: bytes) -> None:
        self.line.send(bytes(data))


class Ciphered(xdlms.GeneralGlobalCipher):
    """General-glo-ciphering whose length may need more than one byte."""

    def to_bytes(self) -> bytes:
        content = self.security_control.to_bytes() + self.invocation_counter.to_bytes(4, "big") + self.ciphered_text
        title = bytes([len(self.system_title)]) + self.system_title
        return bytes([self.TAG]) + title + dlms_data.encode_variable_integer(len(content)) + content


class Connection(DlmsConnection):
    """The connection of the library, its requests protected right when they are long."""

    def protect(self, event: Any) -> Any:
        protected = super().protect(event)
        if isinstance(protected, xdlms.GeneralGlobalCipher):
            return Ciphered(
                protected.system_title,
                protected.security_control,
                protected.invocation_counter,
                protected.ciphered_text,
            )
        return protected


def plain(value: Any) -> Any:
    """Return a value of the library as something that JSON has."""
    if isinstance(value, bytes | bytearray):
        return {"hex": bytes(value).hex()}
    if isinstance(value, enums.DataAccessResult):
        return {"refused": int(value)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return {"datetime": value.isoformat()}
    return value


def attribute(step: dict[str, Any], kind: type = cosem.CosemAttribute) -> Any:
    return kind(enums.CosemInterface(step["class"]), cosem.Obis.from_string(step["obis"]), step["index"])


def octets(value: bytes) -> bytes:
    """Return an octet-string of any length."""
    return b"\x09" + dlms_data.encode_variable_integer(len(value)) + value


def structure(*items: bytes) -> bytes:
    return bytes([2, len(items)]) + b"".join(items)


def explain(error: Exception) -> dict[str, Any]:
    """Return nothing: the library tells in words only."""
    return {"caused_by": repr(error.__cause__)} if error.__cause__ else {}


class Session:
    """One line and one client of the library on it."""

    def __init__(self, question: dict[str, Any]) -> None:
        self._line = Line(question)
        client_sap, server_sap = question.get("client_sap", 16), question.get("server_sap", 1)
        key = hex_of(question, "encryption_key")
        connection = Connection(
            client_system_title=hex_of(question, "title"),
            authentication_method=AUTHENTICATIONS[question.get("authentication", "none")],
            password=hex_of(question, "secret"),
            global_encryption_key=key,
            global_authentication_key=hex_of(question, "authentication_key"),
            challenge_length=16,
            max_pdu_size=question.get("pdu_bytes_max", 65535),
            client_invocation_counter=question.get("invocation_counter", 1),
            meter_invocation_counter=-1,
        )
        connection.conformance.general_block_transfer = bool(question.get("general_block_transfer"))
        self.connection = connection
        self.client = DlmsClient(
            client_sap, server_sap, self._transport(question, client_sap, server_sap), dlms_connection=connection
        )

    def _transport(self, question: dict[str, Any], client_sap: int, server_sap: int) -> Any:
        if question["link"] != "hdlc":
            return WrapperTransport(self._line, client_sap, server_sap)
        serial = AsSerial(self._line)
        return HdlcTransport(
            client_sap, server_sap, "", server_physical_address=question.get("physical"), serial=serial
        )

    def tallies(self) -> dict[str, Any]:
        return {
            "invocation_counter": self.connection.client_invocation_counter,
            "bytes_sent": self._line.bytes_sent,
            "bytes_received": self._line.bytes_received,
            "exchanges": self._line.sends,
        }

    def close(self) -> None:
        self._line.close()

    def associate(self, _step: dict[str, Any]) -> Any:
        self.client.connect()
        self.client.associate()
        if self.connection.state.current_state is not state.READY:
            raise Refused(f"association is {self.connection.state.current_state}")
        title = self.connection.meter_system_title
        return {"pdu_bytes_max": self.connection.max_pdu_size, "server_title": title.hex() if title else None}

    def clock(self, step: dict[str, Any]) -> Any:
        wanted = attribute({"class": 8, "index": 2, "obis": step["obis"]}) if "obis" in step else CLOCK
        value = utils.parse_as_dlms_data(self.client.get(wanted))
        return plain(datetime_from_bytes(value)[0] if isinstance(value, bytes) else value[0])

    def get(self, step: dict[str, Any]) -> Any:
        data = self.client.get(attribute(step))
        return {"hex": data.hex()} if step.get("raw") else plain(utils.parse_as_dlms_data(data))

    def get_list(self, step: dict[str, Any]) -> Any:
        wanted = [
            cosem.CosemAttributeWithSelection(attribute({"class": c, "obis": obis, "index": index}), None)
            for c, obis, index in step["items"]
        ]
        return plain(self.client.get_many(wanted).result)

    def range(self, step: dict[str, Any]) -> Any:
        selection = RangeDescriptor(
            CaptureObject(CLOCK),
            dt.datetime.fromisoformat(step["first"]),
            dt.datetime.fromisoformat(step["last"]),
        )
        rows = utils.parse_as_dlms_data(
            self.client.get(attribute({"class": 7, "obis": step["obis"], "index": 2}), selection)
        )
        return len(rows) if step.get("count") else plain(rows)

    def set(self, step: dict[str, Any]) -> None:
        response = self.client.set(attribute(step), bytes.fromhex(step["value"]))
        if response.result != enums.DataAccessResult.SUCCESS:
            raise DataResultError(response.result.name)

    def action(self, step: dict[str, Any]) -> Any:
        data = bytes.fromhex(step.get("value", "0f00"))
        returned = self.client.action(attribute(step, cosem.CosemMethod), data)
        return plain(utils.parse_as_dlms_data(returned)) if returned else None

    def image(self, step: dict[str, Any]) -> Any:
        """Transfer, verify and activate an image, waiting out a verification that takes its time."""
        image = bytes.fromhex(step["image"]) if "image" in step else made_up_image(step["bytes"], step.get("seed", ""))
        target = {"class": 18, "obis": step.get("obis", "0.0.44.0.0.255")}
        size = self.get({**target, "index": 2})
        name = octets(step["identification"].encode())
        begin = structure(name, dlms_data.DoubleLongUnsignedData(len(image)).to_bytes())
        self.action({**target, "index": 1, "value": begin.hex()})
        parts = [image[start : start + size] for start in range(0, len(image), size)]
        for block, part in enumerate(parts):
            parameters = structure(dlms_data.DoubleLongUnsignedData(block).to_bytes(), octets(part))
            self.action({**target, "index": 2, "value": parameters.hex()})
        polls = self._verify(target, step)
        self.action({**target, "index": 4})
        status = self.get({**target, "index": 6})
        return {"blocks": len(parts), "block_bytes": size, "polls": polls, "status": status}

    def _verify(self, target: dict[str, Any], step: dict[str, Any]) -> int:
        try:
            self.action({**target, "index": 3})
        except ActionError as error:
            if "TEMPORARY_FAILURE" not in str(error):
                raise
        for poll in range(step.get("polls_max", 100)):
            status = self.get({**target, "index": 6})
            if status in VERIFICATION_ENDED:
                if status == VERIFICATION_ENDED[1]:
                    raise Refused("image verification failed")
                return poll
            time.sleep(step.get("poll_s", 0.1))
        raise Refused("image verification did not end")

    def sleep(self, step: dict[str, Any]) -> None:
        time.sleep(step["seconds"])

    def release(self, _step: dict[str, Any]) -> None:
        self.client.release_association()
        self.client.disconnect()

    def disconnect(self, _step: dict[str, Any]) -> None:
        self.client.disconnect()


STEPS = (
    *("associate", "clock", "get", "get_list", "range", "set", "action", "image"),
    *("sleep", "release", "disconnect"),
)


def converse(question: dict[str, Any]) -> dict[str, Any]:
    """Return the results of all steps in one session."""
    session = Session(question)
    try:
        results = run_steps(question["steps"], {name: getattr(session, name) for name in STEPS}, explain)
        return {"results": results, **session.tallies()}
    finally:
        session.close()


def decode(data: bytes) -> Any:
    """Return the A-XDR data as the library gives it."""
    return utils.parse_as_dlms_data(data)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    serve_client(converse, decode, plain)
