"""Lesson 01's explorer: its numbers, its code, its speed, and every control moved through its range."""

import contextlib
import io
from dataclasses import replace

import pandas as pd
import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers import Controls, Explorer
from gmrl_lab.explorers.first_order import FIRST_STEPS, Result, Settings, beehive, code, compute, draw, table

UNIFORM = torch.zeros(2, 2, dtype=torch.float64)


def final(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


def split(result: Result) -> gl.metrics.MSESplit:
    return gl.mse_split(result.estimates, result.exact)


def test_the_hive_has_the_numbers_that_the_lesson_derives_by_hand() -> None:
    hive = beehive()
    assert gl.exact.value(hive, UNIFORM).tolist() == pytest.approx([2, 6])
    assert gl.exact.action_value(hive, UNIFORM).flatten().tolist() == pytest.approx([3, 1, 5, 7])
    assert gl.exact.occupancy(hive, UNIFORM).tolist() == pytest.approx([1.5, 0.5])
    assert gl.exact.gradient(hive, UNIFORM).flatten().tolist() == pytest.approx([0.75, -0.75, -0.25, 0.25])


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(4, "exact", 7, 0.5, 1.0, -2.0, 20),
        Settings(256, "noisy", 20, 0.9, n_trials=50),
        Settings(1024, n_trials=20),
    ],
    ids=["default", "exact values", "noisy values", "several pieces"],
)
def test_shown_code_reproduces_the_numbers(settings: Settings) -> None:
    result = final(settings, seed=3)
    names: dict[str, torch.Tensor] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code(settings, 3), names)
    torch.testing.assert_close(names["exact"], result.exact)
    torch.testing.assert_close(names["estimates"], result.estimates)
    assert "MSESplit" in printed.getvalue()


@pytest.mark.parametrize("baseline", ["none", "exact", "noisy"])
@pytest.mark.parametrize("gae_lambda", [1.0, 0.5])
def test_estimates_scatter_around_their_expectation(baseline: str, gae_lambda: float) -> None:
    """False alarm: eight standard errors on each of four coordinates, below 1e-14."""
    result = final(Settings(64, baseline, 5, gae_lambda, 0.5, -1.0, 200))
    error = result.estimates.std(0) / 200**0.5
    assert ((result.estimates.mean(0) - result.expected).abs() < 8 * error).all()


def test_more_trajectories_mean_less_variance_and_the_same_bias() -> None:
    few, many = (final(Settings(n, n_trials=200)) for n in (16, 256))
    assert split(few).variance / split(many).variance == pytest.approx(16, rel=0.4)
    torch.testing.assert_close(few.expected, many.expected)


def test_what_the_lesson_says_of_the_journeys() -> None:
    none, exact, noisy = (final(Settings(baseline=baseline)) for baseline in ("none", "exact", "noisy"))
    assert split(exact).variance < split(none).variance / 8
    assert split(noisy).variance > split(none).variance
    for result in (none, exact, noisy):
        torch.testing.assert_close(result.expected, result.exact, atol=1e-5, rtol=0)
    assert final(Settings(horizon=1)).estimates.abs().max() == 0
    assert final(Settings(horizon=1, baseline="exact")).expected[0, 0] == pytest.approx(0.5)
    myopic = final(Settings(gae_lambda=0.0)).expected
    assert myopic.flatten().tolist() == pytest.approx([0, 0, -0.5, 0.5], abs=1e-5)
    steady = final(Settings(gae_lambda=0.0, baseline="exact"))
    assert split(steady).variance < split(exact).variance / 2
    torch.testing.assert_close(steady.expected, steady.exact, atol=1e-5, rtol=0)


def test_every_control_through_its_range() -> None:
    start = Settings(n_trajectories=2, n_trials=20)
    for name, values in Controls(Settings).ranges().items():
        for value in values:
            settings = replace(start, **{name: value})
            result = final(settings)
            figure, summary = draw(result)
            assert result.estimates.shape == (settings.n_trials, 2, 2)
            assert torch.isfinite(result.estimates).all()
            assert "nan" not in summary
            assert f"|τ| = {settings.n_trajectories}," in summary
            assert [trace.name for trace in figure.data][3] == "exact ∇J"


def test_bars_add_up_and_points_are_the_estimates() -> None:
    result = final(Settings(horizon=2, n_trials=50))
    figure, summary = draw(result)
    heights = {trace.name: trace.y[0] for trace in figure.data if trace.type == "bar"}
    assert heights["bias² ± 95%"] + heights["variance"] == pytest.approx(heights["MSE"])
    assert list(figure.data[0].y) == pytest.approx(result.estimates.flatten(1).mT.flatten().tolist())
    assert "bias² 0.1 exactly" in summary


def test_table_has_a_row_for_each_coordinate() -> None:
    frame = table(final(Settings()))
    assert isinstance(frame, pd.DataFrame)
    assert list(zip(frame.state, frame.action)) == [(s, a) for s in ("bare", "full") for a in ("wait", "take")]
    assert frame.exact.tolist() == pytest.approx([0.75, -0.75, -0.25, 0.25])


def test_pieces_do_not_change_the_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = final(Settings(n_trials=20)).estimates
    monkeypatch.setattr("gmrl_lab.explorers.first_order.FIRST_STEPS", 2_000)
    assert len(list(compute(Settings(n_trials=20), 0))) > 3
    torch.testing.assert_close(final(Settings(n_trials=20)).estimates, whole)


@pytest.mark.parametrize("settings", [Settings(), Settings(1024, n_trials=200), Settings(1, "noisy", n_trials=200)])
def test_the_first_picture_is_bounded_work(settings: Settings) -> None:
    """What a slider waits for does not grow with the settings: two trials, or a fixed number of steps."""
    trials = len(next(compute(settings, 0))[1].estimates)
    assert trials == 2 or trials * settings.n_trajectories * settings.horizon <= FIRST_STEPS


def test_the_function_gives_an_explorer() -> None:
    explorer = gl.explorers.policy_gradient(baseline="exact", horizon=3)
    assert isinstance(explorer, Explorer)
    assert explorer.controls.value == Settings(baseline="exact", horizon=3)
    assert explorer.shown is not None
