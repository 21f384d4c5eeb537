"""Means with their intervals: as many digits as the interval leaves, and no more."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.report.listing import size
from regtopk_bench.report.numbers import bit_rate, byte_unit, duration, number, short
from regtopk_bench.results.summary import Estimate


def of(mean: float, half_width: float | None = None) -> Estimate:
    return Estimate(mean=mean, half_width=half_width, n=3)


@pytest.mark.parametrize(
    ("mean", "half_width", "text"),
    [
        (-28.881, 1.8432, "-28.9±1.8"),
        (-28.6543, 0.0512, "-28.654±0.051"),
        (-18.0, 12.706, "-18±13"),
        (12345.6, 678.9, "12346±679"),
        (1.0, 0.0996, "1.00±0.10"),
        (-0.001, 0.5, "0.00±0.50"),
        (0.12345678, 1.2e-8, "0.123456780±1.2e-08"),
        (1.2346e-9, 3.4e-11, "1.235e-09±3.4e-11"),
        (-3e-11, 3.4e-8, "0±3.4e-08"),
        (1.1299e12, 3.1e10, "1.130e+12±3.1e+10"),
        (75.0, 0.0, "75.00±0"),
        (75.0, None, "75.00"),
        (math.nan, None, "–"),
        (math.inf, 1.0, "–"),
    ],
)
def test_a_mean_is_as_fine_as_two_digits_of_its_interval(
    mean: float, half_width: float | None, text: str
) -> None:
    assert number(of(mean, half_width), places=2) == text


@pytest.mark.parametrize(
    ("mean", "text"),
    [(363.24, "363.2"), (7.2e-5, "7.2e-05"), (0.0, "0"), (-0.0, "0"), (1e300, "1e+300")],
)
def test_without_an_interval_it_has_four_digits(mean: float, text: str) -> None:
    assert number(of(mean)) == text


@pytest.mark.parametrize(
    ("mean", "half_width", "text"),
    [
        (0.4, 0.1, "+0.40±0.10"),
        (-0.4, 0.1, "-0.40±0.10"),
        (0.0, 0.0, "0"),
        (0.0, None, "0"),
        (0.0, 0.1, "+0.00±0.10"),
        (1.0, None, "+1"),
        (-1.25, 0.0, "-1.25±0"),
    ],
)
def test_a_difference_has_its_sign(mean: float, half_width: float | None, text: str) -> None:
    assert number(of(mean, half_width), sign="+") == text


@given(st.floats(-1e12, 1e12), st.floats(1e-3, 1e3), st.integers(-12, 12))
def test_no_digit_of_an_interval_or_its_mean_is_lost(
    mean: float, mantissa: float, exponent: int
) -> None:
    half_width = mantissa * 10.0**exponent
    shown, around = number(of(mean, half_width)).split("±")
    assert float(around) == pytest.approx(half_width, rel=0.05)
    assert abs(float(shown) - mean) <= 0.051 * half_width + 1e-12 * abs(mean)
    assert Decimal(shown) != 0 or not shown.startswith("-")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (10**15, "1e+03 TB")],
)
def test_bytes_have_a_unit_with_three_digits_before_the_point(count: int, text: str) -> None:
    assert size(count).text == text
    unit, factor = byte_unit(count)
    assert text.endswith(f" {unit}")
    assert float(text.split()[0]) == pytest.approx(count / factor, rel=0.005)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5 bit/s"),
        (9600.0, "9.6 kbit/s"),
        (999.4e6, "999 Mbit/s"),
        (999.6e6, "1 Gbit/s"),
        (12.345e9, "12.3 Gbit/s"),
        (1e15, "1e+03 Tbit/s"),
    ],
)
def test_bandwidths(value: float, text: str) -> None:
    assert bit_rate(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (1.234e-5, "0.0123 ms"),
        (0.35, "350 ms"),
        (1.51, "1.51 s"),
        (119.0, "119 s"),
        (432.0, "7.2 min"),
        (1e6, "278 h"),
        (1e9, "277778 h"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_long_integer_part_is_whole() -> None:
    assert (short(1234.5, 3), short(12.345, 3)) == ("1234", "12.3")
