"""How numbers are written."""

import pytest

from metaug.reporting.html import interval, p_value, signed

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.254, "+1.25"),
        (-0.0414, "−0.041"),
        (0.9996, "+1.00"),
        (float("inf"), "+∞"),
        (NAN, "—"),
    ],
)
def test_a_difference_has_its_sign_and_few_decimals(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-1.42, -0.808, "[−1.42, −0.81]"),
        (-0.5, 0.25, "[−0.500, +0.250]"),
        (0.8, 1.62, "[+0.80, +1.62]"),
        (NAN, 1.0, ""),
    ],
)
def test_both_ends_of_an_interval_have_as_many_decimals(low: float, high: float, text: str) -> None:
    assert interval(low, high) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< 0.001"), (0.0225, "0.022"), (1.0, "1.000"), (NAN, "—")]
)
def test_p_values_have_three_decimals(p: float, text: str) -> None:
    assert p_value(p) == text
