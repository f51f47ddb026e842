"""Hypothesis strategies for every struct of the contract, drawn from the whole range of each field.

A struct's constructor checks nothing, so the bounds are stated here a second time, from `wire.limits`: a field whose
bound changes in one place only fails the round trips.
"""

from hypothesis import strategies as st

from wire import facts, limits, messages, readings

_NAME_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

names = st.text(_NAME_ALPHABET, min_size=1, max_size=limits.NAME_BYTES_MAX)
meters_or_gateway = st.one_of(st.just(""), names)
id8 = st.binary(min_size=8, max_size=8)
id16 = st.binary(min_size=16, max_size=16)
digests = st.binary(min_size=32, max_size=32)
obis = st.binary(min_size=6, max_size=6)
scalers = st.integers(-12, 12)
units = st.integers(1, 255)
counters = st.integers(0, 2**53 - 1)
ticks_ms = st.integers(0, limits.TICK_MS_MAX)
times_ms = st.integers(limits.TIME_MS_MIN, limits.TIME_MS_MAX)
epochs = st.integers(1, 2**31)
versions = st.integers(1, 2**63 - 1)
values = st.one_of(st.integers(-10_000, 10_000), st.integers(-limits.VALUE_MAX, limits.VALUE_MAX))
details = st.text(max_size=limits.DETAIL_CHARS_MAX)
relay_states = st.sampled_from([True, False, None])
qualities = st.sampled_from([readings.QUALITY_SUSPECT, "3.0.0", "1.4.8", "99.999.9999"])
currencies = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3)
amounts_minor = st.integers(0, 10**12)

channels = st.builds(readings.Channel, obis, scalers, units)


@st.composite
def rows_of(draw: st.DrawFn, *, width: int, rows_max: int = 12) -> list[readings.Row]:
    """Draw rows of `width` channels in any order: missing values, flagged ones, the same meter and tick twice."""
    return draw(st.lists(_row(width), min_size=1, max_size=rows_max))


@st.composite
def _row(draw: st.DrawFn, width: int) -> readings.Row:
    row_values = draw(st.lists(st.one_of(st.none(), values), min_size=width, max_size=width))
    present = [index for index, value in enumerate(row_values) if value is not None]
    flagged = draw(st.lists(st.sampled_from(present), unique=True, max_size=3)) if present else []
    return readings.Row(
        draw(names),
        draw(ticks_ms),
        list(row_values),
        [(index, draw(qualities)) for index in sorted(flagged)],
    )


@st.composite
def blocks(draw: st.DrawFn) -> readings.Readings:
    """Draw a block as a gateway makes it."""
    of = draw(st.lists(channels, min_size=1, max_size=5))
    return readings.to_block(draw(id8), of, draw(rows_of(width=len(of))))


@st.composite
def profiles(draw: st.DrawFn) -> readings.Profile:
    """Draw rows of a meter's profile as a gateway makes a fact of them."""
    of = draw(st.lists(channels, min_size=1, max_size=5))
    instants_s = draw(st.lists(st.integers(0, readings.CAPTURED_S_MAX), min_size=1, max_size=12, unique=True))
    rows = [readings.CapturedRow(instant_s, draw(_row(len(of))).values) for instant_s in instants_s]
    return readings.to_profile(
        rows,
        meter=draw(names),
        serial=draw(st.text(max_size=32)),
        profile=draw(obis),
        channels=of,
        boot=draw(id8),
        tick_ms=draw(ticks_ms),
    )


clock_facts = st.builds(
    facts.ClockFact,
    boot=id8,
    tick_ms=ticks_ms,
    utc_ms=times_ms,
    error_ms=counters,
    source=st.sampled_from(facts.TimeSource),
)
events = st.builds(
    facts.Event,
    boot=id8,
    tick_ms=ticks_ms,
    serial=counters,
    meter=meters_or_gateway,
    code=st.lists(st.integers(0, 999), min_size=4, max_size=4).map(lambda parts: ".".join(map(str, parts))),
    detail=details,
)
read_values = st.builds(facts.ReadValue, obis, scalers, units, st.one_of(st.none(), values))
meter_events = st.builds(
    facts.MeterEvent,
    meter=names,
    log=obis,
    captured_s=st.integers(0, readings.CAPTURED_S_MAX),
    number=st.integers(0, 0xFFFF),
    code=st.sampled_from(["", "3.26.0.85"]),
    values=st.lists(read_values, max_size=4),
    boot=id8,
    tick_ms=ticks_ms,
)
receipts = st.builds(
    facts.Receipt,
    command=id16,
    meter=meters_or_gateway,
    stage=st.sampled_from(facts.Stage),
    boot=id8,
    tick_ms=ticks_ms,
    detail=details,
    relay_closed=relay_states,
    values=st.lists(read_values, max_size=4),
    journal_index=counters,
    journal_digest=digests,
)
facts_held = st.builds(
    facts.FactsHeld,
    facts=st.lists(id16, min_size=1, max_size=limits.FACTS_PER_DOWN_MESSAGE_MAX),
    boot=id8,
    tick_ms=ticks_ms,
)
entry_facts = st.builds(
    facts.EntryFact, account=names, entry=st.binary(min_size=1, max_size=limits.DOWN_FACT_BYTES_MAX)
)
metrics = st.builds(facts.Metric, st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=40), values)
health_facts = st.builds(
    facts.Health,
    boot=id8,
    tick_ms=ticks_ms,
    meter=meters_or_gateway,
    metrics=st.lists(metrics, min_size=1, max_size=6),
)
line_health_facts = st.builds(
    facts.LineHealth,
    boot=id8,
    tick_ms=ticks_ms,
    line=names,
    metrics=st.lists(metrics, min_size=1, max_size=6),
)
up_facts = st.one_of(
    blocks(),
    profiles(),
    clock_facts,
    events,
    meter_events,
    receipts,
    facts_held,
    entry_facts,
    health_facts,
    line_health_facts,
)

prepaid_policies = st.builds(
    facts.PrepaidPolicy,
    account=names,
    meter=names,
    version=counters,
    decides=st.sampled_from(["box", "cloud", "external"]),
    currency=currencies,
    emergency_minor=amounts_minor,
    low_minor=amounts_minor,
)
down_facts = st.one_of(
    st.builds(facts.EntryFact, account=names, entry=st.binary(min_size=1, max_size=900)), prepaid_policies
)

effects = st.one_of(
    st.just(messages.Disconnect()),
    st.just(messages.Reconnect()),
    st.builds(messages.Limit, st.one_of(st.none(), st.integers(0, 10**9))),
    st.builds(messages.Read, st.lists(obis, max_size=limits.CHANNELS_PER_BLOCK_MAX)),
    st.just(messages.Ping()),
)
hellos = st.builds(
    messages.Hello,
    nonce=id16,
    software=st.text(max_size=40),
    boot=id8,
    store=id8,
    tick_ms=ticks_ms,
    journal_index=counters,
    journal_digest=digests,
    facts_held=id16,
    epoch=st.integers(0, 2**31),
    meters=st.lists(names, max_size=20),
)
floors = st.builds(messages.Floor, meters_or_gateway, st.sampled_from(["relay", "limit", "read", "ping"]), versions)
welcomes = st.builds(
    messages.Welcome,
    nonce=id16,
    cloud_utc_ms=times_ms,
    epoch=epochs,
    window=st.integers(1, limits.WINDOW_MAX),
    restores=st.lists(st.builds(messages.Restore, epochs, counters), max_size=limits.RESTORES_MAX),
    floors=st.lists(floors, max_size=10),
)
batches = st.builds(
    messages.Batch,
    store=id8,
    index=counters,
    deflated=st.booleans(),
    body=st.binary(min_size=1, max_size=300),
)
acks = st.builds(
    messages.Ack,
    epoch=epochs,
    position=counters,
    committed=st.lists(digests, max_size=5),
    quarantined=st.lists(
        st.builds(messages.Quarantined, digests, st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=32)),
        max_size=5,
    ),
)
facts_messages = st.builds(
    messages.Facts, facts=st.lists(down_facts.map(facts.encode_down_fact), min_size=1, max_size=5)
)
commands = st.builds(
    messages.Command,
    id=id16,
    meter=meters_or_gateway,
    version=versions,
    issued_at_ms=times_ms,
    not_after_ms=times_ms,
    issuer=names,
    effect=effects,
)
requests = st.builds(
    messages.Request,
    id=id16,
    issued_at_ms=times_ms,
    not_after_ms=times_ms,
    meters=st.lists(names, min_size=1, max_size=20),
    effect=effects,
)
statuses = st.builds(
    messages.Status,
    request=id16,
    command=st.binary(max_size=16),
    meter=meters_or_gateway,
    state=st.sampled_from(messages.State),
    at_ms=times_ms,
    detail=details,
    relay_closed=relay_states,
)
any_message = st.one_of(hellos, welcomes, batches, acks, facts_messages, commands, requests, statuses)
