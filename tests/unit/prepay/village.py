"""Entries for the tests of prepay: a worked household, and generated sets that collide and contradict themselves."""

import hashlib

from hypothesis import strategies as st

from prepay.entries import (
    Adjustment,
    AdjustmentReason,
    Assignment,
    CarriedInstallation,
    CarriedPeriod,
    Credit,
    Entry,
    Opening,
    PointReason,
    Reached,
    RegisterPoint,
    Release,
    Statement,
    Tariff,
)

ACCOUNT = "house-7"
CLASS = "domestic"
METER = "SN-1001"
HOUR_MS = 3_600_000
BOOT = b"boot0001"


def entry_id(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def opening(account: str = ACCOUNT, *, tariff_class: str = CLASS) -> Opening:
    return Opening(account=account, currency="INR", exponent=2, tariff_class=tariff_class, opened_at_ms=0)


def credit(name: str, amount_minor: int, *, at_ms: int = 0, account: str = ACCOUNT) -> Credit:
    return Credit(id=entry_id(name), account=account, amount_minor=amount_minor, issued_at_ms=at_ms)


def adjustment(name: str, amount_minor: int, *, at_ms: int = 0) -> Adjustment:
    return Adjustment(
        id=entry_id(name),
        account=ACCOUNT,
        amount_minor=amount_minor,
        reason=AdjustmentReason.CORRECTION,
        refers_to=b"",
        issued_at_ms=at_ms,
    )


def tariff(
    name: str, price: int, *, digits: int = 0, after: str | None = None, from_ms: int = 0, scope: str = CLASS
) -> Tariff:
    return Tariff(
        id=entry_id(name),
        scope=scope,
        predecessor=entry_id(after) if after else b"",
        price=price,
        price_digits=digits,
        effective_from_ms=from_ms,
    )


def assignment(
    *,
    serial: str = METER,
    installation: int = 1,
    opening_wh: int = 0,
    from_ms: int = 0,
    rated_power_w: int = 5_000,
    modulus_wh: int = 0,
) -> Assignment:
    return Assignment(
        account=ACCOUNT,
        meter_serial=serial,
        installation=installation,
        opening_wh=opening_wh,
        from_ms=from_ms,
        rated_power_w=rated_power_w,
        register_step_wh=10,
        register_modulus_wh=modulus_wh,
    )


def release(closing_wh: int, until_ms: int, *, installation: int = 1) -> Release:
    return Release(
        account=ACCOUNT, meter_serial=METER, installation=installation, closing_wh=closing_wh, until_ms=until_ms
    )


def point(
    at_ms: int, energy_wh: int, *, serial: str = METER, installation: int = 1, tick_ms: int | None = None
) -> RegisterPoint:
    return RegisterPoint(
        meter_serial=serial,
        installation=installation,
        boot_id=BOOT,
        tick_ms=at_ms if tick_ms is None else tick_ms,
        taken_at_ms=at_ms,
        energy_wh=energy_wh,
        reason=PointReason.HOURLY,
    )


ids = st.sampled_from([entry_id(name) for name in "abcd"])
instants_ms = st.one_of(st.sampled_from([0, HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]), st.integers(0, 5 * HOUR_MS))
registers_wh = st.one_of(st.integers(0, 20_000), st.sampled_from([0, 999, 1_000, 10**9, 10**15]))
serials = st.sampled_from([METER, "SN-1002"])
installations = st.sampled_from([1, 2])

points = st.builds(
    RegisterPoint,
    meter_serial=serials,
    installation=installations,
    boot_id=st.sampled_from([BOOT, b"boot0002"]),
    tick_ms=st.integers(0, 40),
    taken_at_ms=instants_ms,
    energy_wh=registers_wh,
    reason=st.sampled_from(PointReason),
)
credit_entries = st.builds(
    Credit, id=ids, account=st.just(ACCOUNT), amount_minor=st.integers(1, 10_000), issued_at_ms=instants_ms
)
entries: st.SearchStrategy[Entry] = st.one_of(
    points,
    points,
    points,
    credit_entries,
    st.builds(
        Opening,
        account=st.just(ACCOUNT),
        currency=st.sampled_from(["INR", "XOF"]),
        exponent=st.sampled_from([0, 2]),
        tariff_class=st.sampled_from([CLASS, "shop"]),
        opened_at_ms=instants_ms,
    ),
    st.builds(
        Adjustment,
        id=ids,
        account=st.just(ACCOUNT),
        amount_minor=st.integers(-10_000, 10_000),
        reason=st.sampled_from(AdjustmentReason),
        refers_to=st.just(b""),
        issued_at_ms=instants_ms,
    ),
    st.builds(
        Tariff,
        id=ids,
        scope=st.sampled_from([CLASS, "shop", ACCOUNT]),
        predecessor=st.one_of(st.just(b""), ids),
        price=st.integers(0, 99_999),
        price_digits=st.integers(0, 3),
        effective_from_ms=instants_ms,
    ),
    st.builds(
        Assignment,
        account=st.just(ACCOUNT),
        meter_serial=serials,
        installation=installations,
        opening_wh=st.integers(0, 2_000),
        from_ms=st.one_of(st.just(0), instants_ms),
        rated_power_w=st.sampled_from([1_000, 5_000, 10**9]),
        register_step_wh=st.sampled_from([1, 100]),
        register_modulus_wh=st.sampled_from([0, 1_000, 10_000]),
    ),
    st.builds(
        Release,
        account=st.just(ACCOUNT),
        meter_serial=serials,
        installation=installations,
        closing_wh=st.integers(0, 20_000),
        until_ms=instants_ms,
    ),
)
"""Entries from so small a world that repetitions, contradictions, gaps and absurd registers are frequent."""

quarter_hourly = st.builds(
    lambda quarter, step_wh, tick_ms: point(quarter * 900_000, quarter * 250 + step_wh, tick_ms=tick_ms),
    st.integers(0, 20),
    st.sampled_from([0, 0, 0, 100, 50_000]),
    st.integers(0, 12),
)
"""Points of one installation, mostly on a plausible line, with keys that collide."""

statements = st.builds(
    Statement,
    account=st.just(ACCOUNT),
    closed_at_ms=instants_ms,
    issued_at_ms=instants_ms,
    predecessor=st.just(b""),
    covers=st.just(bytes(32)),
    points_count=st.integers(0, 3),
    quarantined_count=st.integers(0, 3),
    settled_wh=st.integers(0, 3),
    settled_minor=st.integers(0, 3),
    unpriced_wh=st.integers(0, 3),
    released_wh=st.integers(0, 3),
    installations=st.lists(
        st.builds(
            CarriedInstallation,
            meter_serial=serials,
            installation=installations,
            charged_wh=st.integers(0, 2_000),
            believed=st.builds(Reached, instants_ms, st.integers(0, 20_000)),
            candidate=st.one_of(st.none(), st.builds(Reached, instants_ms, st.integers(0, 20_000))),
        ),
        max_size=2,
        unique_by=lambda item: (item.meter_serial, item.installation),
    ).map(tuple),
    periods=st.lists(
        st.builds(
            CarriedPeriod,
            from_ms=instants_ms,
            tariff=ids,
            price=st.integers(0, 99_999),
            price_digits=st.integers(0, 3),
            energy_wh=st.integers(0, 2_000),
        ),
        max_size=2,
    ).map(tuple),
)
"""Statements that nobody who holds the points would make: any signed one counts."""

household: st.SearchStrategy[list[Entry]] = st.builds(
    lambda base, readings, rest: [*base, *readings, *rest],
    st.just([opening(), tariff("a", 47_325, digits=2), assignment()]),
    st.lists(quarter_hourly, max_size=20),
    st.lists(entries, max_size=25),
)
"""A set in which most energy is assigned and priced, with anything on top."""
