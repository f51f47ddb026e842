"""Money and prices as integers, with the one place where a fraction of a minor unit is rounded.

An amount is a whole number of minor units of the account's currency; how many of them make a major unit is data
(ISO 4217 exponent). A price is a decimal fraction of minor units per 1000 Wh, held as two integers, so that
4.7325 per kWh is exact. Amounts are rounded half up: a charge is never negative, a bill rounded so can be checked with
a pencil, and because each period and band is rounded once there is no long sum whose bias half-even would remove.
What is charged, and over which energy, is left to `prepay.balance`.
"""

import re
from dataclasses import dataclass

WH_PER_KWH = 1000
EXPONENT_MAX = 4
PRICE_DIGITS_MAX = 9

_DECIMAL = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,18}))?")


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency as an account keeps it."""

    code: str
    """ISO 4217, three capital letters."""
    exponent: int
    """Decimal digits of the minor unit: 2 for INR, 0 for XOF."""


NO_CURRENCY = Currency("XXX", 0)
"""ISO 4217's code for no currency: the account's opening has not arrived."""


def round_half_up(numerator: int, denominator: int) -> int:
    """Return the whole number nearest to a fraction that is not negative; a half goes up."""
    assert numerator >= 0
    assert denominator > 0
    return (2 * numerator + denominator) // (2 * denominator)


def charge_minor(energy_wh: int, *, price: int, price_digits: int) -> int:
    """Return what some energy costs, in minor units, rounded once.

    Args:
        energy_wh: Cumulative energy of one period and band.
        price: Minor units per 1000 Wh times 10 to the power `price_digits`.
        price_digits: Decimal digits in `price`.
    """
    return round_half_up(energy_wh * price, WH_PER_KWH * 10**price_digits)


def amount_text(amount_minor: int, currency: Currency) -> str:
    """Write an amount for people, like `-0.50 INR`."""
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(currency.exponent + 1, "0")
    whole = digits[: len(digits) - currency.exponent]
    fraction = digits[len(digits) - currency.exponent :]
    return f"{sign}{whole}{'.' if fraction else ''}{fraction} {currency.code}"


def amount_minor(text: str, currency: Currency) -> int:
    """Read a decimal amount of major units, like `12.50`.

    Raises:
        ValueError: Not a plain decimal number, or finer than the currency's minor unit.
    """
    negative, digits, places = _decimal(text)
    if places > currency.exponent:
        raise ValueError(f"{text!r} is finer than the minor unit of {currency.code}")
    amount: int = digits * 10 ** (currency.exponent - places)
    return -amount if negative else amount


def price_parts(text: str, currency: Currency) -> tuple[int, int]:
    """Read a price in major units per kWh, like `4.7325`, as `(price, price_digits)` of a tariff.

    Raises:
        ValueError: Not a plain decimal number, negative, or with more digits than a tariff holds.
    """
    negative, digits, places = _decimal(text)
    if negative:
        raise ValueError(f"{text!r} is a negative price")
    price_digits = max(places - currency.exponent, 0)
    if price_digits > PRICE_DIGITS_MAX:
        raise ValueError(f"{text!r} has more than {PRICE_DIGITS_MAX} digits after the minor unit")
    return digits * 10 ** (price_digits + currency.exponent - places), price_digits


def _decimal(text: str) -> tuple[bool, int, int]:
    """Split a plain decimal number into its sign, its digits as one integer, and its places."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a plain decimal number")
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    return sign == "-", int(whole + fraction), len(fraction)
