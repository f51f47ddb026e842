"""The bounded queue of received messages."""

from wire.runtime.mqtt.intake import Intake, Message


def message(sequence: int, payload: bytes = b"1234") -> Message:
    return Message(
        topic="t", payload=payload, qos=1, retain=False, duplicate=False, sequence=sequence, packet_id=sequence
    )


def intake_with(count: int, *, messages_max: int = 10, bytes_max: int = 1_000) -> tuple[Intake, list[Message]]:
    intake = Intake(messages_max=messages_max, bytes_max=bytes_max)
    messages = [message(number) for number in range(count)]
    for each in messages:
        intake.add(each)
    return intake, messages


def test_messages_leave_in_the_order_they_came() -> None:
    intake, messages = intake_with(5)
    assert intake.take(2) == messages[:2]
    assert intake.take(9) == messages[2:]
    assert intake.take(9) == []


def test_a_message_taken_counts_until_it_is_released() -> None:
    intake, messages = intake_with(10)
    states = [(intake.is_full, intake.is_below_half)]
    intake.take(10)
    states.append((intake.is_full, intake.is_below_half))
    for released in (messages[:5], messages[5:6]):
        intake.release(released)
        states.append((intake.is_full, intake.is_below_half))
    assert states == [(True, False), (True, False), (False, False), (False, True)]


def test_bytes_fill_it_as_well_as_messages() -> None:
    intake, messages = intake_with(4, bytes_max=20)
    assert intake.bytes_count == 20
    assert intake.is_full
    intake.release(messages[:3])
    assert intake.is_below_half


def test_each_message_is_released_once() -> None:
    intake, messages = intake_with(2)
    assert intake.release([messages[0], messages[0]]) == messages[:1]
    assert intake.release(messages) == messages[1:]
    assert (intake.messages_count, intake.bytes_count) == (0, 0)


def test_after_a_clearing_old_messages_release_nothing() -> None:
    intake, messages = intake_with(3)
    intake.clear()
    intake.add(message(3))
    assert intake.release(messages) == []
    assert intake.messages_count == 1
    assert not intake.is_full
