"""What meters say by themselves comes in over real sockets once, and nothing else does."""

import asyncio
from pathlib import Path
from random import Random

import pytest
import structlog

from device_sim.core.is15959.codes import Event
from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.push import ESW_NAME
from dlms.apdu.codec import encode_apdu
from dlms.apdu.services import AttributeDescriptor, GeneralBlockTransfer
from dlms.axdr.data import encode, octet_string
from dlms.axdr.tags import BitString
from dlms.link.wrapper import pack
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm, Protector
from dlms.security.suite0 import AUTHENTICATED, ENCRYPTED
from dlms.server.notify import Notifier
from gateway.adapters.dlms.push import PushStream
from gateway.adapters.dlms.push_door import PEERS_MAX, DoorSettings, PushDoor
from gateway.adapters.dlms.push_senders import REFRESH_MS, Refusal
from gateway.core.acquisition import Identified
from gateway.core.effects import ObserveRelay
from tests.integration.gateway.dlms.push_side import (
    BREATH,
    COVER,
    GASP,
    KEYS,
    LOOPBACK,
    MAGNET,
    SECRETS,
    SWITCHED,
    Hall,
    apdus,
    ciphered,
    hall_of,
    opened,
    plain,
    sim_meter,
)
from tests.rig.sessions import until
from tests.unit.gateway.box import METER, WITHOUT_RELAY

WAYS = ("tcp", "udp")
ESW = AttributeDescriptor(1, ESW_NAME, 2)


def pass_time(hall: Hall, meter: Is15959Meter, passed_ms: int) -> None:
    hall.box.now_ms += passed_ms
    meter.advance(hall.clock.wall_ms())


def happen(hall: Hall, meter: Is15959Meter, *codes: int) -> list[bytes]:
    """Let something happen at a meter each second, and return what it pushes for that."""
    for code in codes:
        pass_time(hall, meter, 1_000)
        meter.occur(code)
    return apdus(meter)


def protector(title: bytes = b"WPS00001", keys: Keys = KEYS, first: int = 1) -> Protector:
    counters = ReservedCounter(first, lambda _bound: None)
    return Protector(title, b"WPHES001", keys, counters, PeerCounters(PeerCounterPolicy.STRICT))


def body(*members: bytes) -> bytes:
    return bytes((2, len(members))) + b"".join(members)


def word(*bits: int) -> bytes:
    return bytes((4, 0x81, 128)) + BitString.from_int(sum(1 << 127 - bit for bit in bits), 128).data


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_ciphered", [False, True])
async def test_alerts_become_events_each_once(tmp_path: Path, way: str, is_ciphered: bool) -> None:  # noqa: FBT001
    async with hall_of(tmp_path, ciphered() if is_ciphered else plain()) as hall:
        meter = sim_meter(hall, push_ciphered=is_ciphered)
        sent = happen(hall, meter, Event.MAGNET, Event.COVER_OPEN)
        pass_time(hall, meter, 60_000)
        meter.fail_power(now_ms=hall.clock.wall_ms())
        pass_time(hall, meter, 3_600_000)
        meter.restore_power(now_ms=hall.clock.wall_ms())
        sent += apdus(meter)
        assert len(sent) == 4
        await hall.send(*sent, way=way)
        assert hall.told() == [MAGNET, COVER, GASP, BREATH]
        assert hall.reader.taken == 4
        # The modem of the meter had no sign that it came, and sends all of it again.
        await hall.send(*sent, way=way)
        assert hall.told() == [MAGNET, COVER, GASP, BREATH]
        assert hall.reader.refused[Refusal.REPLAYED] == (4 if is_ciphered else 0)


async def test_nothing_is_taken_twice_by_a_process_that_was_killed(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(), plain(WITHOUT_RELAY, "WPS00000002")) as hall:
        protected, bare = sim_meter(hall, push_ciphered=True), sim_meter(hall, 2)
        sent = [*happen(hall, protected, Event.MAGNET), *happen(hall, bare, Event.COVER_OPEN)]
        await hall.send(*sent)
        hall.box.restart()
        hall.begin()
        async with opened(hall):
            await hall.send(*sent)
            assert hall.reader.refused == {Refusal.REPLAYED: 1}
            assert (hall.told(), hall.told(WITHOUT_RELAY)) == ([MAGNET], [COVER])
            await hall.send(*happen(hall, protected, Event.COVER_OPEN))
            assert hall.told() == [MAGNET, COVER]


async def test_a_load_switch_that_moved_by_itself_is_looked_at(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered()) as hall:
        meter = sim_meter(hall, push_ciphered=True)
        await hall.send(*happen(hall, meter, Event.LOAD_SWITCH_OPENED))
        assert [effect for effect in hall.effects if isinstance(effect, ObserveRelay)] == [ObserveRelay(meter=METER)]
        assert hall.told() == [SWITCHED]


async def test_bytes_that_come_one_by_one_make_the_same_push(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered()) as hall:
        (sent,) = happen(hall, sim_meter(hall, push_ciphered=True), Event.MAGNET)
        _, writer = await asyncio.open_connection(LOOPBACK, hall.door.port)
        for byte in pack(1, 64, sent):
            writer.write(bytes((byte,)))
            await writer.drain()
        await until(lambda: hall.done)
        writer.close()
        assert hall.told() == [MAGNET]


async def test_a_push_in_general_blocks_is_put_together(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered()) as hall:
        (sent,) = happen(hall, sim_meter(hall, push_ciphered=True), Event.MAGNET)
        pieces = [sent[at : at + 40] for at in range(0, len(sent), 40)]
        blocks = [
            encode_apdu(GeneralBlockTransfer(number == len(pieces), False, 1, number, 0, piece))
            for number, piece in enumerate(pieces, start=1)
        ]
        await hall.send_bytes(b"".join(pack(1, 64, block) for block in blocks))
        await until(lambda: hall.reader.taken)
        assert hall.told() == [MAGNET]
        await hall.send_bytes(pack(1, 64, blocks[0]) + pack(1, 64, blocks[-1]))
        await until(lambda: hall.reader.refused[Refusal.GARBLED])
        await hall.send(*happen(hall, sim_meter(hall, push_ciphered=True, first_counter=9), Event.COVER_OPEN))
        assert COVER in hall.told()


@pytest.mark.parametrize("form", [CipherForm.GENERAL_GLOBAL, CipherForm.SERVICE_GLOBAL])
async def test_an_event_notification_of_the_status_word_is_the_same(tmp_path: Path, form: CipherForm) -> None:
    title = b"WPS00001"
    async with hall_of(tmp_path, ciphered(title=title)) as hall:
        notifier = Notifier(protector(title), form=form)
        await hall.send(notifier.event_notification(ESW, word(MAGNET)))
        await hall.send(notifier.event_notification(ESW, word(COVER)))
        assert hall.told() == [MAGNET, COVER, 10_000 + MAGNET]
        assert not hall.reader.refused


# ---- who is let in ---------------------------------------------------------------------------------------------------


async def test_nothing_that_was_altered_is_taken(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(), packets_at_once=10_000, bytes_at_once=10**7) as hall:
        meter = sim_meter(hall, push_ciphered=True)
        (sent,) = happen(hall, meter, Event.MAGNET)
        altered = [sent[:at] + bytes((sent[at] ^ 1 << at % 8,)) + sent[at + 1 :] for at in range(len(sent))]
        shortened = [sent[:length] for length in range(len(sent))]
        for apdu in (*altered, *shortened, sent + b"\0"):
            assert not await hall.reader.take(apdu, PushStream(), peer="10.0.0.1")
        assert not hall.pushed
        # Nor has any of it spoiled the counter of the true one.
        await hall.send(sent)
        assert hall.told() == [MAGNET]
        assert hall.reader.refused[Refusal.FAULT] == 0


async def test_a_meter_with_keys_is_not_believed_without_them(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(names=(b"WPS00000001",))) as hall:
        await hall.send(*happen(hall, sim_meter(hall), Event.MAGNET))
        assert hall.reader.refused == {Refusal.UNPROTECTED: 1}
        assert hall.told() == []


@pytest.mark.parametrize("control", [AUTHENTICATED, ENCRYPTED])
async def test_less_protection_than_agreed_is_refused(tmp_path: Path, control: int) -> None:
    async with hall_of(tmp_path, ciphered(title=b"WPS00001")) as hall:
        await hall.send(Notifier(protector(), control=control).data_notification(body(word(MAGNET))))
        assert hall.reader.refused == {Refusal.UNPROTECTED: 1}


async def test_what_is_only_encrypted_proves_nobody(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(required=0)) as hall:
        await hall.send(Notifier(protector(), control=ENCRYPTED).data_notification(body(word(MAGNET))))
        assert hall.told() == []


async def test_strangers_are_refused_counted_and_told_once(tmp_path: Path) -> None:
    other = Keys(bytes(16), SECRETS.authentication)
    async with hall_of(tmp_path, ciphered(), plain(WITHOUT_RELAY, "WPS00000002")) as hall:
        stranger = Notifier(protector(b"XYZ00001", other))
        with structlog.testing.capture_logs() as lines:
            for _ in range(5):
                await hall.send(stranger.data_notification(body(word(MAGNET))))
            for apdu in happen(hall, sim_meter(hall, 3), Event.MAGNET, Event.COVER_OPEN):
                await hall.send(apdu)
        assert hall.reader.refused == {Refusal.UNKNOWN: 7}
        assert [line["sender"] for line in lines if line["event"] == "push.refused"] == [
            "system title 58595a3030303031",
            "WPS00000003",
        ]
        assert (hall.told(), hall.told(WITHOUT_RELAY)) == ([], [])


async def test_a_refused_sender_is_told_of_again_only_when_that_changes(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered()) as hall:
        meter = sim_meter(hall, push_ciphered=True)
        first, second = happen(hall, meter, Event.MAGNET, Event.COVER_OPEN)
        with structlog.testing.capture_logs() as lines:
            await hall.send(first, first, first, first, second, second)
        told = [line["event"] for line in lines if line["event"].startswith("push.")]
        assert told == ["push.refused", "push.taken_again", "push.refused"]


async def test_no_flood_of_strangers_fills_the_log(tmp_path: Path) -> None:
    async with hall_of(tmp_path, plain()) as hall:
        with structlog.testing.capture_logs() as lines:
            for number in range(500):
                apdu = Notifier().data_notification(body(encode(octet_string(b"X%d" % number))))
                await hall.reader.take(apdu, PushStream(), peer="10.0.0.1")
        assert hall.reader.refused[Refusal.UNKNOWN] == 500
        assert len(lines) <= 60
        assert hall.asked == 1, "and asks the store for nothing"


async def test_titles_are_learned_and_kept_by_those_who_proved_them(tmp_path: Path) -> None:
    other = Keys(bytes(16), SECRETS.authentication)
    async with hall_of(tmp_path, ciphered(), ciphered(WITHOUT_RELAY, keys=other)) as hall:
        one, two = Notifier(protector(b"AAA00001")), Notifier(protector(b"BBB00002", other))
        await hall.send(two.data_notification(body(word(COVER))), one.data_notification(body(word(MAGNET))))
        assert (hall.told(), hall.told(WITHOUT_RELAY)) == ([MAGNET], [COVER])
        # Whoever knows a key cannot take the place of the meter that was heard first.
        await hall.send(Notifier(protector(b"CCC00003")).data_notification(body(word(GASP))))
        assert hall.reader.refused == {Refusal.UNKNOWN: 1}


async def test_meters_that_share_a_key_are_told_apart_by_their_names(tmp_path: Path) -> None:
    meters = [ciphered(names=(b"WPS00000001",)), ciphered(WITHOUT_RELAY, names=(b"WPS00000002",))]
    async with hall_of(tmp_path, *meters) as hall:
        for number, code in ((2, Event.COVER_OPEN), (1, Event.MAGNET), (3, Event.MAGNET)):
            await hall.send(*happen(hall, sim_meter(hall, number, push_ciphered=True), code))
        assert (hall.told(), hall.told(WITHOUT_RELAY)) == ([MAGNET], [COVER])
        assert hall.reader.refused == {Refusal.UNKNOWN: 1}


async def test_another_instrument_in_the_same_place_is_believed_once_a_visit_found_it(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered()) as hall:
        await hall.send(*happen(hall, sim_meter(hall, 1, push_ciphered=True, first_counter=500), Event.MAGNET))
        other = sim_meter(hall, 2, push_ciphered=True)
        await hall.send(*happen(hall, other, Event.COVER_OPEN))
        assert hall.told() == [MAGNET]
        for serial in ("00000001", "00000002"):
            event = Identified(meter_id=METER, tick_ms=hall.box.now_ms, serial=serial, firmware="1")
            hall.box.do(lambda station, now, event=event: station.on_record(event, now))  # type: ignore[misc]
        hall.box.now_ms += REFRESH_MS
        await hall.send(*happen(hall, other, Event.LOW_VOLTAGE))
        assert hall.told() == [MAGNET, 4, COVER]


async def test_a_meter_that_forgets_its_counter_is_believed_only_if_the_operator_says_so(tmp_path: Path) -> None:
    for policy, taken in ((PeerCounterPolicy.STRICT, 1), (PeerCounterPolicy.UNCHECKED, 2)):
        folder = tmp_path / policy.value
        folder.mkdir()
        async with hall_of(folder, ciphered(policy=policy)) as hall:
            for first in (1_000, 1):
                await hall.send(*happen(hall, sim_meter(hall, push_ciphered=True, first_counter=first), Event.MAGNET))
            assert hall.reader.taken == taken


# ---- who is kept out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_garbage_ends_nothing(tmp_path: Path, way: str) -> None:
    rng = Random(5)
    async with hall_of(tmp_path, ciphered(), packets_at_once=10_000, bytes_at_once=10**7) as hall:
        meter = sim_meter(hall, push_ciphered=True)
        (good,) = happen(hall, meter, Event.MAGNET)
        tags = [0x0F, 0xC2, 0xCA, 0xDB, 0xDC, 0xE0, 0x60, 0x00]
        for _ in range(150):
            junk = bytes((rng.choice(tags),)) + rng.randbytes(rng.randrange(60))
            await hall.send_bytes(
                rng.choice([junk, pack(1, 64, junk), pack(1, 64, good[: rng.randrange(len(good))])]), way=way
            )
        await hall.send(good, way=way)
        await until(lambda: hall.told() == [MAGNET])
        assert hall.reader.refused[Refusal.FAULT] == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_flood_is_cut_off_and_others_are_heard(tmp_path: Path, way: str) -> None:
    async with hall_of(tmp_path, ciphered(), packets_at_once=20, packets_per_s=1) as hall:
        meter = sim_meter(hall, push_ciphered=True)
        (good,) = happen(hall, meter, Event.MAGNET)
        flood = pack(1, 64, Notifier().data_notification(body(word(MAGNET))))
        for _ in range(100):
            await hall.send_bytes(flood, way=way)
        await until(lambda: hall.done >= 100)
        assert hall.door.turned_away["flooding"] >= 80
        assert hall.reader.refused.total() <= 20
        hall.box.now_ms += 30_000
        await hall.send(good, way=way)
        assert hall.told() == [MAGNET]


async def test_so_many_bytes_without_a_push_end_a_connection(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(), bytes_at_once=1_000) as hall:
        reader, writer = await asyncio.open_connection(LOOPBACK, hall.door.port)
        writer.write(b"\x00\x01\x00\x01\x00\x40\x1f\xff" + bytes(4_000))
        async with asyncio.timeout(10):
            assert await _read_to_end(reader) == b""
        writer.close()


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_one_address_has_only_so_many_connections(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(), connections_per_peer_max=3) as hall:
        writers = [(await asyncio.open_connection(LOOPBACK, hall.door.port))[1] for _ in range(6)]
        await until(lambda: hall.door.turned_away["crowded"] == 3)
        for writer in writers:
            writer.close()
        (good,) = happen(hall, sim_meter(hall, push_ciphered=True), Event.MAGNET)
        await until(lambda: not hall.door._guests)
        await hall.send(good)
        assert hall.told() == [MAGNET]


async def test_silent_guests_make_room_for_those_who_come(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(), connections_max=3) as hall:
        silent = [(await asyncio.open_connection(LOOPBACK, hall.door.port))[1] for _ in range(3)]
        await until(lambda: len(hall.door._guests) == 3)
        sent = happen(hall, sim_meter(hall, push_ciphered=True), Event.MAGNET, Event.COVER_OPEN)
        _, writer = await asyncio.open_connection(LOOPBACK, hall.door.port)
        writer.write(pack(1, 64, sent[0]))
        await until(lambda: hall.reader.taken == 1)
        # Whoever was of use stays when more come.
        silent += [(await asyncio.open_connection(LOOPBACK, hall.door.port))[1] for _ in range(2)]
        await until(lambda: hall.door.turned_away["crowded"] == 3)
        writer.write(pack(1, 64, sent[1]))
        await until(lambda: hall.reader.taken == 2)
        for each in (*silent, writer):
            each.close()


async def test_a_guest_who_says_nothing_is_sent_away(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered(), idle_s=0.05) as hall:
        reader, writer = await asyncio.open_connection(LOOPBACK, hall.door.port)
        async with asyncio.timeout(10):
            assert await _read_to_end(reader) == b""
        await until(lambda: hall.door.turned_away["silent"] == 1)
        writer.close()


async def test_a_port_that_is_taken_is_tried_again(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    async with hall_of(tmp_path, ciphered()) as hall:
        settings = DoorSettings(host=LOOPBACK, port=port, retry_s=0.02)
        hall.door = PushDoor(settings, take=hall.reader.take, clock=hall.clock)
        with structlog.testing.capture_logs() as lines:
            task = asyncio.create_task(hall.door.run())
            await until(lambda: lines)
            server.close()
            await server.wait_closed()
            async with asyncio.timeout(10):
                await hall.door.is_open.wait()
            task.cancel()
            await asyncio.wait((task,))
        assert [line["event"] for line in lines] == ["push.closed", "push.listening"]


async def test_addresses_are_forgotten_sooner_than_memory_ends(tmp_path: Path) -> None:
    async with hall_of(tmp_path, ciphered()) as hall:
        for number in range(PEERS_MAX + 100):
            hall.door._on_datagram(b"junk", (f"peer-{number}", 1))
        assert len(hall.door._rates) == PEERS_MAX
