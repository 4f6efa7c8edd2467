"""Lesson 02's explorer: its numbers are those of the shown code, its bars add up, and bad input keeps the figure."""

import contextlib
import io
from dataclasses import replace

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers import maml_decomposition
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.explorers.decomposition import ESTIMATORS, Settings, code, compute, draw, table

SMALL = Settings(n_trajectories=4, n_trials=10)


def final(settings, seed=0):
    return list(compute(settings, seed))[-1][1]


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, inner="B", hessian="E", outer="B", estimator="Loaded DiCE", value_noise=0.25),
        replace(SMALL, inner="E", hessian="S", outer="E", estimator="AD", n_inner_steps=3, inner_lr=3.2, mdp_seed=4),
    ],
)
def test_the_shown_code_reproduces_the_numbers(settings):
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 7), names)
    result = final(settings, 7)
    torch.testing.assert_close(names["exact"], result.exact, rtol=0, atol=0)
    torch.testing.assert_close(names["estimates"], result.estimates, rtol=1e-12, atol=1e-15)


def test_refinement_ends_where_one_call_would():
    settings = Settings(n_trajectories=256, n_trials=20)
    pieces = list(compute(settings, 3))
    assert len(pieces) > 1
    assert pieces[-1][0] == 1.0
    sizes = [len(result.estimates) for _, result in pieces]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 20
    assert torch.equal(pieces[0][1].estimates, pieces[-1][1].estimates[: sizes[0]])


def test_bars_add_up_and_the_truth_is_drawn():
    result = final(SMALL)
    figure, summary = draw(result)
    bars = {trace.name: trace.y[0] for trace in figure.data if trace.type == "bar"}
    assert bars["bias² ± 95%"] + bars["variance"] == pytest.approx(bars["MSE"], rel=1e-12)
    exact = next(trace for trace in figure.data if trace.name == "exact")
    assert list(exact.y) == sorted(result.exact.flatten().tolist())
    assert f"{gl.accuracy(result.estimates, result.exact).mean().item():.3f}" in summary


def test_all_exact_is_the_truth_and_says_so():
    result = final(replace(SMALL, inner="E", hessian="E", outer="E"))
    torch.testing.assert_close(result.estimates, result.exact.expand_as(result.estimates), rtol=1e-12, atol=1e-15)
    assert "bias² 0 to rounding" in draw(result)[1]


def test_more_data_is_more_accurate():
    few, many = (final(replace(SMALL, n_trajectories=n, n_trials=20)) for n in (2, 64))
    few, many = (gl.accuracy(result.estimates, result.exact).mean() for result in (few, many))
    assert many > few + 0.2


def test_table_has_a_row_per_coordinate():
    result = final(SMALL)
    frame = table(result)
    assert list(frame.columns) == ["state", "action", "exact", "estimate_mean", "estimate_std", "n_trials"]
    assert len(frame) == 100
    assert frame.loc[7, "exact"] == result.exact[1, 2].item()


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field):
    explorer = maml_decomposition(n_trajectories=4, n_trials=10)
    start = explorer.shown
    for value in explorer.controls.ranges()[field]:
        kept = {"n_trajectories": 2} if field in ("n_inner_steps", "n_trials") else {}
        result = explorer.run(**kept, **{field: value})
        assert getattr(explorer.shown.settings, field) == value
        assert result.estimates.isfinite().all()
        assert len(result.estimates) == explorer.shown.settings.n_trials
    assert start.settings.n_trials == 10


def test_every_estimator_of_the_list_exists():
    for constructor in ESTIMATORS.values():
        assert isinstance(eval(f"gl.{constructor}"), gl.Estimator)


def test_reset_returns_to_the_start():
    explorer = maml_decomposition(n_trajectories=4, n_trials=10, estimator="AD")
    before = explorer.shown
    explorer.run(estimator="DiCE", seed=5)
    explorer.view.buttons["reset"].click()
    assert explorer.shown.settings == before.settings
    assert explorer.shown.seed == before.seed
    assert torch.equal(explorer.shown.result.estimates, before.result.estimates)
