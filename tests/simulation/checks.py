"""What must hold in every world, during it and in the end; each violation is one line that names what and where."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial

import sqlalchemy as sa

from cloud.commands.core.lifecycle import FINAL
from cloud.headend.adapters.down_facts import drop_superseded
from cloud.meterdata.adapters.projector import project_all
from cloud.meterdata.adapters.queries import readings, waiting_boots
from cloud.meterdata.core.meter_day import Reading
from cloud.prepaid.adapters.accounts import balance_of
from prepay.balance import BALANCE_VERSION, balance
from prepay.closing import is_covered, latest_close_ms
from prepay.entries import Entry, Statement
from prepay.holds import Hold
from prepay.identity import entry_digest
from tests.simulation.box import Box
from tests.simulation.cloud_side import Cloud
from tests.simulation.network import Network
from tests.simulation.parties import UTILITY
from tests.simulation.truth import Item, items_of
from wire import codec
from wire.facts import EntryFact, Event, Receipt, Stage, UpFact, fact_id
from wire.messages import Command, Disconnect, Reconnect, State, effect_group
from wire.readings import Channel, Row


def violations(boxes: list[Box], cloud: Cloud, network: Network) -> Iterator[str]:
    """Return what does not hold in a world that came to rest."""
    held = {box.name: _items_held(cloud, box.name) for box in boxes}
    for box in boxes:
        yield from box.violations
        yield from _complete(box, cloud, held[box.name])
        yield from _tables_agree(box, cloud, held[box.name])
        yield from journal_in_order(box)
        yield from relays_as_decided(box)
        yield from _balances_agree(box, cloud)
        yield from _facts_agree(box, cloud)
        yield from _rows_projected(box, cloud, held[box.name])
    yield from _commands_are_over(boxes, cloud)
    yield from _refusals_counted(boxes, cloud, network)


def _items_held(cloud: Cloud, gateway: str) -> set[Item]:
    """Return the rows and facts that the cloud's database has of a gateway."""
    query = "SELECT sealed FROM message WHERE gateway = ? AND quarantine_reason IS NULL"
    return {item for (sealed,) in cloud.looking.execute(query, (gateway,)) for item in items_of(sealed)}


def _complete(box: Box, cloud: Cloud, held: set[Item]) -> Iterator[str]:
    """Each row and fact that a surviving disk held is in the database, and nothing that no disk held."""
    sure = set(box.truth.sure)
    missing = sure - held - box.truth.dropped
    if cloud.was_set_back:
        missing -= box.truth.released
    if missing:
        yield f"{box.name}: the cloud lacks {len(missing)} of {len(sure)} items, such as {_named(min(missing))}"
    invented = held - sure - box.truth.possible
    if invented:
        yield f"{box.name}: the cloud has {len(invented)} items that no disk held, such as {_named(min(invented))}"


def _named(item: Item) -> str:
    channels, encoded = item
    return f"a row {codec.decode_strict(encoded)}" if channels else f"a fact {codec.decode_strict(encoded)}"


def _tables_agree(box: Box, cloud: Cloud, held: set[Item]) -> Iterator[str]:
    """The tables of facts hold exactly what the messages hold, each once."""
    facts: list[UpFact] = [codec.decode_as(encoded, UpFact) for channels, encoded in held if not channels]
    expected: dict[str, set[object]] = {
        "event": {(fact.boot, fact.serial) for fact in facts if isinstance(fact, Event)},
        "receipt": {codec.encode(fact) for fact in facts if isinstance(fact, Receipt)},
        "entry": {fact.entry for fact in facts if isinstance(fact, EntryFact)},
    }
    columns = {"event": "boot, serial", "receipt": "encoded", "entry": "encoded"}
    for table, wanted in expected.items():
        rows = cloud.looking.execute(f"SELECT {columns[table]} FROM {table} WHERE gateway = ?", (box.name,)).fetchall()
        found: list[object] = [tuple(row) if len(row) > 1 else row[0] for row in rows]
        if len(found) != len(set(found)):
            yield f"{box.name}: the table {table} has something twice"
        if set(found) != wanted:
            yield (
                f"{box.name}: the table {table} lacks {len(wanted - set(found))}"
                f" and has {len(set(found) - wanted)} too many"
            )


def journal_in_order(box: Box) -> Iterator[str]:
    """One start for each command, and none after a newer one of the same meter and effect."""
    commands: dict[bytes, Command] = {
        stored.id: codec.decode_as(stored.encoded, Command) for stored in box.store.commands()
    }
    newest: dict[tuple[str, str], int] = {}
    started: Counter[bytes] = Counter()
    finals: Counter[bytes] = Counter()
    for entry in box.store.journal():
        match entry:
            case ["started", bytes() as name]:
                started[name] += 1
                command = commands[name]
                group = effect_group(command.effect)
                if group not in {"relay", "limit"}:
                    continue
                if command.version <= newest.get((command.meter, group), 0):
                    yield f"{box.name}: {group} command {command.version} of {command.meter} ran after a newer one"
                newest[command.meter, group] = command.version
            case ["final", bytes() as name, _]:
                finals[name] += 1
            case _:
                pass
    for name, count in started.items():
        if count > 1:
            yield f"{box.name}: command {name.hex()} started {count} times"
    for name, count in finals.items():
        if count > 1:
            yield f"{box.name}: command {name.hex()} ended {count} times"


def relays_as_decided(box: Box) -> Iterator[str]:
    """Each relay is as the holds ask, and the utility's hold as the last relay command that was executed says."""
    assert box.station is not None
    executed: dict[str, Command] = {}
    for stored in box.store.commands():
        command: Command = codec.decode_as(stored.encoded, Command)
        done = stored.status == "final" and codec.decode_as(stored.receipt, Receipt).stage is Stage.EXECUTED
        if done and isinstance(command.effect, Disconnect | Reconnect):
            executed[command.meter] = max(command, executed.get(command.meter, command), key=lambda item: item.version)
    for meter, house in box.site.houses.items():
        holds = box.station.relays.holds(meter)
        if {(meter, int(hold)) for hold in holds.standing} != {row for row in box.store.holds() if row[0] == meter}:
            yield f"{box.name}: memory and disk differ on the holds of {meter}"
        if house.relay_closed != box.station.relays.wants_closed(meter):
            yield f"{box.name}: the relay of {meter} is not as its holds {list(holds.standing)} ask"
        if not box.truth.was_set_back:
            last = executed.get(meter)
            wanted = last is not None and isinstance(last.effect, Disconnect)
            if (Hold.UTILITY in holds) != wanted:
                yield f"{box.name}: the utility's hold on {meter} is not as the last command {last} says"


def _balances_agree(box: Box, cloud: Cloud) -> Iterator[str]:
    """Box and cloud compute the same from the same set; the incremental account agrees with the pure function."""
    assert box.station is not None
    stored: dict[str, list[Entry]] = defaultdict(list)
    for account, encoded in box.store.entries():
        stored[account].append(codec.decode_as(encoded, Entry))
    gone = cloud.lost_entries - cloud.issued_entries()
    lost_a_statement = {
        name for name in stored if any(isinstance(e, Statement) and entry_digest(e) in gone for e in stored[name])
    }
    if cloud.was_set_back:
        gone |= _released_points(box) - _points_of(cloud, box.name)
    for name, followed in box.station.credit.accounts():
        at_ms = max(cloud.clock.wall_ms(), followed.closed_at_ms)
        shown = followed.balance(at_ms)
        if shown != balance(BALANCE_VERSION, stored[name], account=name, at_ms=at_ms):
            yield f"{box.name}: the balance of {name} is not what its entries come to"
        covered = [entry for entry in stored[name] if is_covered(entry, followed.closed_at_ms)]
        if covered:
            yield f"{box.name}: {len(covered)} entries of {name} are on the disk that a statement stands for"
        yield from _cloud_entries_are_down(box, cloud, name, stored[name])
        theirs = cloud.transact(partial(balance_of, utility=UTILITY, account=name, at_ms=at_ms))
        # A box that closed by a statement that the cloud forgot agrees again from the next one on.
        if not box.truth.was_set_back and name not in lost_a_statement:
            kept = [entry for entry in stored[name] if entry_digest(entry) not in gone]
            mine = balance(BALANCE_VERSION, kept, account=name, at_ms=at_ms)
            if (mine.version, mine.digest, mine.amount_minor) != (theirs.version, theirs.digest, theirs.amount_minor):
                yield f"{box.name}: the box has {mine} for {name}, the cloud {theirs}"


def _cloud_entries_are_down(box: Box, cloud: Cloud, account: str, stored: list[Entry]) -> Iterator[str]:
    """A box has all that the cloud issued and no later statement stands for."""
    closed_at_ms = latest_close_ms(stored)
    query = "SELECT encoded FROM entry WHERE account = ? AND gateway IS NULL"
    issued: list[Entry] = [codec.decode_as(encoded, Entry) for (encoded,) in cloud.looking.execute(query, (account,))]
    lacking = [entry for entry in issued if entry not in stored and not is_covered(entry, closed_at_ms)]
    if lacking:
        yield f"{box.name}: lacks {len(lacking)} entries that the cloud issued for {account}"


def _facts_agree(box: Box, cloud: Cloud) -> Iterator[str]:
    """A hello would tell the cloud that the box holds what it believes."""
    assert box.station is not None
    if box.truth.was_set_back or cloud.was_set_back:
        return
    cloud.transact(partial(drop_superseded, utility=UTILITY))
    names = {name for (name,) in cloud.looking.execute("SELECT id FROM down_fact WHERE gateway = ?", (box.name,))}
    believed = 0
    for name in names:
        believed ^= int.from_bytes(name)
    if believed.to_bytes(16) != box.station.facts_held or names != {fact_id(item) for item in box.store.down_facts()}:
        yield f"{box.name}: holds other facts of the cloud than the cloud believes"


def _rows_projected(box: Box, cloud: Cloud, held: set[Item]) -> Iterator[str]:
    """The days of each meter hold each value that the messages state, once."""
    cloud.transact(project_all)
    waiting = {boot for _, boot in cloud.transact(lambda connection: waiting_boots(connection, UTILITY))}
    stated: set[tuple[bytes, int, str, bytes, int | None]] = set()
    for channels, encoded in held:
        if not channels:
            continue
        boot, row = codec.decode_as(encoded, tuple[bytes, Row])
        if boot not in waiting:
            columns = codec.decode_as(channels, list[Channel])
            stated |= {
                (boot, row.tick_ms, row.meter, channel.obis, value)
                for channel, value in zip(columns, row.values, strict=True)
            }
    found: list[tuple[bytes, int, str, bytes, int | None]] = []
    for meter in box.site.houses:
        for reading in cloud.transact(partial(_readings_of, meter=meter)):
            found.append((reading.source.boot, reading.tick_ms, meter, reading.channel.obis, reading.value))
            if reading.others:
                yield f"{box.name}: {meter} has several values at tick {reading.tick_ms}: {reading.others}"
    if len(found) != len(set(found)):
        yield f"{box.name}: meter data has a value twice"
    if set(found) != stated:
        yield (
            f"{box.name}: meter data lacks {len(stated - set(found))} values"
            f" and has {len(set(found) - stated)} that nobody stated"
        )


def _readings_of(connection: sa.Connection, meter: str) -> list[Reading]:
    return list(readings(connection, UTILITY, meter))


def _released_points(box: Box) -> set[bytes]:
    """Return the register points that were acknowledged and then dropped to make room."""
    facts = [codec.decode_as(encoded, UpFact) for channels, encoded in box.truth.released if not channels]
    return {hashlib.sha256(fact.entry).digest() for fact in facts if isinstance(fact, EntryFact)}


def _points_of(cloud: Cloud, gateway: str) -> set[bytes]:
    rows = cloud.looking.execute("SELECT encoded FROM entry WHERE gateway = ?", (gateway,))
    return {hashlib.sha256(encoded).digest() for (encoded,) in rows}


def _commands_are_over(boxes: list[Box], cloud: Cloud) -> Iterator[str]:
    """Each command is in one final state that its receipt gives, was told to whom it concerns, and stays so."""
    receipts: dict[bytes, list[Receipt]] = defaultdict(list)
    for (encoded,) in cloud.looking.execute("SELECT encoded FROM receipt"):
        receipt = codec.decode_as(encoded, Receipt)
        if receipt.stage.is_final:
            receipts[receipt.command].append(receipt)
    set_back = {box.name for box in boxes if box.truth.was_set_back}
    told = {(status.command, status.state) for status in cloud.told}
    rows = cloud.looking.execute("SELECT id, gateway, state, sent_at_ms, version FROM command").fetchall()
    for name, gateway, state, sent_at_ms, version in rows:
        if State(state) not in FINAL:
            yield f"command {name.hex()} (version {version}) of {gateway} is {state} in the end"
            continue
        values = receipts.get(name, [])
        if sent_at_ms is not None and not any(item.stage.value == state for item in values):
            yield f"command {name.hex()} is {state} without such a receipt"
        if len(values) > 1 and gateway not in set_back:
            yield f"command {name.hex()} has {len(values)} final receipts: {[item.stage for item in values]}"
        if (name, State(state)) not in told:
            yield f"nobody was told that command {name.hex()} is {state}"


def _refusals_counted(boxes: list[Box], cloud: Cloud, network: Network) -> Iterator[str]:
    """What was altered or came from strangers was refused and counted, once each where no count could be lost."""
    spoilt = network.traffic.spoilt
    query = (
        "SELECT coalesce(sum(count), 0) FROM refusal WHERE reason NOT IN ('expired', 'not-allowed', 'quota-exceeded')"
    )
    counted = cloud.looking.execute(query).fetchone()[0]
    if not (cloud.was_set_back or cloud.restarts) and counted != spoilt["cloud"]:
        yield f"the cloud was sent {spoilt['cloud']} messages that do not hold and counted {counted}"
