"""How every room talks to the broker: messages in by groups, acknowledged after the commit; messages out as effects.

A message that a room could not commit, because the database is away, is not acknowledged and not forgotten: the same
group is tried again. What cannot be sent is dropped, since whoever waits for it repeats what it is the answer to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import takewhile
from random import Random

import structlog

from cloud.effects import Publish
from wire.runtime.backoff import Backoff
from wire.runtime.errors import BusyError, PublishRefusedError, UnavailableError
from wire.runtime.mqtt import Connected, Event, Lost, Message, MqttSession

Settled = Callable[[int, bool], None]
"""Told of a publish by its number whether it is done with, or to be tried again."""
RETRY_MS = 100
RETRY_MS_MAX = 10_000
_log = structlog.get_logger()


async def take_in(
    session: MqttSession,
    handle: Callable[[Sequence[Message]], Awaitable[None]],
    *,
    group_max: int,
    rng: Random,
) -> None:
    """Hand groups of messages to `handle` until cancelled; acknowledge each group once it returns.

    Args:
        session: Where they come from.
        handle: Commits a group; may raise `UnavailableError` when nothing was committed.
        group_max: Messages in a group at most.
        rng: For jitter.
    """
    backoff = Backoff(rng=rng, delay_ms=RETRY_MS, delay_ms_max=RETRY_MS_MAX)
    while True:
        messages = await session.next_batch(group_max)
        while True:
            try:
                await handle(messages)
            except UnavailableError as error:
                delay_ms = backoff.next_delay_ms()
                _log.warning("group.waits", messages=len(messages), problem=str(error), retry_ms=delay_ms)
                await asyncio.sleep(delay_ms / 1_000)
            else:
                break
        backoff.reset()
        session.ack(messages)


async def send(session: MqttSession, effects: Iterable[Publish]) -> None:
    """Publish effects; waits where the window is full, gives up where there is no connection."""
    for effect in effects:
        try:
            future = session.try_publish(effect.topic, effect.sealed)
        except BusyError:
            await settle(session, effect)
        except UnavailableError:
            return
        else:
            future.add_done_callback(_note_refusal)


async def settle(session: MqttSession, effect: Publish) -> bool:
    """Publish one effect and wait for the broker; False if it is to be tried again.

    One that the broker refuses is logged and done with: the same would be refused again, and others wait behind it.
    """
    try:
        await session.publish(effect.topic, effect.sealed)
    except UnavailableError:
        return False
    except PublishRefusedError as error:
        _log.error("publish.refused", topic=error.topic, problem=error.problem)
    return True


async def send_in_order(session: MqttSession, numbered: Sequence[tuple[int, Publish]]) -> list[int]:
    """Publish effects in their order, without waiting for each; return the numbers of those that are done with.

    What follows one that must be tried again is tried again too.
    """
    settled = await asyncio.gather(*(settle(session, effect) for _, effect in numbered))
    done_count = sum(1 for _ in takewhile(bool, settled))
    return [number for number, _ in numbered[:done_count]]


def hand_over(session: MqttSession, numbered: Iterable[tuple[int, Publish]], settled: Settled) -> bool:
    """Publish effects in their order without waiting at all, and have it told what becomes of each.

    Returns:
        Whether all were handed over; what was not, for want of a connection or of room, is settled as such.
    """
    all_handed_over = True
    for number, effect in numbered:
        try:
            future = session.try_publish(effect.topic, effect.sealed) if all_handed_over else None
        except UnavailableError:
            future = None
        if future is None:
            # What follows waits too, so that the order is kept.
            all_handed_over = False
            settled(number, False)
        else:
            future.add_done_callback(partial(_settle, number, settled))
    return all_handed_over


def _settle(number: int, settled: Settled, future: asyncio.Future[None]) -> None:
    error = None if future.cancelled() else future.exception()
    # What the broker refuses it would refuse again.
    _note_refusal(future)
    settled(number, not future.cancelled() and (error is None or isinstance(error, PublishRefusedError)))


def log_event(event: Event) -> None:
    """Log what a session says of its connection."""
    match event:
        case Connected():
            _log.info("broker.connected")
        case Lost():
            _log.warning("broker.lost", cause=event.cause, detail=event.detail, remedy=event.remedy)
        case _:
            _log.warning("broker.subscription_refused", filter=event.topic_filter, remedy=event.remedy)


def _note_refusal(future: asyncio.Future[None]) -> None:
    if future.cancelled():
        return
    error = future.exception()
    if isinstance(error, PublishRefusedError):
        _log.error("publish.refused", topic=error.topic, problem=error.problem)
