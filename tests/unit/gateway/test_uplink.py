"""The way up: sessions, and batches until the cloud's database has them."""

from pathlib import Path

import pytest

from gateway.core.effects import Note, SendHello
from gateway.core.uplink import UplinkSettings
from tests.unit.gateway.box import COMMAND_KEY, UTC_MS, UTILITY, Box, batches
from wire.address import Address, Direction, Kind
from wire.messages import Command, Ping, Restore, seal_message


def hellos(effects: object) -> int:
    return sum(isinstance(effect, SendHello) for effect in effects)  # type: ignore[attr-defined]


def test_nothing_is_sent_before_the_welcome(box: Box) -> None:
    assert batches(box.connect()) == []
    assert batches(box.read(1)) == []
    assert batches(box.welcome()) != []


def test_a_welcome_that_answers_no_hello_of_ours_opens_nothing(box: Box) -> None:
    box.connect()
    assert batches(box.welcome(nonce=bytes(16))) == []
    assert not box.station.time.is_synchronised


def test_a_welcome_that_is_late_still_answers_its_hello(box: Box) -> None:
    box.connect()
    assert box.hello is not None
    first = box.hello.nonce
    while box.hello.nonce == first:
        box.wait(1_000)
    assert batches(box.welcome(nonce=first)) != []


def test_a_batch_is_repeated_until_it_is_acknowledged(box: Box) -> None:
    (batch, *_) = batches(box.open_session())
    assert batch.digest in {item.digest for item in batches(box.wait(15_000))}
    box.acknowledge([batch.digest])
    assert batch.digest not in {item.digest for item in batches(box.wait(15_000))}


def test_an_unknown_digest_deletes_nothing(box: Box) -> None:
    sent = {item.digest for item in batches(box.open_session())}
    box.acknowledge([bytes(32)])
    assert {item.digest for item in batches(box.wait(15_000))} >= sent


def test_what_a_restart_finds_unacknowledged_is_sent(box: Box) -> None:
    box.read(7)
    box.open_session()
    box.restart()
    assert len(batches(box.open_session())) >= 3


@pytest.mark.parametrize("window", [1, 4])
def test_no_more_than_the_window_is_in_flight(tmp_path: Path, window: int) -> None:
    box = Box(tmp_path, uplink=UplinkSettings(window_max=window))
    for energy_wh in range(10):
        box.read(energy_wh)
    assert len(batches(box.open_session())) == window
    assert len(batches(box.wait(100))) == 0
    box.store.close()


def test_a_long_time_without_anything_to_send_is_no_silence(box: Box) -> None:
    box.acknowledge([item.digest for item in batches(box.open_session())])
    for _ in range(20):
        assert hellos(box.wait(100_000)) == 0
        sent = batches(box.read(1))
        assert hellos(box.wait(1_000)) == 0
        box.acknowledge([item.digest for item in sent])


def test_silence_while_something_is_in_flight_asks_for_a_new_session(box: Box) -> None:
    box.open_session()
    assert sum(hellos(box.wait(10_000)) for _ in range(12)) >= 1


def test_a_session_is_renewed_each_hour(box: Box) -> None:
    box.acknowledge([item.digest for item in batches(box.open_session())])
    assert sum(hellos(box.wait(60_000)) for _ in range(80)) >= 1


def test_hellos_that_nobody_answers_become_rare(box: Box) -> None:
    box.connect()
    assert 5 < sum(hellos(box.wait(1_000)) for _ in range(600)) < 30


def test_an_acknowledgement_of_a_newer_epoch_asks_for_a_new_session(box: Box) -> None:
    (batch, *_) = batches(box.open_session())
    assert hellos(box.acknowledge([batch.digest], epoch=2)) == 1


def test_an_acknowledgement_of_an_older_epoch_is_ignored(box: Box) -> None:
    (batch, *_) = batches(box.open_session(epoch=2))
    box.acknowledge([batch.digest], epoch=1)
    assert batch.digest in {item.digest for item in batches(box.wait(15_000))}


def test_what_was_acknowledged_beyond_a_backup_is_sent_again(box: Box) -> None:
    first, second = batches(box.open_session())[:2]
    box.acknowledge([first.digest], position=10)
    box.acknowledge([second.digest], position=20)
    again = {item.digest for item in batches(box.open_session(epoch=2, restores=[Restore(2, 10)]))}
    assert second.digest in again
    assert first.digest not in again


def test_what_was_acknowledged_in_an_epoch_that_was_done_away_with_is_sent_again(box: Box) -> None:
    (batch, *_) = batches(box.open_session(epoch=2, restores=[Restore(2, 0)]))
    box.acknowledge([batch.digest], epoch=2, position=1)
    # A second restore, from a backup of epoch 1: position 11 in it says nothing of what epoch 2 wrote.
    again = batches(box.open_session(epoch=3, restores=[Restore(3, 11)]))
    assert batch.digest in {item.digest for item in again}


def test_a_hello_tells_what_facts_the_disk_holds(box: Box) -> None:
    box.connect()
    assert box.hello is not None
    assert box.hello.facts_held == bytes(16)


def test_what_the_cloud_signed_for_another_gateway_is_refused(box: Box) -> None:
    box.open_session()
    command = Command(
        id=bytes(16),
        meter="",
        version=1,
        issued_at_ms=UTC_MS,
        not_after_ms=UTC_MS + 3_600_000,
        issuer="client-1",
        effect=Ping(),
    )
    address = Address(UTILITY, Direction.DOWN, Kind.COMMAND, "gw-2")
    sealed = seal_message(command, address, COMMAND_KEY)
    (note,) = box.do(lambda station, now: station.on_message(address, sealed, now))
    assert note == Note(event="message.refused", facts=(("reason", "wrong-party"), ("kind", "command")))
    assert box.receipts(0) == []
