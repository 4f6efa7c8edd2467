"""Lesson 04's coin: numbers that one can check by hand, the shown code, and both rates."""

import contextlib
import io
import math
from dataclasses import replace

import pytest

from gmrl_lab.explorers import coin
from gmrl_lab.explorers.coin import BENDS, THROWS, Result, Settings, code, compute, draw, outcomes
from gmrl_lab.explorers.controls import Controls


def result_of(settings: Settings) -> Result:
    ((progress, result),) = compute(settings, 0)
    assert progress == 1.0
    return result


def test_two_throws_by_hand() -> None:
    result = result_of(Settings())
    assert result.shares == (0.0, 0.5, 1.0)
    assert result.chances == (0.25, 0.5, 0.25)
    assert result.biases[1] == 0.125
    assert "the mean of f is 0.375, f of the mean is 0.25, the bias 0.125" in draw(result)[1]


@pytest.mark.parametrize("bend", BENDS)
def test_the_shown_code_reproduces_the_numbers(bend: str) -> None:
    settings = Settings(bend, 16, 0.3)
    names: dict[str, float] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 0), names)
    result = result_of(settings)
    assert names["bias"] == pytest.approx(result.biases[4], abs=1e-14)
    assert names["error"] == pytest.approx(result.errors[4])


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_curvature_explains_all_of_a_parabola_and_nothing_is_left_of_a_line(p: float) -> None:
    for bend in ("x²", "x(1−x)", "x"):
        for n, bias in zip(THROWS, result_of(Settings(bend, 2, p)).biases, strict=True):
            assert bias == pytest.approx(0.5 * BENDS[bend].curvature * p * (1 - p) / n, abs=1e-14)


def test_a_kink_attains_the_slower_rate() -> None:
    """|x − ½| at p = ½: bias = steepness · typical error, slope −½; the parabola stays far below its own."""
    result = result_of(Settings("|x−½|"))
    assert result.biases == pytest.approx(result.errors)
    assert math.log2(result.biases[-1] / result.biases[3]) / 3 == pytest.approx(-0.5, abs=0.02)
    smooth = result_of(Settings())
    assert smooth.biases[-1] < 0.05 * BENDS["x²"].lipschitz * smooth.errors[-1]
    assert "a kink has no curvature" in draw(result)[1]


def test_steepness_and_curvature_are_those_of_the_function() -> None:
    for bend in BENDS.values():
        slopes = [(bend.f((i + 1) / 500) - bend.f(i / 500)) * 500 for i in range(500)]
        assert max(map(abs, slopes)) <= bend.lipschitz * (1 + 1e-9)
        assert max(map(abs, slopes)) > 0.99 * bend.lipschitz
        if not math.isnan(bend.curvature):
            assert (bend.f(0.6) + bend.f(0.4) - 2 * bend.f(0.5)) / 0.01 == pytest.approx(bend.curvature)


def test_chances_sum_to_one() -> None:
    for n in THROWS:
        assert math.fsum(outcomes(n, 0.1)[1]) == pytest.approx(1)


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field: str) -> None:
    explorer = coin()
    for value in explorer.controls.ranges()[field]:
        explorer.run(**{field: value})
        assert explorer.shown.settings == replace(Settings(), **{field: value})
