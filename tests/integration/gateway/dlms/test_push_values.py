"""A visit finds out what a meter's pushes consist of; from then on their values are readings of the right channels."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from device_sim.core.is15959.codes import Event
from device_sim.core.is15959.push import ALERT_NAME, PERIODIC_NAME
from device_sim.core.is15959.quantities import FREQUENCY, IMPORT, VOLTAGE
from dlms.cosem.push_setup import PushObject
from gateway.adapters.dlms.counters import CounterBook
from gateway.adapters.dlms.driver import DlmsDriver, DriverPorts, LineSettings
from gateway.adapters.dlms.push import PushReader, PushStream
from gateway.adapters.dlms.push_meters import PushBook, PushMeter
from gateway.adapters.dlms.push_senders import PushSenders, Refusal
from gateway.adapters.dlms.push_visits import ASKED_EVERY_S
from gateway.core.acquisition import Pushed, ReadValues, StatusSeen, VisitEvent
from gateway.core.pushes import Sender
from tests.integration.gateway.dlms.gateway_side import Joined, joined, the_profile, visited
from tests.unit.gateway.box import METER


@dataclass
class Pushing:
    """A meter that is visited and pushes."""

    side: Joined
    driver: DlmsDriver
    book: PushBook
    reader: PushReader
    pushed: list[Pushed]

    async def visit(self) -> list[VisitEvent]:
        return await visited(self.driver, METER, ReadValues())

    async def push(self, name: bytes) -> bool:
        """Let the meter push what a setup lists."""
        self.side.sim.advance(self.side.clock.wall_ms())
        self.side.sim.send_push(name)
        return await self.bring()

    async def bring(self) -> bool:
        taken = False
        for push in self.side.sim.take_pushes():
            taken = await self.reader.take(push.apdu, PushStream(), peer="10.0.0.1")
        return taken


@asynccontextmanager
async def pushing(folder: Path) -> AsyncIterator[Pushing]:
    async with joined(folder, days=0.1) as side:
        side.sim.take_pushes()
        book = PushBook(side.shelf, [METER])
        ports = DriverPorts(
            clock=side.clock,
            shelf=side.shelf,
            counters=CounterBook(side.shelf),
            fresh_bytes=secrets.token_bytes,
            pushes=book,
        )
        driver = DlmsDriver(
            side.carrier, LineSettings(is_hdlc=True), meters={METER: replace(side.meter, id=METER)}, ports=ports
        )
        pushed: list[Pushed] = []

        async def ask() -> dict[str, Sender]:
            return {METER: Sender(b"", b"", -1, "")}

        async def take(event: Pushed) -> None:
            pushed.append(event)

        meter = PushMeter(id=METER, profile=the_profile())
        senders = PushSenders([meter], book=book, ask=ask, now_ms=side.clock.tick_ms)
        reader = PushReader(senders, book=book, sink=take, clock=side.clock)
        try:
            yield Pushing(side, driver, book, reader, pushed)
        finally:
            driver.reset()


async def test_pushed_values_are_those_of_their_channels(tmp_path: Path) -> None:
    async with pushing(tmp_path) as site:
        await site.visit()
        assert await site.push(PERIODIC_NAME)
        (event,) = site.pushed
        profile, sim = the_profile(), site.side.sim
        by_name = {profile.channels[sample.channel].obis: sample for sample in event.samples}
        assert set(by_name) == {"1.0.12.7.0.255", "1.0.1.7.0.255", "1.0.1.8.0.255"}
        voltage = VOLTAGE.read(sim)
        assert isinstance(voltage, int)
        assert abs(10 * (by_name["1.0.12.7.0.255"].value or 0) - voltage) <= 5, "tenths of a volt out of hundredths"
        assert by_name["1.0.1.8.0.255"].value == IMPORT.read(sim)
        assert event.at_s == site.side.clock.wall_ms() // 1_000


async def test_a_list_that_was_changed_assigns_nothing_wrongly_and_is_asked_for_again(tmp_path: Path) -> None:
    async with pushing(tmp_path) as site:
        await site.visit()
        setup = site.side.sim.periodic_push
        more = PushObject(FREQUENCY.capture.class_id, FREQUENCY.capture.name, FREQUENCY.capture.attribute)
        setup.objects = (*setup.objects, more)
        assert not await site.push(PERIODIC_NAME)
        assert site.reader.refused == {Refusal.UNFIT: 1}
        site.side.clock.ahead_ms += 1_000 * ASKED_EVERY_S
        await site.visit()
        assert await site.push(PERIODIC_NAME)
        assert len(site.pushed[-1].samples) == 4


async def test_a_meter_is_asked_once_a_day_and_what_it_said_outlasts_the_process(tmp_path: Path) -> None:
    async with pushing(tmp_path) as site:
        await site.visit()
        before = len(site.side.shelf.log)
        await site.visit()
        assert not [name for name, _ in site.side.shelf.log[before:] if name.startswith("dlms/pushes")]
        lists = await PushBook(site.side.shelf, [METER]).of(METER)
        assert b"WPS00000001" in lists.names
        assert [column.name for column in lists.setups["0.4.25.9.0.255"]][1] == ALERT_NAME


async def test_without_a_visit_an_alert_speaks_for_itself_once_the_meter_is_known(tmp_path: Path) -> None:
    async with pushing(tmp_path) as site:
        site.side.sim.occur(Event.MAGNET)
        assert not await site.bring(), "nobody knows yet what it calls itself"
        await site.visit()
        site.side.clock.ahead_ms += 10_000
        site.side.sim.occur(Event.COVER_OPEN)
        assert await site.bring()
        assert site.pushed[-1].word is not None
        assert site.pushed[-1].word.set_bits() == (81, 83)


async def test_a_visit_reads_the_status_word_for_what_was_lost(tmp_path: Path) -> None:
    async with pushing(tmp_path) as site:
        site.side.sim.occur(Event.MAGNET)
        events = [event for event in await site.visit() if isinstance(event, StatusSeen)]
        assert [event.word.set_bits() for event in events] == [(81,)]
        assert events[0].at_s is None


async def test_a_meter_whose_pushes_are_not_taken_is_asked_nothing_for_them(tmp_path: Path) -> None:
    async with joined(tmp_path, days=0.1) as side:
        events = await side.visit(ReadValues())
        assert not [event for event in events if isinstance(event, StatusSeen)]
        assert not [name for name in side.shelf.values if name.startswith("dlms/pushes")]
