"""A DLMS client made from gurux-dlms (GPL-2.0-only); a process of its own, in an environment without our packages.

    python gurux_client.py              does the steps of the question once, answers with the result of each
    python gurux_client.py --repeat N   whole sessions of these steps, answers with processor seconds a session
    python gurux_client.py --decode N   decodes the A-XDR data of {"hex"}, answers with processor seconds each

`dlms_line` says what a question is. More keys here: "authentication" may also be "md5", "sha1", "sha256"; "general"
proposes general protection (general-glo-ciphering in place of glo-), "protected_release" sends a ciphered RLRQ,
"conformance" is a number that replaces the proposed conformance in Gurux' own numbering (bit 0 lowest), "priority" is
"normal" or "high", "count_invoke_ids" false keeps the invoke-id at 1.

Steps, with what their `value` is:
    associate                                        {"conformance", "pdu_bytes_max", "server_title"}
    clock [obis]                                     {"datetime", "status"}
    objects [raw=true]                               {"objects": [{"class", "version", "obis"}], "raw": hex or null}
    get class obis index [selector parameters]       the value; `parameters` is A-XDR as hex
    get_list items=[[class, obis, index]]            {"values", "error"}
    range obis first last [capture_objects] [count]  rows, or with `count` how many; times in ISO 8601 with an offset
    entries obis first count                         rows
    set class obis index type value                  null
    action class obis index [type value]             what the method returns
    image [obis] identification image|bytes seed     {"blocks", "block_bytes", "polls", "status", ...}
    listen seconds                                   what came unasked within that time
    sleep seconds, release, disconnect               null
Values: bytes are {"hex"}, bit-strings {"bits"}, date-times {"datetime", "status", "skipped"}, the rest plain JSON.
What is sent has a type, such as "double-long-unsigned" (octet-strings as hex), or "raw" for A-XDR as hex, or
"date-time" for an ISO 8601 text sent as an octet-string; arrays and structures are lists of {"type", "value"}.
Seen of this version of Gurux: it writes a frame of 256 bytes with length 0 (so not `info_bytes_max` above 220 for a
ciphered image with blocks of 200), makes blocks of SET and ACTION 8 bytes longer than the PDU under general protection,
and numbers the frames of a request in blocks ahead, so that over HDLC nothing works after one that was refused midway.
"""

import datetime as dt
import enum
import time
from typing import Any

from dlms_line import Line, LineError, Refused, hex_of, made_up_image, run_steps, serve_client
from gurux_dlms import GXBitString, GXByteBuffer, GXDateTime, GXDLMSException, GXReplyData
from gurux_dlms.enums import (
    Authentication,
    Conformance,
    DataType,
    InterfaceType,
    ObjectType,
    Priority,
    Security,
)
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.objects import GXDLMSImageTransfer, GXDLMSObject, GXDLMSProfileGeneric
from gurux_dlms.secure import GXDLMSSecureClient

AUTHENTICATIONS = {
    "none": Authentication.NONE,
    "lls": Authentication.LOW,
    "hls": Authentication.HIGH,
    "md5": Authentication.HIGH_MD5,
    "sha1": Authentication.HIGH_SHA1,
    "gmac": Authentication.HIGH_GMAC,
    "sha256": Authentication.HIGH_SHA256,
}
SECURITIES = {
    "none": Security.NONE,
    "authentication": Security.AUTHENTICATION,
    "encryption": Security.ENCRYPTION,
    "both": Security.AUTHENTICATION_ENCRYPTION,
}
TYPES = {
    "null-data": DataType.NONE,
    "boolean": DataType.BOOLEAN,
    "bit-string": DataType.BITSTRING,
    "double-long": DataType.INT32,
    "double-long-unsigned": DataType.UINT32,
    "octet-string": DataType.OCTET_STRING,
    "visible-string": DataType.STRING,
    "utf8-string": DataType.STRING_UTF8,
    "integer": DataType.INT8,
    "long": DataType.INT16,
    "unsigned": DataType.UINT8,
    "long-unsigned": DataType.UINT16,
    "long64": DataType.INT64,
    "long64-unsigned": DataType.UINT64,
    "enum": DataType.ENUM,
    "float32": DataType.FLOAT32,
    "float64": DataType.FLOAT64,
}
VERIFICATION_ENDED = (3, 4)
TEMPORARY_FAILURE = 2


class Chosen(GXDLMSObject):
    """An object of any class with one value to be written."""

    def __init__(self, class_id: int, obis: str, kind: int = DataType.NONE, value: object = None) -> None:
        super().__init__(class_id, obis)
        self._kind = kind
        self._value = value

    def getValue(self, _settings: object, _event: object) -> object:  # noqa: N802
        return self._value

    def getDataType(self, _index: int) -> int:  # noqa: N802
        return self._kind


def encoded(kind: str, value: Any) -> tuple[int, object]:
    """Return the type and the value as Gurux wants them for writing."""
    if kind == "raw":
        return DataType.ARRAY, GXByteBuffer(bytes.fromhex(value))
    if kind in ("array", "structure"):
        buffer = GXByteBuffer()
        buffer.setUInt8(DataType.ARRAY if kind == "array" else DataType.STRUCTURE)
        _GXCommon.setObjectCount(len(value), buffer)
        for item in value:
            inner_kind, inner = encoded(item["type"], item["value"])
            _GXCommon.setData(None, buffer, inner_kind, inner)
        return DataType.ARRAY, buffer
    if kind == "date-time":
        return DataType.OCTET_STRING, moment(value)
    return TYPES[kind], bytes.fromhex(value) if kind == "octet-string" else value


def moment(text: str) -> GXDateTime:
    """Return the COSEM date-time of an ISO 8601 text with an offset."""
    return GXDateTime(dt.datetime.fromisoformat(text))


def plain(value: Any) -> Any:
    """Return a value of Gurux as something that JSON has."""
    if isinstance(value, bytes | bytearray):
        return {"hex": bytes(value).hex()}
    if isinstance(value, GXByteBuffer):
        return {"hex": bytes(value.array()).hex()}
    if isinstance(value, GXBitString):
        return {"bits": "".join(f"{byte:08b}" for byte in value.value)[: value.length]}
    if isinstance(value, GXDateTime):
        when = value.value.isoformat() if value.value else None
        return {"datetime": when, "status": int(value.status), "skipped": int(value.skip)}
    if isinstance(value, enum.Enum):
        return int(value.value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def explain(error: Exception) -> dict[str, Any]:
    """Return the numbers with which the meter refused."""
    names = {
        "errorCode": "code",
        "result": "association_result",
        "diagnostic": "diagnostic",
        "exceptionStateError": "state_error",
        "exceptionServiceError": "service_error",
        "confirmedServiceError": "confirmed_service",
        "serviceError": "confirmed_kind",
        "serviceErrorValue": "service_value",
    }
    return {
        ours: int(getattr(error, theirs)) for theirs, ours in names.items() if getattr(error, theirs, None) is not None
    }


class Session:
    """One line and one client of Gurux on it."""

    def __init__(self, question: dict[str, Any]) -> None:
        self._hdlc = question["link"] == "hdlc"
        self._line = Line(question)
        self._image_poll_s = 0.1
        self.unsolicited: list[Any] = []
        self.client = client = GXDLMSSecureClient(
            True,
            question.get("client_sap", 16),
            self._server_address(question),
            AUTHENTICATIONS[question.get("authentication", "none")],
            hex_of(question, "secret"),
            InterfaceType.HDLC if self._hdlc else InterfaceType.WRAPPER,
        )
        client.priority = Priority.NORMAL if question.get("priority") == "normal" else Priority.HIGH
        client.useProtectedRelease = bool(question.get("protected_release"))
        client.autoIncreaseInvokeID = bool(question.get("count_invoke_ids", True))
        client.maxReceivePDUSize = question.get("pdu_bytes_max", 0xFFFF)
        client.hdlcSettings.maxInfoTX = client.hdlcSettings.maxInfoRX = question.get("info_bytes_max", 128)
        client.hdlcSettings.windowSizeTX = client.hdlcSettings.windowSizeRX = question.get("window", 1)
        if not question.get("general"):
            client.proposedConformance &= ~Conformance.GENERAL_PROTECTION
        if "conformance" in question:
            client.proposedConformance = Conformance(question["conformance"])
        self._set_keys(question)

    def _set_keys(self, question: dict[str, Any]) -> None:
        ciphering = self.client.ciphering
        ciphering.security = SECURITIES[question.get("security", "none")]
        ciphering.invocationCounter = question.get("invocation_counter", 1)
        for key, attribute in (
            ("title", "systemTitle"),
            ("encryption_key", "blockCipherKey"),
            ("authentication_key", "authenticationKey"),
            ("dedicated_key", "dedicatedKey"),
        ):
            if key in question:
                setattr(ciphering, attribute, bytearray.fromhex(question[key]))

    def _server_address(self, question: dict[str, Any]) -> int:
        logical = question.get("server_sap", 1)
        if not self._hdlc or "physical" not in question:
            return logical
        return GXDLMSSecureClient.getServerAddress(logical, question["physical"], question.get("address_bytes", 0))

    # ---- what goes over the line ----

    def _frame(self) -> GXByteBuffer:
        return GXByteBuffer(self._line.read_hdlc() if self._hdlc else self._line.read_wrapper())

    def _answer(self, request: bytes, reply: GXReplyData) -> None:
        self._line.send(bytes(request))
        notice = GXReplyData()
        while not self.client.getData(self._frame(), reply, notice):
            if notice.complete and not notice.isMoreData():
                self.unsolicited.append(plain(notice.value))
                notice.clear()

    def exchange(self, requests: Any, *, check: bool = True) -> GXReplyData:
        """Send what Gurux made, frame by frame, and return the whole answer."""
        reply = GXReplyData()
        flat: list[bytes] = []
        for request in requests if isinstance(requests, list) else [requests]:
            flat.extend(request if isinstance(request, list) else [request])
        for request in flat:
            reply.clear()
            self._answer(request, reply)
            while reply.isMoreData():
                self._answer(self.client.receiverReady(reply), reply)
            if check and reply.error:
                raise GXDLMSException(reply.error)
        return reply

    def tallies(self) -> dict[str, Any]:
        return {
            "invocation_counter": self.client.ciphering.invocationCounter,
            "bytes_sent": self._line.bytes_sent,
            "bytes_received": self._line.bytes_received,
            "exchanges": self._line.sends,
            "unsolicited": self.unsolicited,
        }

    def close(self) -> None:
        self._line.close()

    # ---- steps ----

    def associate(self, _step: dict[str, Any]) -> Any:
        if self._hdlc:
            self.client.parseUAResponse(self.exchange(self.client.snrmRequest()).data)
        self.client.parseAareResponse(self.exchange(self.client.aarqRequest()).data)
        if self.client.isAuthenticationRequired:
            reply = self.exchange(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(reply.data)
        title = self.client.settings.sourceSystemTitle
        return {
            "conformance": int(self.client.negotiatedConformance),
            "pdu_bytes_max": self.client.maxReceivePDUSize,
            "server_title": bytes(title).hex() if title else None,
        }

    def clock(self, step: dict[str, Any]) -> Any:
        reply = self.exchange(self.client.read(Chosen(ObjectType.CLOCK, step.get("obis", "0.0.1.0.0.255")), 2))
        value = reply.value
        if isinstance(value, bytes | bytearray):
            value = self.client.changeType(value, DataType.DATETIME)
        return plain(value)

    def objects(self, step: dict[str, Any]) -> Any:
        reply = self.exchange(self.client.getObjectsRequest())
        raw = bytes(reply.data.array()).hex() if step.get("raw") else None
        found = self.client.parseObjects(reply.data, onlyKnownObjects=False, ignoreInactiveObjects=False)
        listed = [{"class": int(item.objectType), "version": item.version, "obis": item.logicalName} for item in found]
        return {"objects": listed, "raw": raw}

    def get(self, step: dict[str, Any]) -> Any:
        selection = None
        if "selector" in step:
            selection = GXByteBuffer(bytes([step["selector"]]) + bytes.fromhex(step["parameters"]))
        requests = self.client._read(step["obis"], step["class"], step["index"], selection)
        return plain(self.exchange(requests).value)

    def get_list(self, step: dict[str, Any]) -> Any:
        items = [(Chosen(class_id, obis), index) for class_id, obis, index in step["items"]]
        values: list[Any] = []
        error = 0
        for request in self.client.readList(items):
            reply = self.exchange(request, check=False)
            values.extend(reply.value or [])
            error = error or reply.error
        return {"values": plain(values), "error": int(error)}

    def _profile(self, step: dict[str, Any]) -> GXDLMSProfileGeneric:
        profile = GXDLMSProfileGeneric(step["obis"])
        if step.get("capture_objects"):
            self.client.updateValue(profile, 3, self.exchange(self.client.read(profile, 3)).value)
        return profile

    def range(self, step: dict[str, Any]) -> Any:
        profile = self._profile(step)
        reply = self.exchange(self.client.readRowsByRange(profile, moment(step["first"]), moment(step["last"])))
        return self._rows(profile, reply, step)

    def entries(self, step: dict[str, Any]) -> Any:
        profile = self._profile(step)
        reply = self.exchange(self.client.readRowsByEntry(profile, step["first"], step["count"]))
        return self._rows(profile, reply, {**step, "count": False})

    def _rows(self, profile: GXDLMSProfileGeneric, reply: GXReplyData, step: dict[str, Any]) -> Any:
        rows = self.client.updateValue(profile, 2, reply.value) if step.get("capture_objects") else reply.value
        return len(rows) if step.get("count") else plain(rows)

    def set(self, step: dict[str, Any]) -> None:
        kind, value = encoded(step["type"], step["value"])
        self.exchange(self.client.write(Chosen(step["class"], step["obis"], kind, value), step["index"]))

    def action(self, step: dict[str, Any]) -> Any:
        kind, value = encoded(step.get("type", "integer"), step.get("value", 0))
        target = Chosen(step["class"], step["obis"])
        return plain(self.exchange(self.client.method(target, step["index"], value, kind)).value)

    def image(self, step: dict[str, Any]) -> Any:
        """Transfer, verify and activate an image, waiting out a verification that takes its time."""
        image = bytes.fromhex(step["image"]) if "image" in step else made_up_image(step["bytes"], step.get("seed", ""))
        target = GXDLMSImageTransfer(step.get("obis", "0.0.44.0.0.255"))
        target.imageBlockSize = self.exchange(self.client.read(target, 2)).value
        self.exchange(target.imageTransferInitiate(self.client, step["identification"], len(image)))
        blocks = target.imageBlockTransfer(self.client, image, None)
        for block in blocks[step.get("first_block", 0) : step.get("end_block", len(blocks))]:
            self.exchange(block)
        answer = {"blocks": len(blocks), "block_bytes": target.imageBlockSize, "polls": 0}
        answer["first_not_transferred"] = self.exchange(self.client.read(target, 4)).value
        if step.get("verify", True):
            answer["polls"] = self._settle(target, target.imageVerify(self.client), step)
        if step.get("activate", True) and step.get("verify", True):
            self.exchange(target.imageActivate(self.client), check=False)
        answer["status"] = plain(self.exchange(self.client.read(target, 6)).value)
        return answer

    def _settle(self, target: GXDLMSImageTransfer, requests: Any, step: dict[str, Any]) -> int:
        reply = self.exchange(requests, check=False)
        if reply.error not in (0, TEMPORARY_FAILURE):
            raise GXDLMSException(reply.error)
        for poll in range(step.get("polls_max", 100)):
            status = int(self.exchange(self.client.read(target, 6)).value)
            if status in VERIFICATION_ENDED:
                if status == VERIFICATION_ENDED[1]:
                    raise Refused("image verification failed")
                return poll
            time.sleep(step.get("poll_s", 0.1))
        raise Refused("image verification did not end")

    def listen(self, step: dict[str, Any]) -> Any:
        """Wait for notifications on this line."""
        ends = time.monotonic() + step["seconds"]
        before = len(self.unsolicited)
        while time.monotonic() < ends and len(self.unsolicited) == before:
            notice = GXReplyData()
            try:
                self.client.getData(self._frame(), GXReplyData(), notice)
            except LineError:
                continue
            self.unsolicited.append(plain(notice.value))
        return self.unsolicited[before:]

    def sleep(self, step: dict[str, Any]) -> None:
        time.sleep(step["seconds"])

    def release(self, _step: dict[str, Any]) -> None:
        request = self.client.releaseRequest()
        if request:
            self.exchange(request)
        self.disconnect(_step)

    def disconnect(self, _step: dict[str, Any]) -> None:
        if self._hdlc:
            self.exchange(self.client.disconnectRequest(True))


STEPS = (
    *("associate", "clock", "objects", "get", "get_list", "range", "entries", "set", "action", "image"),
    *("listen", "sleep", "release", "disconnect"),
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
    return GXDLMSSecureClient.getValue(GXByteBuffer(data), False)


if __name__ == "__main__":
    serve_client(converse, decode, plain)
