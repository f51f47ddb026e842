"""The client's side of HDLC, frame by frame."""

import pytest

from dlms.errors import FrameRejectedError, LinkError, LinkRefusedError, LinkTimeoutError
from dlms.link.address import StationAddress
from dlms.link.client import HdlcClient, HdlcSettings
from dlms.link.events import ClientLink, Connected, Disconnected, Failed, LinkEvent, Received, SendBytes
from dlms.link.frame import Frame, FrameReader, encode_frame
from dlms.link.parameters import DEFAULTS, LinkParameters

SNRM, DISC, UA, DM, FRMR = 0x93, 0x53, 0x73, 0x1F, 0x97
STATION = StationAddress(1, 17)
WIDE = LinkParameters(transmit_bytes_max=64, receive_bytes_max=64, transmit_window=3, receive_window=3)
SETTINGS = HdlcSettings(
    response_timeout_ms=1_000,
    retries_max=2,
    answer_timeout_ms=5_000,
    poll_delay_ms=100,
    octet_gap_ms=200,
    apdu_bytes_max=500,
)
WINDOWED = HdlcSettings(proposal=WIDE, response_timeout_ms=1_000)


def information(sent: int, received: int, *, final: bool = True) -> int:
    return received << 5 | final << 4 | sent << 1


def ready(received: int) -> int:
    return received << 5 | 0x11


def from_station(control: int, info: bytes = b"", *, more: bool = False) -> bytes:
    return encode_frame(b"\x61\x02\x23", control, info, is_segmented=more)


def answer(sent: int, received: int, apdu: bytes) -> bytes:
    return from_station(information(sent, received), b"\xe6\xe7\x00" + apdu)


def frames(events: tuple[LinkEvent, ...]) -> list[Frame]:
    return [frame for event in events if isinstance(event, SendBytes) for frame in FrameReader().feed(event.data)]


def controls(events: tuple[LinkEvent, ...]) -> list[int]:
    return [frame.control for frame in frames(events)]


def failure(events: tuple[LinkEvent, ...]) -> LinkError:
    [event] = events
    assert isinstance(event, Failed)
    return event.error


def connected(settings: HdlcSettings = SETTINGS) -> HdlcClient:
    client = HdlcClient(48, STATION, settings)
    client.connect(now_ms=0)
    info = b"" if settings.proposal == DEFAULTS else settings.proposal.encode()
    assert client.receive(from_station(UA, info), now_ms=10) == (Connected(settings.proposal),)
    return client


def expire(client: HdlcClient) -> tuple[LinkEvent, ...]:
    due_ms = client.next_deadline_ms()
    assert due_ms is not None
    assert client.on_timer(now_ms=due_ms - 1) == ()
    return client.on_timer(now_ms=due_ms)


def test_it_is_a_client_link() -> None:
    link: ClientLink = HdlcClient(48, STATION)
    assert not link.is_connected


def test_a_session_as_the_book_has_it() -> None:
    client = HdlcClient(48, STATION, SETTINGS)
    assert frames(client.connect(now_ms=0)) == [Frame(b"\x02\x23", b"\x61", SNRM)]
    # A UA without information field grants the defaults.
    assert client.receive(from_station(UA), now_ms=10) == (Connected(DEFAULTS),)
    [request] = frames(client.send(b"\xc0question", now_ms=20))
    assert request == Frame(b"\x02\x23", b"\x61", information(0, 0), b"\xe6\xe6\x00\xc0question")
    assert client.receive(answer(0, 1, b"\xc4answer"), now_ms=30) == (Received(b"\xc4answer"),)
    assert controls(client.send(b"\xc0again", now_ms=40)) == [information(1, 1)]
    assert client.receive(answer(1, 2, b"\xc4and again"), now_ms=50) == (Received(b"\xc4and again"),)
    assert controls(client.disconnect(now_ms=60)) == [DISC]
    assert client.receive(from_station(UA), now_ms=70) == (Disconnected(),)
    assert client.next_deadline_ms() is None
    assert not client.is_connected


def test_sizes_and_windows_are_asked_for_and_taken_as_granted() -> None:
    client = HdlcClient(48, STATION, WINDOWED)
    [snrm] = frames(client.connect(now_ms=0))
    assert snrm.info == WIDE.encode()
    granted = LinkParameters(transmit_bytes_max=50, receive_bytes_max=40, transmit_window=1, receive_window=2)
    [event] = client.receive(from_station(UA, granted.encode()), now_ms=10)
    agreed = LinkParameters(transmit_bytes_max=40, receive_bytes_max=50, transmit_window=2, receive_window=1)
    assert event == Connected(agreed)
    window = frames(client.send(bytes(100), now_ms=20))
    assert [len(frame.info) for frame in window] == [40, 40]
    assert [frame.is_segmented for frame in window] == [True, True]
    assert [frame.control for frame in window] == [information(0, 0, final=False), information(1, 0)]
    [last] = frames(client.receive(from_station(ready(2)), now_ms=30))
    assert (len(last.info), last.is_segmented, last.control) == (23, False, information(2, 0))


def test_a_segmented_answer_is_asked_for_window_by_window() -> None:
    client = connected(WINDOWED)
    client.send(b"\xc0", now_ms=20)
    first = from_station(information(0, 1, final=False), b"\xe6\xe7\x00one ", more=True)
    assert client.receive(first + from_station(information(1, 1), b"two ", more=True), now_ms=30)
    [event] = client.receive(from_station(information(2, 1), b"three"), now_ms=40)
    assert event == Received(b"one two three")


@pytest.mark.parametrize("answer_apdu", [b"", b"\x7e" * 20])
def test_an_llc_header_may_be_spread_over_segments(answer_apdu: bytes) -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    payload = b"\xe6\xe7\x00" + answer_apdu
    events: tuple[LinkEvent, ...] = ()
    for at in range(len(payload)):
        if at:
            assert controls(events) == [ready(at & 7)]
        more = at < len(payload) - 1
        events = client.receive(from_station(information(at & 7, 1), payload[at : at + 1], more=more), now_ms=30)
    assert events == (Received(answer_apdu),)


# Loss.


def test_a_request_is_repeated_as_it_was_and_then_given_up() -> None:
    client = connected()
    first = client.send(b"\xc0", now_ms=20)
    assert [expire(client), expire(client)] == [first, first]
    assert isinstance(failure(expire(client)), LinkTimeoutError)
    assert client.next_deadline_ms() is None
    with pytest.raises(LinkError):
        client.send(b"\xc0", now_ms=9_999)


def test_snrm_and_disc_are_repeated_and_then_given_up() -> None:
    client = HdlcClient(48, STATION, SETTINGS)
    client.connect(now_ms=0)
    assert [controls(expire(client)), controls(expire(client))] == [[SNRM], [SNRM]]
    assert isinstance(failure(expire(client)), LinkTimeoutError)
    client = connected()
    client.disconnect(now_ms=20)
    assert [controls(expire(client)), controls(expire(client))] == [[DISC], [DISC]]
    assert isinstance(failure(expire(client)), LinkTimeoutError)


def test_retries_count_from_the_last_progress() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    expire(client)
    expire(client)
    assert controls(client.receive(from_station(information(0, 1), b"\xe6\xe7\x00a", more=True), now_ms=2_500)) == [
        ready(1)
    ]
    assert [controls(expire(client)), controls(expire(client))] == [[ready(1)], [ready(1)]]
    assert client.receive(from_station(information(1, 1), b"b"), now_ms=5_000) == (Received(b"ab"),)


def test_of_several_frames_only_those_that_did_not_arrive_are_repeated() -> None:
    client = connected(WINDOWED)
    assert len(frames(client.send(bytes(180), now_ms=20))) == 3
    assert controls(expire(client)) == [ready(0)]
    again = client.receive(from_station(ready(2)), now_ms=1_100)
    assert controls(again) == [information(2, 0)]
    assert client.receive(answer(0, 3, b"\xc4"), now_ms=1_200) == (Received(b"\xc4"),)


def test_going_back_happens_once_for_a_response_that_comes_twice() -> None:
    client = connected(WINDOWED)
    client.send(bytes(500), now_ms=20)
    assert len(frames(client.receive(from_station(ready(3)), now_ms=30))) == 3
    assert len(frames(client.receive(from_station(ready(3)), now_ms=31))) == 3
    assert client.receive(from_station(ready(3)), now_ms=32) == ()


def test_a_lost_segment_of_the_answer_is_asked_for_at_once_and_once() -> None:
    client = connected(WINDOWED)
    client.send(b"\xc0", now_ms=20)
    client.receive(from_station(information(0, 1, final=False), b"\xe6\xe7\x00a", more=True), now_ms=30)
    ahead = from_station(information(2, 1), b"c")
    assert controls(client.receive(ahead, now_ms=40)) == [ready(1)]
    assert client.receive(ahead, now_ms=41) == ()
    client.receive(from_station(information(1, 1, final=False), b"b", more=True), now_ms=50)
    assert client.receive(ahead, now_ms=60) == (Received(b"abc"),)


def test_a_frame_that_is_still_arriving_is_not_late() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    slow = answer(0, 1, b"\xc4" + bytes(100))
    assert client.receive(slow[:50], now_ms=1_000) == ()
    assert client.next_deadline_ms() == 1_200
    assert client.on_timer(now_ms=1_020) == ()
    assert client.receive(slow[50:], now_ms=1_150) == (Received(b"\xc4" + bytes(100)),)


def test_a_line_on_which_others_always_talk_does_not_stop_the_clock() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    chatter = encode_frame(b"\x21\x02\x27", 0x10, bytes(100))
    for now_ms in range(100, 2_500, 100):
        client.receive(chatter[:60], now_ms=now_ms)
        client.receive(chatter[60:] + chatter[:60], now_ms=now_ms + 50)
    assert client.next_deadline_ms() == 2_020


# Old, foreign and senseless frames.


def test_the_answer_to_an_earlier_request_is_not_the_answer_to_this_one() -> None:
    client = connected()
    client.send(b"\xc0first", now_ms=20)
    expire(client)
    first = answer(0, 1, b"first answer")
    assert client.receive(first, now_ms=1_100) == (Received(b"first answer"),)
    assert client.receive(first, now_ms=1_101) == ()
    client.send(b"\xc0second", now_ms=1_200)
    assert client.receive(first, now_ms=1_300) == ()
    assert client.receive(answer(1, 2, b"second answer"), now_ms=1_400) == (Received(b"second answer"),)


def test_an_answer_that_does_not_acknowledge_the_whole_request_is_none() -> None:
    client = connected(WINDOWED)
    client.send(bytes(300), now_ms=20)
    for received in range(8):
        assert client.receive(answer(0, received, b"too early"), now_ms=30) == ()
    client = connected()
    client.send(b"\xc0", now_ms=20)
    for received in (0, 2, 3, 4, 5, 6, 7):
        assert client.receive(answer(0, received, b"not for this"), now_ms=30) == ()
    assert client.receive(answer(0, 1, b"\xc4"), now_ms=40) == (Received(b"\xc4"),)


def test_a_dm_left_over_does_not_let_an_old_answer_in() -> None:
    """The DM belonged to the DISC before; the station got the request and answers it in the next session."""
    client = connected()
    client.send(b"\xc0first", now_ms=20)
    assert isinstance(failure(client.receive(from_station(DM), now_ms=30)), LinkRefusedError)
    assert client.connect(now_ms=40) == ()
    assert client.receive(answer(0, 1, b"first answer"), now_ms=50) == ()
    assert controls(expire(client)) == [SNRM]
    assert controls(client.receive(from_station(UA), now_ms=1_040)) == [ready(0)]
    assert client.receive(answer(0, 1, b"first answer"), now_ms=1_041) == ()
    assert client.receive(from_station(ready(0)), now_ms=1_050) == (Connected(DEFAULTS),)


def test_a_request_that_was_answered_twice_keeps_the_next_connection_waiting() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    expire(client)
    assert client.receive(answer(0, 1, b"\xc4"), now_ms=1_100) == (Received(b"\xc4"),)
    assert client.connect(now_ms=1_200) == ()
    assert client.next_deadline_ms() == 2_020
    assert controls(expire(client)) == [SNRM]


def test_a_connection_given_up_is_quiet_until_its_answers_are_too_late() -> None:
    client = connected()
    client.send(b"\xc0first", now_ms=100)
    assert client.connect(now_ms=400) == ()
    assert client.receive(answer(0, 1, b"first answer"), now_ms=600) == ()
    assert client.next_deadline_ms() == 1_100
    assert controls(expire(client)) == [SNRM]


def test_a_ua_left_over_does_not_let_an_old_answer_in() -> None:
    """The first SNRM was slow, so it was repeated; the owner gave up, and now all the old responses come."""
    client = HdlcClient(48, STATION, SETTINGS)
    client.connect(now_ms=0)
    assert controls(expire(client)) == [SNRM]
    assert controls(client.receive(from_station(UA), now_ms=1_100)) == [ready(0)]
    assert client.receive(from_station(ready(0)), now_ms=1_200) == (Connected(DEFAULTS),)
    client.send(b"\xc0first", now_ms=1_300)
    for _ in range(2):
        expire(client)
    assert isinstance(failure(expire(client)), LinkTimeoutError)
    assert controls(client.connect(now_ms=5_000)) == [SNRM]
    assert controls(client.receive(from_station(UA), now_ms=5_010)) == [ready(0)]
    assert client.receive(answer(0, 1, b"first answer"), now_ms=5_020) == ()
    assert client.receive(from_station(UA), now_ms=5_030) == ()
    assert client.receive(from_station(ready(0)), now_ms=5_040) == (Connected(DEFAULTS),)
    client.send(b"\xc0second", now_ms=5_050)
    assert client.receive(answer(0, 1, b"second answer"), now_ms=5_060) == (Received(b"second answer"),)


def test_a_new_stream_carries_nothing_of_the_old_one() -> None:
    client = connected()
    client.send(b"\xc0first", now_ms=100)
    client.reset()
    assert controls(client.connect(now_ms=101)) == [SNRM]
    assert client.receive(from_station(UA), now_ms=110) == (Connected(DEFAULTS),)


@pytest.mark.parametrize(
    "addresses", [b"\x61\x02\x25", b"\x61\x04\x23", b"\x63\x02\x23", b"\x02\x23\x61", b"\x61\x03", b"\xff\x02\x23"]
)
@pytest.mark.parametrize("control", [information(0, 1), DM, FRMR, ready(1)])
def test_frames_of_others_and_to_others_are_ignored(addresses: bytes, control: int) -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    due_ms = client.next_deadline_ms()
    assert client.receive(encode_frame(addresses, control, b"\xe6\xe7\x00wrong"), now_ms=30) == ()
    assert client.next_deadline_ms() == due_ms


def test_a_station_may_write_its_address_with_more_bytes() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    wide = encode_frame(b"\x61\x00\x02\x00\x23", information(0, 1), b"\xe6\xe7\x00\xc4")
    assert client.receive(wide, now_ms=30) == (Received(b"\xc4"),)


# What a station can say.


def test_a_station_that_responds_without_an_answer_is_asked_again_until_time_is_up() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=0)
    now_ms, polls_count = 0, 0
    events: tuple[LinkEvent, ...] = ()
    while not events or not isinstance(events[0], Failed):
        assert client.receive(from_station(ready(1)), now_ms=now_ms) == ()
        now_ms = client.next_deadline_ms() or 0
        events = client.on_timer(now_ms=now_ms)
        polls_count += 1
        assert polls_count < 100
    assert isinstance(failure(events), LinkTimeoutError)
    assert now_ms == 5_000


def test_time_for_the_answer_is_counted_from_the_last_segment_either_way() -> None:
    client = connected()
    client.send(bytes(400), now_ms=0)
    for number in (1, 2, 3):
        assert client.receive(from_station(ready(number)), now_ms=number * 3_000)
    assert client.receive(from_station(ready(4)), now_ms=9_500) == ()
    assert controls(expire(client)) == [ready(0)]
    assert controls(client.receive(from_station(information(0, 4), b"\xe6\xe7\x00a", more=True), now_ms=14_000)) == [
        ready(1)
    ]
    assert client.receive(from_station(ready(4)), now_ms=18_000) == ()
    assert controls(expire(client)) == [ready(1)]
    assert client.receive(from_station(information(1, 4), b"b"), now_ms=18_500) == (Received(b"ab"),)


def test_the_answer_may_come_after_many_polls() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=0)
    assert client.receive(from_station(ready(1)), now_ms=10) == ()
    assert client.next_deadline_ms() == 110
    assert client.receive(from_station(ready(1)), now_ms=50) == ()
    assert client.next_deadline_ms() == 110
    assert controls(expire(client)) == [ready(0)]
    assert client.receive(answer(0, 1, b"\xc4"), now_ms=150) == (Received(b"\xc4"),)


def test_a_station_that_is_disconnected_says_so() -> None:
    client = HdlcClient(48, STATION, SETTINGS)
    client.connect(now_ms=0)
    assert isinstance(failure(client.receive(from_station(DM), now_ms=10)), LinkRefusedError)
    client = connected()
    client.send(b"\xc0", now_ms=20)
    assert isinstance(failure(client.receive(from_station(DM), now_ms=30)), LinkRefusedError)
    client = connected()
    client.disconnect(now_ms=20)
    assert client.receive(from_station(DM), now_ms=30) == (Disconnected(),)


def test_a_frame_reject_ends_the_session() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    assert isinstance(failure(client.receive(from_station(FRMR, b"\x10\x00\x01"), now_ms=30)), FrameRejectedError)


@pytest.mark.parametrize("info", [b"\x81\x80\x05\x05", b"what is this"])
def test_a_ua_with_senseless_parameters_ends_the_session(info: bytes) -> None:
    client = HdlcClient(48, STATION, SETTINGS)
    client.connect(now_ms=0)
    assert "UA" in str(failure(client.receive(from_station(UA, info), now_ms=10)))


def test_an_answer_longer_than_allowed_ends_the_session() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    for number in range(5):
        client.receive(from_station(information(number, 1), bytes(100), more=True), now_ms=30)
    assert "more than 503" in str(failure(client.receive(from_station(information(5, 1), bytes(100)), now_ms=40)))


def test_an_answer_without_llc_header_ends_the_session() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    assert "LLC" in str(failure(client.receive(from_station(information(0, 1), b"\xc4"), now_ms=30)))


@pytest.mark.parametrize("destination", [b"\x61", b"\xff"])
@pytest.mark.parametrize("control", [0x03, 0x13])
@pytest.mark.parametrize("llc", [b"\xe6\xe7\x00", b""])
def test_a_ui_frame_is_delivered_unasked_and_changes_nothing(destination: bytes, control: int, llc: bytes) -> None:
    push = encode_frame(destination + b"\x02\x23", control, llc + b"\x0fpush")
    client = connected()
    assert client.receive(push, now_ms=15) == (Received(b"\x0fpush", is_unsolicited=True),)
    client.send(b"\xc0", now_ms=20)
    assert client.receive(push, now_ms=25) == (Received(b"\x0fpush", is_unsolicited=True),)
    assert client.receive(answer(0, 1, b"\xc4"), now_ms=30) == (Received(b"\xc4"),)


def test_part_of_an_unconfirmed_apdu_is_not_delivered() -> None:
    client = connected()
    assert client.receive(from_station(0x13, b"\xe6\xe7\x00\x0fpart", more=True), now_ms=20) == ()


def test_an_unconfirmed_apdu_needs_no_session() -> None:
    client = HdlcClient(48, StationAddress(0x7F, 0x7F), SETTINGS)
    assert frames(client.send_unconfirmed(b"\xc1")) == [Frame(b"\xfe\xff", b"\x61", 0x03, b"\xe6\xe6\x00\xc1")]
    with pytest.raises(LinkError, match="2028"):
        client.send_unconfirmed(bytes(2028))


def test_when_a_notification_came_instead_the_answer_is_asked_for() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    assert client.receive(answer(0, 1, b"\xc2event"), now_ms=30) == (Received(b"\xc2event"),)
    assert controls(client.keep_waiting(now_ms=40)) == [ready(1)]
    assert client.receive(answer(1, 1, b"\xc4"), now_ms=50) == (Received(b"\xc4"),)
    assert isinstance(failure(client.keep_waiting(now_ms=20 + 5_000)), LinkTimeoutError)


# What the owner can do wrong.


def test_a_second_request_before_the_answer_is_refused_and_harms_nothing() -> None:
    client = connected()
    client.send(b"\xc0", now_ms=20)
    with pytest.raises(LinkError, match="no answer yet"):
        client.send(b"\xc0", now_ms=21)
    assert client.receive(answer(0, 1, b"\xc4"), now_ms=30) == (Received(b"\xc4"),)


def test_a_request_longer_than_allowed_is_refused() -> None:
    client = connected()
    with pytest.raises(LinkError, match="501"):
        client.send(bytes(501), now_ms=20)
    assert client.is_connected


def test_closing_what_is_not_open_is_done_at_once() -> None:
    assert HdlcClient(48, STATION, SETTINGS).disconnect(now_ms=0) == (Disconnected(),)


def test_apdus_do_not_show_in_the_text_of_events() -> None:
    assert "secret" not in repr((SendBytes(b"secret"), Received(b"secret")))
