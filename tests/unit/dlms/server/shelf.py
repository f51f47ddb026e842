"""A small logical device, and a client that writes its APDUs by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dlms.apdu.acse import Aare, Aarq, Mechanism
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.proposal import InitiateRequest
from dlms.apdu.results import ActionResult, DataAccessResult
from dlms.apdu.services import (
    ActionRequest,
    ActionResponse,
    Apdu,
    AttributeDescriptor,
    MethodDescriptor,
    SelectedAttribute,
    Selection,
)
from dlms.axdr.data import encode, octet_string
from dlms.axdr.values import decode_value
from dlms.errors import AccessRefusedError, ActionRefusedError
from dlms.obis import obis
from dlms.security.authentication import Credentials, answer, check
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm, Protector
from dlms.server.association import CURRENT_ASSOCIATION, ServerAssociation
from dlms.server.device import SERVER_CONFORMANCE, Access, AssociationRules, ServerSecurity

CLIENT_TITLE = b"CLI00001"
SERVER_TITLE = b"SRV00001"
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
SERVER_CHALLENGE = b"S" * 16
CLIENT_CHALLENGE = b"C" * 16
ALL_SERVICES = int(SERVER_CONFORMANCE)


@dataclass
class Shelf:
    """A device whose objects are values on a shelf."""

    rules: dict[int, AssociationRules] = field(default_factory=dict)
    values: dict[AttributeDescriptor, bytes] = field(default_factory=dict)
    invoked: list[tuple[MethodDescriptor, bytes | None]] = field(default_factory=list)
    returned: bytes | None = None
    asked: list[tuple[Selection | None, Access]] = field(default_factory=list)

    def association_rules(self, client_sap: int) -> AssociationRules | None:
        return self.rules.get(client_sap)

    def read(self, attribute: AttributeDescriptor, selection: Selection | None, access: Access) -> bytes:
        self.asked.append((selection, access))
        try:
            return self.values[attribute]
        except KeyError:
            raise AccessRefusedError("not there", result=DataAccessResult.OBJECT_UNDEFINED) from None

    def write(self, attribute: AttributeDescriptor, selection: Selection | None, value: bytes, access: Access) -> None:
        self.asked.append((selection, access))
        if attribute not in self.values:
            raise AccessRefusedError("not there", result=DataAccessResult.OBJECT_UNDEFINED)
        decode_value(value)
        self.values[attribute] = value

    def invoke(self, method: MethodDescriptor, parameters: bytes | None, access: Access) -> bytes | None:
        self.asked.append((None, access))
        if method.method > 9:
            raise ActionRefusedError("not there", result=ActionResult.OBJECT_UNDEFINED)
        if parameters is not None:
            decode_value(parameters)
        self.invoked.append((method, parameters))
        return self.returned


@dataclass
class Peer:
    """The client's side of one association."""

    association: ServerAssociation
    protector: Protector | None = None
    control: int = 0x30
    form: CipherForm = CipherForm.SERVICE_GLOBAL
    mechanism: int = 0
    secret: bytes = b""
    counters: ReservedCounter | None = None

    def proposal(self, request: InitiateRequest) -> bytes:
        plain = encode_apdu(request)
        return plain if self.protector is None else self.protector.protect(plain, control=self.control, form=self.form)

    def aarq(self, **changes: object) -> Aarq:
        secret = self.secret if self.mechanism == Mechanism.LOW else CLIENT_CHALLENGE
        plain = Aarq(
            context=1 if self.protector is None else 3,
            user_information=b"",
            mechanism=self.mechanism,
            authentication=secret if self.mechanism else b"",
            calling_title=CLIENT_TITLE if self.protector is not None or self.mechanism > 1 else b"",
        )
        if "user_information" not in changes:
            changes["user_information"] = self.proposal(InitiateRequest(ALL_SERVICES, 512))
        return replace(plain, **changes)  # type: ignore[arg-type]

    def propose(self, aarq: Aarq | None = None, *, pdu_bytes_max: int = 512) -> Aare:
        if aarq is None:
            aarq = self.aarq(user_information=self.proposal(InitiateRequest(ALL_SERVICES, pdu_bytes_max)))
        reply = self.association.handle(encode_acse(aarq))
        assert reply is not None
        aare = decode_acse(reply)
        assert isinstance(aare, Aare)
        return aare

    def ask(self, apdu: Apdu) -> Apdu:
        reply = self.ask_raw(encode_apdu(apdu))
        assert reply is not None
        return decode_apdu(reply)

    def ask_raw(self, plain: bytes) -> bytes | None:
        if self.protector is None:
            return self.association.handle(plain)
        reply = self.association.handle(self.protector.protect(plain, control=self.control, form=self.form))
        assert reply is not None
        return reply if reply[0] == 216 else self.protector.unprotect(reply).apdu

    def credentials(self) -> Credentials:
        return Credentials(Mechanism(self.mechanism), self.secret, KEYS, CLIENT_TITLE, SERVER_TITLE)

    def prove(self, challenge: bytes) -> ActionResponse:
        ours = answer(self.credentials(), challenge, own_challenge=CLIENT_CHALLENGE, counters=self.counters)
        method = MethodDescriptor(15, CURRENT_ASSOCIATION, 1)
        reply = self.ask(ActionRequest(0xC1, method, encode(octet_string(ours))))
        assert isinstance(reply, ActionResponse)
        return reply

    def associate(self, *, pdu_bytes_max: int = 512) -> None:
        aare = self.propose(pdu_bytes_max=pdu_bytes_max)
        assert aare.result == 0
        if self.mechanism > 1:
            outcome = self.prove(aare.authentication).outcome
            assert outcome.returned is not None
            assert outcome.returned.data is not None
            theirs = decode_value(outcome.returned.data)
            assert isinstance(theirs, bytes)
            check(self.credentials(), theirs, CLIENT_CHALLENGE, peer_challenge=aare.authentication)


@dataclass
class Rig:
    """A device and one client of it."""

    device: Shelf
    peer: Peer
    peer_counters: PeerCounters

    def put(self, value: bytes, *, logical_name: str = "0.0.42.0.0.255") -> SelectedAttribute:
        descriptor = AttributeDescriptor(1, obis(logical_name), 2)
        self.device.values[descriptor] = value
        return SelectedAttribute(descriptor)


MakeRig = Callable[..., Rig]


def make_rig(
    *,
    mechanism: int = 0,
    secret: bytes = b"",
    ciphered: bool = False,
    plain_context: bool = True,
    control: int = 0x30,
    form: CipherForm = CipherForm.SERVICE_GLOBAL,
    conformance: int = ALL_SERVICES,
    policy: PeerCounterPolicy = PeerCounterPolicy.STRICT,
    **rules: int,
) -> Rig:
    peer_counters = PeerCounters(policy)
    security = ServerSecurity(
        own_title=SERVER_TITLE,
        keys=KEYS,
        counters=ReservedCounter(1, lambda _: None),
        peer_counters=peer_counters,
        required=control & 0x30 if ciphered else 0,
    )
    device = Shelf(
        {
            16: AssociationRules(
                mechanism=mechanism,
                secret=secret,
                security=security if ciphered or mechanism > 1 else None,
                plain_context=plain_context and not ciphered,
                conformance=conformance,
                **rules,
            )
        }
    )
    counters = ReservedCounter(1, lambda _: None)
    peer = Peer(
        ServerAssociation(device, 16, challenge=lambda: SERVER_CHALLENGE),
        Protector(
            CLIENT_TITLE, SERVER_TITLE, KEYS, counters, PeerCounters(PeerCounterPolicy.STRICT), required=control & 0x30
        )
        if ciphered
        else None,
        control=control,
        form=form,
        mechanism=mechanism,
        secret=secret,
        counters=counters,
    )
    return Rig(device, peer, peer_counters)


GET_ONLY = int(Conformance.GET)
