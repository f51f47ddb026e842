"""A small meter made of bytes: it decodes what a client sends and encodes what a meter would answer.

It demands what a strict meter demands: requests no longer than it takes, blocks in order, every request protected.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from dlms.apdu.acse import Aare, Aarq, Mechanism, Rlre, Rlrq
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import (
    ActionOutcome,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseNext,
    Apdu,
    AttributeDescriptor,
    DataResult,
    GeneralBlockTransfer,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
    SelectedAttribute,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseList,
)
from dlms.axdr.data import encode, octet_string
from dlms.axdr.length import encode_length
from dlms.axdr.values import decode_value
from dlms.client.association import ClientAssociation, Exchange
from dlms.client.settings import AssociationSettings, Granted
from dlms.errors import DlmsError
from dlms.obis import obis
from dlms.security.authentication import Credentials, answer, check
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm, Protector, is_ciphered

T = TypeVar("T")
KEYS = Keys(b"EncryptionKey..!", b"AuthenticationK!", dedicated=b"DedicatedKey...!")
SECRET = b"a secret of HLS!"
CLIENT_TITLE = b"CLI\x00\x00\x00\x00\x01"
METER_TITLE = b"MTR\x00\x00\x00\x00\x02"
CHALLENGE = b"challenge-client"
METER_CHALLENGE = b"challenge-server"
ALL = Conformance(0x5E1F | Conformance.GENERAL_PROTECTION)
OBJECT_UNDEFINED = 4


def counter(start: int = 1) -> ReservedCounter:
    return ReservedCounter(start, lambda _: None)


def drive(exchange: Exchange[T], reply: Callable[[bytes], bytes | list[bytes]], *, rounds_max: int = 20_000) -> T:
    """Run a conversation to its end; what the meter sends beyond one answer waits to be fetched."""
    waiting: list[bytes] = []
    try:
        request = next(exchange)
        for _ in range(rounds_max):
            if request:
                assert waiting == [], "asked although an answer was still to be fetched"
                came = reply(request)
                waiting += [came] if isinstance(came, bytes) else came
            request = exchange.send(waiting.pop(0))
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("the conversation does not end")


@dataclass
class Meter:
    attributes: dict[AttributeDescriptor, bytes] = field(default_factory=dict)
    methods: Callable[[ActionRequest], ActionOutcome] = lambda _: ActionOutcome(0)
    conformance: Conformance = ALL
    pdu_bytes_max: int = 0xFFFF
    block_bytes: int = 0
    """Answers with more data come in blocks of this size; 0 for never."""
    general_block_bytes: int = 0
    streaming: bool = False
    """General blocks come without waiting for acknowledgements."""
    mechanism: Mechanism = Mechanism.NONE
    keys: Keys | None = None
    control: int = 0x30
    form: CipherForm = CipherForm.SERVICE_GLOBAL
    acse_changes: Callable[[Aare], Aare] = lambda aare: aare
    counters: ReservedCounter = field(default_factory=counter)
    requests: list[Apdu] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    invoke_mask: int = 0xFF
    protector: Protector | None = None
    client_challenge: bytes = b""
    pending: list[bytes] = field(default_factory=list)
    incoming: bytes = b""
    target: SetRequestFirstBlock | ActionRequestFirstBlock | None = None
    general: bytes = b""
    next_general: int = 1
    released: bool = False

    def reply(self, request: bytes) -> bytes | list[bytes]:
        self.lengths.append(len(request))
        if request[0] in {0x60, 0x62}:
            return self._acse(request)
        assert len(request) <= self.pdu_bytes_max
        if request[0] == 224:
            return self._general(request)
        return self._in_general_blocks(self._reply_whole(request))

    def _reply_whole(self, request: bytes) -> bytes:
        if self.protector is not None and self.keys is not None:
            assert is_ciphered(request)
            request = self.protector.unprotect(request).apdu
        apdu = decode_apdu(request)
        self.requests.append(apdu)
        return self.seal(encode_apdu(self.serve(apdu)))

    def seal(self, plain: bytes) -> bytes:
        if self.protector is None or self.keys is None:
            return plain
        return self.protector.protect(plain, control=self.control, form=self.form)

    def _acse(self, request: bytes) -> bytes:
        apdu = decode_acse(request)
        if isinstance(apdu, Rlrq):
            assert bool(apdu.user_information) is (self.protector is not None)
            self.released = True
            return encode_acse(Rlre(0))
        assert isinstance(apdu, Aarq)
        information = apdu.user_information
        if self.keys is not None:
            peers = PeerCounters(PeerCounterPolicy.STRICT)
            self.protector = Protector(METER_TITLE, apdu.calling_title, self.keys, self.counters, peers)
            self.protector.required = self.control
            information = self.protector.unprotect(information).apdu
        initiate = decode_apdu(information)
        assert isinstance(initiate, InitiateRequest)
        if initiate.dedicated_key is not None and self.protector is not None and self.keys is not None:
            self.protector.use_dedicated(Keys(b"." * 16, self.keys.authentication, dedicated=initiate.dedicated_key))
        self.client_challenge = apdu.authentication
        response = encode_apdu(InitiateResponse(initiate.conformance & self.conformance, self.pdu_bytes_max))
        if self.protector is not None:
            response = self.protector.protect(response, control=self.control, form=CipherForm.SERVICE_GLOBAL)
        is_high = self.mechanism > Mechanism.LOW
        aare = Aare(
            context=apdu.context,
            result=0,
            diagnostic_source=1,
            diagnostic=14 if is_high else 0,
            user_information=response,
            mechanism=self.mechanism if is_high else None,
            authentication=METER_CHALLENGE if is_high else b"",
            responding_title=METER_TITLE if self.keys is not None or is_high else b"",
        )
        return encode_acse(self.acse_changes(aare))

    def serve(self, apdu: Apdu) -> Apdu:
        match apdu:
            case GetRequest():
                return self._get(apdu)
            case GetRequestList():
                outcomes = tuple(self.read(attribute) for attribute in apdu.attributes)
                raw = encode_apdu(GetResponseList(apdu.invoke, outcomes))[3:]
                if self.block_bytes and len(raw) > self.block_bytes:
                    self.pending = self._cut(raw)
                    return self._next_get_block(apdu.invoke, 0)
                return GetResponseList(apdu.invoke & self.invoke_mask, outcomes)
            case GetRequestNext():
                return self._next_get_block(apdu.invoke, apdu.block)
            case SetRequest():
                self.attributes[apdu.attribute.descriptor] = apdu.value
                return SetResponse(apdu.invoke, 0)
            case SetRequestList():
                for attribute, value in zip(apdu.attributes, apdu.values, strict=True):
                    self.attributes[attribute.descriptor] = value
                return SetResponseList(apdu.invoke, (0,) * len(apdu.values))
            case SetRequestFirstBlock() | ActionRequestFirstBlock():
                assert apdu.block == 1
                self.target, self.incoming = apdu, b""
                return self._take(apdu.invoke, apdu.block, apdu.part, is_last=apdu.is_last)
            case SetRequestBlock() | ActionRequestBlock():
                return self._take(apdu.invoke, apdu.block, apdu.part, is_last=apdu.is_last)
            case ActionRequest():
                return self._act(apdu)
            case ActionRequestNext():
                return self._next_action_block(apdu.invoke, apdu.block)
            case _:
                raise AssertionError(f"a client does not send {apdu!r}")

    def read(self, attribute: SelectedAttribute) -> DataResult:
        data = self.attributes.get(attribute.descriptor)
        return DataResult(None, OBJECT_UNDEFINED) if data is None else DataResult(data)

    def _cut(self, raw: bytes) -> list[bytes]:
        return [raw[start : start + self.block_bytes] for start in range(0, len(raw), self.block_bytes)]

    def _get(self, request: GetRequest) -> Apdu:
        outcome = self.read(request.attribute)
        if outcome.data is None or not 0 < self.block_bytes < len(outcome.data):
            return GetResponse(request.invoke & self.invoke_mask, outcome)
        self.pending = self._cut(outcome.data)
        return self._next_get_block(request.invoke, 0)

    def _next_get_block(self, invoke: int, taken: int) -> Apdu:
        is_last = taken + 1 == len(self.pending)
        return GetResponseBlock(invoke & self.invoke_mask, is_last, taken + 1, DataResult(self.pending[taken]))

    def _take(self, invoke: int, block: int, part: bytes, *, is_last: bool) -> Apdu:
        self.incoming += part
        target = self.target
        if isinstance(target, SetRequestFirstBlock):
            if not is_last:
                return SetResponseBlock(invoke, block)
            self.attributes[target.attribute.descriptor] = self.incoming
            return SetResponseLastBlock(invoke, 0, block)
        assert target is not None
        if not is_last:
            return ActionResponseNext(invoke, block)
        return self._act(ActionRequest(invoke, target.method, self.incoming))

    def _act(self, request: ActionRequest) -> Apdu:
        if request.method.class_id == 15 and request.method.method == 1:
            return ActionResponse(request.invoke, self._prove(request))
        outcome = self.methods(request)
        returned = outcome.returned.data if outcome.returned is not None else None
        if returned is None or not 0 < self.block_bytes < len(returned):
            return ActionResponse(request.invoke, outcome)
        self.pending = self._cut(b"\x00\x01\x00" + returned)
        return self._next_action_block(request.invoke, 0)

    def _next_action_block(self, invoke: int, taken: int) -> Apdu:
        is_last = taken + 1 == len(self.pending)
        return ActionResponseBlock(invoke, is_last, taken + 1, self.pending[taken])

    def _prove(self, request: ActionRequest) -> ActionOutcome:
        given = decode_value(request.parameters or b"")
        assert isinstance(given, bytes)
        credentials = Credentials(self.mechanism, SECRET, self.keys or KEYS, METER_TITLE, CLIENT_TITLE)
        check(credentials, given, METER_CHALLENGE, peer_challenge=self.client_challenge)
        proof = answer(credentials, self.client_challenge, own_challenge=METER_CHALLENGE, counters=self.counters)
        return ActionOutcome(0, DataResult(encode(octet_string(proof))))

    def _general(self, request: bytes) -> bytes | list[bytes]:
        block = decode_apdu(request)
        assert isinstance(block, GeneralBlockTransfer)
        if not block.part:
            assert block.block_acknowledged + 1 <= len(self.pending)
            return self._general_block(block.block_acknowledged)
        assert block.block == (1 if not self.general else self.next_general)
        self.next_general = block.block + 1
        self.general += block.part
        if block.is_last:
            whole, self.general = self.general, b""
            return self._in_general_blocks(self._reply_whole(whole))
        return encode_apdu(GeneralBlockTransfer(False, False, 1, block.block, block.block, b""))

    def _in_general_blocks(self, whole: bytes) -> bytes | list[bytes]:
        size = self.general_block_bytes
        if not size or not self.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            return whole
        self.pending = [whole[start : start + size] for start in range(0, len(whole), size)]
        if not self.streaming:
            return self._general_block(0)
        return [self._general_block(taken) for taken in range(len(self.pending))]

    def _general_block(self, taken: int) -> bytes:
        is_last = taken + 1 == len(self.pending)
        part = self.pending[taken]
        return encode_apdu(GeneralBlockTransfer(is_last, self.streaming and not is_last, 1, taken + 1, 0, part))


def settings_of(meter: Meter, **changes: object) -> AssociationSettings:
    """Return the settings of a client that suits a meter."""
    needs_title = meter.keys is not None or meter.mechanism > Mechanism.LOW
    gmac = meter.mechanism is Mechanism.HIGH_GMAC
    given: dict[str, object] = {
        "mechanism": meter.mechanism,
        "secret": b"" if meter.mechanism is Mechanism.NONE else SECRET,
        "keys": meter.keys or (KEYS if gmac else None),
        "control": meter.control if meter.keys is not None else 0,
        "form": meter.form,
        "system_title": CLIENT_TITLE if needs_title else b"",
    }
    return AssociationSettings(**(given | changes))  # type: ignore[arg-type]


def client_of(meter: Meter, **changes: object) -> ClientAssociation:
    return ClientAssociation(settings_of(meter, **changes), challenge=CHALLENGE, counters=counter())


def opened(meter: Meter, **changes: object) -> ClientAssociation:
    """Return an open association with a meter."""
    client = client_of(meter, **changes)
    granted = drive(client.open(), meter.reply)
    assert isinstance(granted, Granted)
    meter.requests.clear()
    return client


def fed(exchange: Generator[bytes, bytes, T], *answers: bytes) -> T:
    """Run a conversation against answers that were written before."""
    waiting = list(answers)
    return drive(exchange, lambda _: waiting.pop(0))


def survives(exchange: Generator[bytes, bytes, object], answers: list[bytes]) -> None:
    """Run a conversation against any answers: it ends with bytes, nothing, or a typed error, or wants more."""
    next(exchange)
    result: object = None
    try:
        for hostile in answers:
            exchange.send(hostile)
    except StopIteration as end:
        result = end.value
    except DlmsError:
        pass
    assert result is None or isinstance(result, bytes)


def octets(length: int) -> bytes:
    """Return an octet-string of any length as A-XDR."""
    return b"\x09" + encode_length(length) + bytes(index % 251 for index in range(length))


CLOCK = AttributeDescriptor(8, obis("0.0.1.0.0.255"), 2)
