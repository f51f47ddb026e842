"""The server's end of a line: many stations, sessions that begin and end."""

import pytest

from dlms.errors import LinkError, LinkTimeoutError
from dlms.link.address import SHORT_MAX, StationAddress
from dlms.link.events import Peer, PeerConnected, PeerDisconnected, PeerReceived, SendBytes, ServerEvent, ServerLink
from dlms.link.frame import Frame, FrameReader, encode_frame
from dlms.link.parameters import DEFAULTS, LinkParameters
from dlms.link.server import HdlcServerLine, HdlcServerSettings

SNRM, DISC, UA, DM = 0x93, 0x53, 0x73, 0x1F
REQUEST = b"\xe6\xe6\x00\xc0"
STATIONS = [StationAddress(1, number) for number in range(16, 300) if number != SHORT_MAX]


def frames(events: tuple[ServerEvent, ...]) -> list[Frame]:
    return [frame for event in events if isinstance(event, SendBytes) for frame in FrameReader().feed(event.data)]


def controls(events: tuple[ServerEvent, ...]) -> list[int]:
    return [frame.control for frame in frames(events)]


def peer_of(events: tuple[ServerEvent, ...]) -> Peer:
    [peer] = [event.peer for event in events if isinstance(event, PeerConnected)]
    return peer


def snrm(destination: bytes, client: bytes = b"\x61", info: bytes = b"") -> bytes:
    return encode_frame(destination + client, SNRM, info)


def test_it_is_a_server_link() -> None:
    link: ServerLink = HdlcServerLine(STATIONS)
    assert link.next_deadline_ms() is None


def test_each_station_of_a_line_answers_for_itself_only() -> None:
    line = HdlcServerLine(STATIONS)
    everyone = b"".join(snrm(station.encode()) for station in STATIONS)
    events = line.receive(everyone, now_ms=0)
    peers = [event.peer for event in events if isinstance(event, PeerConnected)]
    assert [(peer.server, peer.physical) for peer in peers] == [(1, station.lower) for station in STATIONS]
    uas = [event for event in events if isinstance(event, SendBytes)]
    assert [event.station for event in uas] == STATIONS
    assert [frame.source for frame in frames(events)] == [station.encode() for station in STATIONS]
    request = encode_frame(STATIONS[200].encode() + b"\x61", 0x10, REQUEST)
    assert line.receive(request, now_ms=10) == (PeerReceived(peers[200], b"\xc0"),)
    [reply] = frames(line.send(peers[200], b"\xc4", now_ms=20))
    assert reply == Frame(b"\x61", STATIONS[200].encode(), 0x30, b"\xe6\xe7\x00\xc4")


def test_frames_for_stations_of_other_lines_pass_by() -> None:
    line = HdlcServerLine(STATIONS)
    assert line.receive(snrm(b"\x02\x03") + snrm(b"\x04\x23") + snrm(b"\x03"), now_ms=0) == ()


def test_a_station_is_answered_in_the_form_in_which_it_was_addressed() -> None:
    line = HdlcServerLine([StationAddress(1, 17)])
    for form in (b"\x02\x23", b"\x00\x02\x00\x23", b"\x03"):
        [ua] = frames(line.receive(snrm(form), now_ms=0))
        assert (ua.control, ua.source, ua.destination) == (UA, form, b"\x61")


def test_sizes_and_windows_are_granted_up_to_the_limits() -> None:
    limits = LinkParameters(transmit_bytes_max=256, receive_bytes_max=512, transmit_window=2, receive_window=3)
    line = HdlcServerLine([StationAddress(1, 17)], HdlcServerSettings(limits=limits))
    asked = LinkParameters(transmit_bytes_max=1024, receive_bytes_max=1024, transmit_window=7, receive_window=1)
    events = line.receive(snrm(b"\x02\x23", info=asked.encode()), now_ms=0)
    granted = LinkParameters(transmit_bytes_max=256, receive_bytes_max=512, transmit_window=1, receive_window=3)
    assert frames(events)[0].info == granted.encode()
    assert events[0] == PeerConnected(peer_of(events), granted)


def test_who_does_not_ask_gets_the_defaults() -> None:
    [ua] = frames(HdlcServerLine([StationAddress(1, 17)]).receive(snrm(b"\x02\x23"), now_ms=0))
    assert ua.info == DEFAULTS.encode()


def test_an_snrm_that_makes_no_sense_is_refused() -> None:
    line = HdlcServerLine([StationAddress(1, 17)])
    assert controls(line.receive(snrm(b"\x02\x23", info=b"\x81\x80\x02\x05\x02"), now_ms=0)) == [DM]


def test_who_is_not_connected_is_told_so() -> None:
    line = HdlcServerLine([StationAddress(1, 17)])
    for control in (0x10, 0x11, DISC):
        assert controls(line.receive(encode_frame(b"\x02\x23\x61", control), now_ms=0)) == [DM]
    assert line.receive(encode_frame(b"\x02\x23\x61", 0x01), now_ms=0) == ()


def test_a_client_that_connects_anew_gets_no_answer_to_what_it_asked_before() -> None:
    line = HdlcServerLine([StationAddress(1, 17)])
    first = peer_of(line.receive(snrm(b"\x02\x23"), now_ms=0))
    line.receive(encode_frame(b"\x02\x23\x61", 0x10, REQUEST), now_ms=10)
    events = line.receive(snrm(b"\x02\x23"), now_ms=20)
    assert events[0] == PeerDisconnected(first)
    second = peer_of(events)
    assert second != first
    line.receive(encode_frame(b"\x02\x23\x61", 0x10, REQUEST), now_ms=30)
    assert line.send(first, b"old", now_ms=40) == ()
    assert line.pass_turn(first, now_ms=40) == ()
    assert frames(line.send(second, b"new", now_ms=50))[0].info == b"\xe6\xe7\x00new"


def test_several_clients_of_one_station_have_sessions_of_their_own() -> None:
    settings = HdlcServerSettings(sessions_max=2)
    line = HdlcServerLine([StationAddress(1, 17)], settings)
    assert controls(line.receive(snrm(b"\x02\x23", b"\x21"), now_ms=0)) == [UA]
    assert controls(line.receive(snrm(b"\x02\x23", b"\x61"), now_ms=0)) == [UA]
    assert controls(line.receive(snrm(b"\x02\x23", b"\x41"), now_ms=0)) == [DM]
    line.receive(encode_frame(b"\x02\x23\x21", DISC), now_ms=10)
    assert controls(line.receive(snrm(b"\x02\x23", b"\x41"), now_ms=20)) == [UA]
    [event] = line.receive(encode_frame(b"\x02\x23\x61", 0x10, REQUEST), now_ms=30)
    assert isinstance(event, PeerReceived)
    assert event.peer.client == 48


def test_a_disconnected_client_is_gone() -> None:
    line = HdlcServerLine([StationAddress(1, 17)])
    peer = peer_of(line.receive(snrm(b"\x02\x23"), now_ms=0))
    events = line.receive(encode_frame(b"\x02\x23\x61", DISC), now_ms=10)
    assert events[0] == PeerDisconnected(peer)
    assert controls(events) == [UA]
    assert controls(line.receive(encode_frame(b"\x02\x23\x61", DISC), now_ms=10)) == [DM]


def test_a_silent_client_loses_its_session() -> None:
    line = HdlcServerLine(STATIONS, HdlcServerSettings(inactivity_timeout_ms=1_000))
    silent = peer_of(line.receive(snrm(STATIONS[0].encode()), now_ms=0))
    busy = peer_of(line.receive(snrm(STATIONS[1].encode()), now_ms=500))
    line.receive(encode_frame(STATIONS[1].encode() + b"\x61", 0x11), now_ms=900)
    assert line.next_deadline_ms() == 1_000
    assert line.on_timer(now_ms=999) == ()
    [event] = line.on_timer(now_ms=1_000)
    assert isinstance(event, PeerDisconnected)
    assert event.peer == silent
    assert isinstance(event.error, LinkTimeoutError)
    assert controls(line.receive(encode_frame(STATIONS[0].encode() + b"\x61", 0x11), now_ms=1_001)) == [DM]
    assert line.next_deadline_ms() == 1_900
    [event] = line.on_timer(now_ms=1_900)
    assert isinstance(event, PeerDisconnected)
    assert event.peer == busy
    assert line.next_deadline_ms() is None


def test_a_station_taken_off_is_silent_and_one_put_on_answers() -> None:
    line = HdlcServerLine(STATIONS[:2])
    peer = peer_of(line.receive(snrm(STATIONS[0].encode()), now_ms=0))
    [event] = line.remove_station(STATIONS[0])
    assert isinstance(event, PeerDisconnected)
    assert event.peer == peer
    assert line.send(peer, b"\xc4", now_ms=1) == ()
    assert line.receive(snrm(STATIONS[0].encode()), now_ms=2) == ()
    assert line.remove_station(STATIONS[0]) == ()
    line.add_station(STATIONS[0])
    assert controls(line.receive(snrm(STATIONS[0].encode()), now_ms=3)) == [UA]


def test_after_a_reset_nobody_is_connected() -> None:
    line = HdlcServerLine([StationAddress(1, 17)])
    peer = peer_of(line.receive(snrm(b"\x02\x23"), now_ms=0))
    line.reset()
    assert line.send(peer, b"\xc4", now_ms=1) == ()
    assert line.next_deadline_ms() is None
    assert controls(line.receive(encode_frame(b"\x02\x23\x61", 0x11), now_ms=2)) == [DM]


def test_a_notification_goes_out_in_one_ui_frame() -> None:
    line = HdlcServerLine([StationAddress(1, 17)])
    [push] = frames(line.notify(Peer(client=64, server=1, physical=17), b"\x0fpush"))
    assert push == Frame(b"\x81", b"\x02\x23", 0x13, b"\xe6\xe7\x00\x0fpush")
    with pytest.raises(LinkError, match="2028"):
        line.notify(Peer(64, 1, 17), bytes(2028))
    with pytest.raises(LinkError, match="1/18"):
        line.notify(Peer(64, 1, 18), b"\x0f")


def test_a_ui_frame_to_all_reaches_every_station_and_is_not_answered() -> None:
    line = HdlcServerLine(STATIONS)
    for destination in (b"\xfe\xff", b"\xfe\xfe\xfe\xff", b"\x02\xff"):
        events = line.receive(encode_frame(destination + b"\x61", 0x03, REQUEST), now_ms=0)
        assert [event for event in events if not isinstance(event, PeerReceived) or event.is_confirmed] == []
        assert len(events) == len(STATIONS)
    one = line.receive(encode_frame(b"\x02\x23\x61", 0x03, REQUEST), now_ms=0)
    assert one == (PeerReceived(Peer(48, 1, 17), b"\xc0", is_confirmed=False),)
    assert line.receive(encode_frame(b"\x02\x03\x61", 0x03, REQUEST), now_ms=0) == ()
    assert line.receive(encode_frame(b"\x02\x23\x61", 0x03, b"no LLC"), now_ms=0) == ()


def test_the_rest_of_a_frame_does_not_come_after_a_long_pause() -> None:
    line = HdlcServerLine([StationAddress(1, 17)], HdlcServerSettings(octet_gap_ms=100))
    long = encode_frame(b"\x02\x23\x61", 0x10, REQUEST + bytes(100))
    line.receive(long[:50], now_ms=0)
    assert controls(line.receive(snrm(b"\x02\x23"), now_ms=101)) == [UA]
    line.receive(long[:50], now_ms=200)
    [event] = line.receive(long[50:], now_ms=300)
    assert isinstance(event, PeerReceived)
    assert line.frames_bad_count == 0
