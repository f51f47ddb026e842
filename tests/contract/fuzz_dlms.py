"""Coverage-guided fuzzing of every decoder of `dlms/`, a process of its own: any bytes give a value or a `DlmsError`.

    python -m tests.contract.fuzz_dlms TARGET SECONDS FOLDER

libFuzzer, through atheris, changes what it has seen so far towards code it has not; the first inputs are vectors of
others and encodings of ours. It ends the process: with 0 after the time, with another status and the input in hex on
standard error if anything but a `DlmsError` was raised, one input took more than `INPUT_SECONDS_MAX`, or memory ran
away. FOLDER keeps inputs found for a later, longer run. Some targets ask for more than "no crash": what was decoded
and encoded again decodes to the same, and two ways to read the same bytes agree.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import atheris

with atheris.instrument_imports(include=["dlms"]):
    from dlms.apdu.acse import Mechanism
    from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
    from dlms.apdu.conformance import Conformance
    from dlms.apdu.services import Selection
    from dlms.axdr import data as exact
    from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
    from dlms.axdr.values import decode_value, end_of
    from dlms.client.association import ClientAssociation
    from dlms.client.settings import DEFAULT_CONFORMANCE, AssociationSettings
    from dlms.cosem.classes import CLASSES
    from dlms.cosem.image_transfer import ImageBlock
    from dlms.cosem.profile_generic import read_selection
    from dlms.errors import DlmsError
    from dlms.link.address import StationAddress, decode_address
    from dlms.link.client import HdlcClient, HdlcSettings
    from dlms.link.events import PeerReceived
    from dlms.link.frame import FrameReader, encode_frame
    from dlms.link.parameters import UTMOST, decode_parameters
    from dlms.link.server import HdlcServerLine
    from dlms.link.wrapper import WrapperClient, WrapperReader, WrapperServer, WrapperSettings, pack, unpack
    from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
    from dlms.security.keys import Keys
    from dlms.security.protection import CipherForm, Protector
    from dlms.server.association import ServerAssociation
    from tests.rig import dlms_meter as rig

INPUT_SECONDS_MAX: Final = 20
INPUT_BYTES_MAX: Final = 1_500
MEMORY_MIB_MAX: Final = 1_024
VECTORS: Final = Path(__file__).parents[1] / "vectors" / "dlms"
CLIENT_SAP: Final = 16
CLIENT_TITLE: Final = b"WPT\x00\x00\x00\x00\x01"
METER_TITLE: Final = b"MTR\x00\x00\x00\x00\x02"
KEYS: Final = Keys(bytes(range(16)), bytes(range(16, 32)))
SECRET: Final = b"sixteen byte key"
STATION: Final = StationAddress(1, 17)
FORMS: Final = tuple(CipherForm)
_ACSE: Final = range(0x60, 0x64)
_GENERAL: Final = DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER

T = TypeVar("T")


def chunks(data: bytes) -> Iterator[bytes]:
    """Cut an input into pieces, each behind a byte that says how long it is, or behind FF and two bytes."""
    at = 0
    while at < len(data):
        length, at = data[at], at + 1
        if length == 0xFF:
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        yield data[at : at + length]
        at += length


def chunked(*pieces: bytes) -> bytes:
    """Return an input that `chunks` cuts into these."""
    return b"".join(b"\xff" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


# ---- decoders --------------------------------------------------------------------------------------------------------


def fuzz_data(data: bytes) -> None:
    """A-XDR: the exact tree and the fast way agree, and both with `end_of`; only the tree is strict with UTF-8."""
    tree: exact.Data | None = None
    with suppress(DlmsError):
        tree = exact.decode(data)
    try:
        value = decode_value(data)
    except DlmsError:
        assert tree is None, "read as a tree, but not as a value"
        return
    if tree is None:
        assert "\ufffd" in repr(value), "read as a value, but not as a tree"
        return
    assert repr(tree.plain()) == repr(value), "two ways to read it, two values"
    assert end_of(data, 0) == len(data)
    assert repr(exact.decode(exact.encode(tree)).plain()) == repr(value), "encoded again it is another value"


def fuzz_datetimes(data: bytes) -> None:
    """Date-times, dates and times, with everything that can be asked of them."""
    for kind in (CosemDateTime, CosemDate, CosemTime):
        with suppress(DlmsError):
            moment = kind(data[: {CosemDateTime: 12, CosemDate: 5, CosemTime: 4}[kind]])
            str(moment), repr(moment)
            if isinstance(moment, CosemDateTime):
                _ = moment.status, moment.deviation_minutes, moment.is_instant, moment.date, moment.time
                moment.plus_seconds(int.from_bytes(data[12:15], "big"))
                moment.to_utc_ms(0)


def fuzz_apdu(data: bytes) -> None:
    """APDUs: one that was read is written so that it is read again as the same."""
    apdu = decode_apdu(data)
    assert decode_apdu(encode_apdu(apdu)) == apdu


def fuzz_acse(data: bytes) -> None:
    """AARQ, AARE, RLRQ and RLRE."""
    apdu = decode_acse(data)
    assert decode_acse(encode_acse(apdu)) == apdu


def fuzz_attributes(data: bytes) -> None:
    """Every attribute, method parameter and result of every class, profile rows and selections."""
    if len(data) < 2:
        return
    chosen, body = int.from_bytes(data[:2], "big"), data[2:]
    codings = _codings()
    codings[chosen % len(codings)](body)


def _codings() -> list[Callable[[bytes], object]]:
    if not _CODINGS:
        for kind in CLASSES.values():
            thing = kind("0.0.1.0.0.255")
            for _, attribute in kind.attributes():
                _CODINGS.append(attribute.codec.decode)
            for _, method in kind.methods():
                _CODINGS.extend((method.parameters.decode, method.result.decode))
            assert thing.name
        _CODINGS.append(rig.ROWS.decode)
        _CODINGS.append(rig.PROFILE.rows(rig.COLUMNS, capture_period_s=900).decode)
        _CODINGS.extend(partial(_read_selection, number) for number in (1, 2, 3))
    return _CODINGS


def _read_selection(selector: int, parameters: bytes) -> object:
    return read_selection(Selection(selector, parameters))


_CODINGS: list[Callable[[bytes], object]] = []


def fuzz_frames(data: bytes) -> None:
    """HDLC frames in a stream: found alike whole and byte by byte."""
    whole = FrameReader().feed(data)
    reader = FrameReader()
    bytewise = [frame for index in range(len(data)) for frame in reader.feed(data[index : index + 1])]
    assert bytewise == whole, f"byte by byte {bytewise}, whole {whole}"
    for frame in whole:
        for address in (frame.destination, frame.source):
            with suppress(DlmsError):
                decode_address(address)
        with suppress(DlmsError):
            decode_parameters(frame.info)


def fuzz_wrapper(data: bytes) -> None:
    """Wrapper packets in a stream and as datagrams, to readers and to both ends of a link."""
    with suppress(DlmsError):
        unpack(data)
    with suppress(DlmsError):
        WrapperReader(apdu_bytes_max=2_000).feed(data)
    for is_datagrams in (False, True):
        settings = WrapperSettings(is_datagrams=is_datagrams)
        client, server = WrapperClient(CLIENT_SAP, 1, settings), WrapperServer(settings)
        client.connect(now_ms=0)
        client.send(b"\xc0", now_ms=0)
        for now_ms, piece in enumerate(chunks(data)):
            client.receive(piece, now_ms=now_ms)
            server.receive(piece, now_ms=now_ms)


# ---- links -----------------------------------------------------------------------------------------------------------


def fuzz_hdlc_client(data: bytes) -> None:
    """A client's link: any frames of the right station, and any other bytes, while it connects, asks and ends."""
    client = HdlcClient(CLIENT_SAP, STATION, HdlcSettings(proposal=UTMOST, apdu_bytes_max=4_000))
    client.connect(now_ms=0)
    now_ms = 0
    for piece in chunks(data):
        kind, control, info = piece[:1] or b"\x00", (piece[1:2] or b"\x73")[0], piece[2:]
        now_ms += kind[0] >> 3
        match kind[0] & 7:
            case 0:
                client.receive(info, now_ms=now_ms)
            case 1:
                with suppress(DlmsError):
                    client.send(info, now_ms=now_ms)
            case 2:
                deadline_ms = client.next_deadline_ms()
                now_ms = max(now_ms, deadline_ms or 0)
                client.on_timer(now_ms=now_ms)
            case 3:
                with suppress(DlmsError):
                    client.keep_waiting(now_ms=now_ms)
            case 4 if not control & 3:
                client.disconnect(now_ms=now_ms)
                client.connect(now_ms=now_ms)
            case _:
                is_segmented = bool(kind[0] & 0x80)
                frame = encode_frame(b"\x21" + STATION.encode(), control, info, is_segmented=is_segmented)
                client.receive(frame, now_ms=now_ms)


def fuzz_hdlc_server(data: bytes) -> None:
    """A server's line with a meter behind it: any frames, and any other bytes."""
    line = HdlcServerLine([STATION, StationAddress(1, 18)])
    association = _server_association(ciphered=False)
    snrm = encode_frame(STATION.encode() + b"\x21", 0x93)
    for now_ms, said in enumerate((snrm, *map(_frame_to_server, chunks(data)))):
        for event in line.receive(said, now_ms=now_ms):
            if not isinstance(event, PeerReceived) or not event.is_confirmed:
                continue
            answer = association.handle(event.apdu)
            if answer is None:
                line.pass_turn(event.peer, now_ms=now_ms)
            else:
                line.send(event.peer, answer, now_ms=now_ms)


def _frame_to_server(piece: bytes) -> bytes:
    if len(piece) < 2 or piece[0] & 4:
        return piece[1:]
    addresses = (STATION.encode(), b"\x02\xff", b"\xff", b"\x03")[piece[0] & 3] + b"\x21"
    return encode_frame(addresses, piece[1], piece[2:], is_segmented=bool(piece[0] & 0x80))


# ---- security --------------------------------------------------------------------------------------------------------


def fuzz_unprotect(data: bytes) -> None:
    """Ciphered APDUs as they come, and such as are sealed with the right keys, whatever is inside and before them."""
    if not data:
        return
    kind, rest = data[0], data[1:]
    ours, theirs = _protector(METER_TITLE, CLIENT_TITLE), _protector(CLIENT_TITLE, METER_TITLE)
    if kind & 1 and rest:
        control = (0x10, 0x20, 0x30, 0x50)[kind >> 1 & 3]
        rest = theirs.protect(rest, control=control, form=FORMS[kind >> 3 & 3])
        if kind & 0x20:
            rest = bytes((rest[0], *rest[1:3])) + rest[3:-1] + bytes((rest[-1] ^ kind,))
    opened = ours.unprotect(rest)
    with suppress(DlmsError):
        decode_apdu(opened.apdu)


def _protector(own: bytes, peer: bytes) -> Protector:
    keys = Keys(KEYS.encryption, KEYS.authentication, broadcast=b"b" * 16, dedicated=b"d" * 16)
    protector = Protector(own, peer, keys, _counter(), PeerCounters(PeerCounterPolicy.UNCHECKED), required=0)
    protector.use_dedicated(keys)
    return protector


def _counter() -> ReservedCounter:
    return ReservedCounter(1, lambda _: None)


# ---- both ends of an association -------------------------------------------------------------------------------------


def _server_association(*, ciphered: bool) -> ServerAssociation:
    rules = rig.rules_for(
        mechanism=Mechanism.HIGH_GMAC if ciphered else Mechanism.LOW,
        secret=SECRET,
        keys=KEYS,
        title=METER_TITLE,
        peer_counters=PeerCounters(PeerCounterPolicy.UNCHECKED),
    )
    meter = rig.RigMeter("fuzz", {CLIENT_SAP: rules}, rows_count=12)
    return ServerAssociation(meter, CLIENT_SAP, challenge=lambda: b"S" * 16)


def _client_association(*, ciphered: bool, form: CipherForm = CipherForm.SERVICE_GLOBAL) -> ClientAssociation:
    settings = AssociationSettings(
        mechanism=Mechanism.HIGH_GMAC if ciphered else Mechanism.LOW,
        secret=SECRET,
        keys=Keys(KEYS.encryption, KEYS.authentication, dedicated=b"d" * 16) if ciphered else None,
        system_title=CLIENT_TITLE if ciphered else b"",
        form=form,
        conformance=_GENERAL,
        pdu_bytes_max=200,
        transfer_bytes_max=4_000,
    )
    peers = PeerCounters(PeerCounterPolicy.UNCHECKED)
    return ClientAssociation(settings, challenge=b"C" * 16, counters=_counter(), peer_counters=peers)


def _open(client: ClientAssociation, server: ServerAssociation) -> None:
    exchange = client.open()
    with suppress(StopIteration):
        request = next(exchange)
        while True:
            request = exchange.send(server.handle(request) or b"")


def _sealed(protector: Protector | None, plain: bytes, kind: int) -> bytes:
    """Protect an APDU as the peer would, where it can be; so that what is inside is looked at."""
    if protector is None or kind & 1:
        return plain
    try:
        return protector.protect(plain, control=0x30, form=FORMS[kind >> 1 & 3])
    except DlmsError:
        return plain


def fuzz_server(data: bytes) -> None:
    """A server's association: any APDUs before, while and after it is open, plain and ciphered as they should be."""
    if not data:
        return
    server = _server_association(ciphered=bool(data[0] & 1))
    protector: Protector | None = None
    if data[0] & 2:
        client = _client_association(ciphered=bool(data[0] & 1))
        _open(client, server)
        protector = client._channel.protector
    for piece in chunks(data[1:]):
        if piece:
            answer = server.handle(_sealed(protector, piece[1:], piece[0]))
            assert answer is None or isinstance(answer, bytes)


def fuzz_client_opening(data: bytes) -> None:
    """A client that opens and closes an association, whatever answers."""
    if not data:
        return
    client = _client_association(ciphered=bool(data[0] & 1), form=FORMS[data[0] >> 1 & 3])
    answers = chunks(data[1:])
    _drive(client.open(), answers)
    if client.is_open:
        _drive(client.close(), answers)


def fuzz_client(data: bytes) -> None:
    """A client's services in an open association, whatever answers and however well it is ciphered."""
    if len(data) < 2:
        return
    ciphered = bool(data[0] & 1)
    client, server = _client_association(ciphered=ciphered), _server_association(ciphered=ciphered)
    _open(client, server)
    protector = server.protector
    answers = (_sealed(protector, piece[1:], piece[0]) for piece in chunks(data[2:]) if piece)
    exchanges: tuple[Callable[[], Any], ...] = (
        lambda: client.get(rig.ROWS),
        lambda: client.get(rig.ASSOCIATION.object_list),
        lambda: client.get_many([rig.register_value(each) for each in rig.REGISTERS]),
        lambda: client.set(rig.NOTE, b"x" * 3_000),
        lambda: client.set_many([(rig.NOTE, b"x"), (rig.CLOCK.time, rig.moment(rig.FIRST_UTC_MS))]),
        lambda: client.invoke(rig.IMAGE.image_block_transfer, ImageBlock(1, b"x" * 2_500)),
        lambda: client.invoke_raw(rig.RELAY.remote_disconnect.descriptor, b"\x0f\x00"),
        client.close,
    )
    _drive(exchanges[data[1] & 7](), answers)
    for answer in answers:
        with suppress(DlmsError):
            client.on_unsolicited(answer)
    list(client.take_notifications())


def _drive(exchange: Any, answers: Iterator[bytes]) -> None:
    """Run a conversation until it ends, or there are no more answers."""
    try:
        request = next(exchange)
        for answer in answers:
            assert isinstance(request, bytes)
            request = exchange.send(answer)
    except (StopIteration, DlmsError):
        pass
    finally:
        exchange.close()


# ---- first inputs ----------------------------------------------------------------------------------------------------


def _vectors(*kinds: str) -> Iterator[bytes]:
    for path in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(path.read_text()):
            if vector["kind"] in kinds:
                yield bytes.fromhex(vector["hex"])


def _apdus() -> Iterator[bytes]:
    """Return APDUs of others, and what our two ends say to each other."""
    yield from _vectors("apdu")
    yield from (each[3:] for each in _vectors("notification"))
    yield from (apdu for apdu in _conversation(ciphered=False) if apdu[0] not in _ACSE)


def _conversation(*, ciphered: bool) -> list[bytes]:
    client, server = _client_association(ciphered=ciphered), _server_association(ciphered=ciphered)
    said: list[bytes] = []
    exchanges: Iterable[Callable[[], Any]] = (
        client.open,
        lambda: client.get(rig.ROWS),
        lambda: client.get_many([rig.register_value(each) for each in rig.REGISTERS]),
        lambda: client.set(rig.NOTE, b"x" * 1_500),
        lambda: client.invoke(rig.IMAGE.image_block_transfer, ImageBlock(1, b"x")),
        client.close,
    )
    for begin in exchanges:
        exchange = begin()
        with suppress(StopIteration, DlmsError):
            request = next(exchange)
            while True:
                answer = server.handle(request) or b""
                said += [request, answer]
                request = exchange.send(answer)
    return said


def _data_samples() -> Iterator[bytes]:
    yield from _vectors("data")
    yield from (each[9:] for each in _vectors("notification"))
    yield rig.ROWS.encode(rig.day_of_rows("fuzz", 12))
    yield rig.encoded_object_list()
    # Compact arrays: of structures, of numbers, of arrays of nothing, of strings.
    for text in ("1302020612000a0000000100010000000200", "1312020001", "1301000400020001", "130903020161", "0280"):
        yield bytes.fromhex(text)


def _with_heads(bodies: Iterable[bytes], *heads: bytes) -> Iterator[bytes]:
    return (head + body for body in bodies for head in heads)


def _frames_of_a_session() -> list[bytes]:
    info = b"\xe6\xe7\x00" + bytes(20)
    return [bytes((5, 0x73)), b"\x01\x00\xc0\x01\xc1", bytes((5, 0x30)) + info, b"\x02", b"\x04\x00", bytes((5, 0x1F))]


SEEDS: Final[dict[str, Callable[[], Iterable[bytes]]]] = {
    "data": _data_samples,
    "datetimes": lambda: [*_vectors("date-time"), rig.moment(rig.FIRST_UTC_MS).encoded + b"\x00\x03\x84"],
    "apdu": _apdus,
    "acse": lambda: [*_vectors("acse"), *(said for said in _conversation(ciphered=True) if said[0] in _ACSE)],
    "attributes": lambda: _with_heads(_data_samples(), *(number.to_bytes(2, "big") for number in range(0, 240, 7))),
    "frames": lambda: _vectors("stream"),
    "wrapper": lambda: [*_vectors("wrapper"), pack(1, 16, b"\xc4\x01\xc1\x00\x00") * 2],
    "hdlc_client": lambda: [chunked(*_frames_of_a_session())],
    "hdlc_server": lambda: [
        chunked(b"\x00\x10\xe6\xe6\x00\xc0\x01\xc1", b"\x00\x31", b"\x80\x12" + bytes(9), b"\x00\x53")
    ],
    "unprotect": lambda: [
        *_with_heads(_apdus(), b"\x01", b"\x05", b"\x1d"), *_with_heads(_vectors("ciphered"), b"\x00")
    ],
    "server": lambda: [
        head + chunked(*(b"\x00" + apdu for apdu in said))
        for said in (_conversation(ciphered=False)[2:6:2], _conversation(ciphered=False)[::2], list(_apdus())[:6])
        for head in (b"\x00", b"\x01", b"\x02", b"\x03")
    ],
    "client_opening": lambda: [
        bytes((ciphered,)) + chunked(*_conversation(ciphered=bool(ciphered))[1:4:2]) for ciphered in (0, 1)
    ],
    "client": lambda: [
        bytes((ciphered, operation)) + chunked(*(b"\x00" + apdu for apdu in _conversation(ciphered=False)[3::2][:5]))
        for ciphered in (0, 1)
        for operation in range(8)
    ],
    "planted": lambda: [b"D"],
}  # fmt: skip


@atheris.instrument_func
def fuzz_planted(data: bytes) -> None:
    """A decoder with a fault, so that a test can see that it is found, byte by byte: lets an IndexError out."""
    for index, byte in enumerate(b"DLMS"):
        if len(data) <= index or data[index] != byte:
            return
    _ = data[len(data)]


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    name.removeprefix("fuzz_"): act for name, act in list(globals().items()) if name.startswith("fuzz_")
}


def main(target: str, seconds: str, folder: str) -> None:
    """Fuzz one target for a while."""
    act = TARGETS[target]
    inputs = Path(folder, "inputs")
    inputs.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]()):
        (inputs / f"seed-{number}").write_bytes(seed[:INPUT_BYTES_MAX])

    def one(data: bytes) -> None:
        try:
            act(data)
        except DlmsError:
            return
        except BaseException:
            print(f"{target}: {data.hex()}", file=sys.stderr, flush=True)
            raise

    options = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "timeout": INPUT_SECONDS_MAX,
        "rss_limit_mb": MEMORY_MIB_MAX,
        "seed": 1,
        "verbosity": 0,
        "print_final_stats": 1,
        "artifact_prefix": f"{folder}/",
    }
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(inputs)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
