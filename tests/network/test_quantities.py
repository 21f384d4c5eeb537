from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtopk_bench.network import quantities


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1bit", 1.0),
        ("9600 bit", 9600.0),
        ("56kbit", 56e3),
        ("100Mbit", 100e6),
        ("2.5gbit", 2.5e9),
        ("1tbit", 1e12),
        ("50gbyte", 400e9),
        ("1kbyte", 8e3),
    ],
)
def test_bandwidths_are_of_bits_and_decimal(text: str, value: float) -> None:
    assert quantities.bits_per_second(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("2s", 2.0), ("180ms", 0.18), ("50us", 50e-6), ("50µs", 50e-6), ("5ns", 5e-9)],
)
def test_times(text: str, value: float) -> None:
    assert quantities.seconds(text) == value


def test_they_are_written_in_the_largest_unit_that_fits() -> None:
    assert quantities.written_bandwidth(25e9) == "25gbit"
    assert quantities.written_bandwidth(999e6) == "999mbit"
    assert quantities.written_seconds(0.18) == "180ms"
    assert quantities.written_seconds(1.5e-10) == "0.15ns"
    assert quantities.written_seconds(0.0) == "0ns"


@given(value=st.floats(1e-12, 1e20))
def test_what_is_written_is_read_to_the_last_bit(value: float) -> None:
    assert quantities.bits_per_second(quantities.written_bandwidth(value)) == value
    assert quantities.seconds(quantities.written_seconds(value)) == value
