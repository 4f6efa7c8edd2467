"""Lesson 07's explorer: its numbers are those of the shown code, exact and sampled agree, bars add up."""

import contextlib
import io
from dataclasses import replace

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers import two_targets
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.explorers.two_targets import COEFFICIENTS, TASKS, Result, Settings, code, compute, draw, table

SMALL = Settings(n_trials=20)


def final(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),  # two pieces of trials
        replace(SMALL, task="LIRPG", n_inner_steps=2, estimator="LVC", score=0.0, inner_lr=0.56),
        replace(SMALL, task="LOLA", estimator="DiCE", score=0.3, control="none", n_trajectories=1),
    ],
)
def test_the_shown_code_reproduces_the_numbers(settings: Settings) -> None:
    names: dict[str, torch.Tensor] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 7), names)
    result = final(settings, 7)
    at = COEFFICIENTS.index(settings.score)
    torch.testing.assert_close(names["k_sample"].flatten(), result.truth.k_sample, rtol=0, atol=0)
    torch.testing.assert_close(names["expected"].flatten(), result.truth.expected, rtol=0, atol=0)
    torch.testing.assert_close(names["estimates"].flatten(1), result.estimates, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(names["mean"].flatten(), result.truth.means[at], rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(names["variance"], result.truth.variances[at], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("task", TASKS)
def test_full_score_with_the_plain_path_is_unbiased_for_one_target_alone(task: str) -> None:
    truth = final(replace(SMALL, task=task, n_inner_steps=2, n_trajectories=1)).truth
    at = COEFFICIENTS.index(1.0)
    assert truth.squared_bias(truth.k_sample)[at] < 1e-20
    assert truth.squared_bias(truth.expected)[at] > 1e-4
    assert truth.squared_bias(truth.k_sample)[0] > 1e-4


def test_sampled_variance_and_bias_agree_with_the_exact_ones() -> None:
    """2,000 trials: bias² within four standard errors, variance within a tenth."""
    result = final(Settings(n_trials=2000, score=0.3))
    truth, at = result.truth, COEFFICIENTS.index(0.3)
    found = gl.bias(result.estimates, truth.k_sample)
    assert abs(found.squared_norm / truth.scale - truth.squared_bias(truth.k_sample)[at]) < (
        4 * found.standard_error / truth.scale
    )
    assert gl.covariance_trace(result.estimates).item() == pytest.approx(truth.variances[at].item(), rel=0.1)


def test_bars_add_up_and_both_truths_are_drawn() -> None:
    result = final(SMALL)
    figure, summary = draw(result)
    for axis in ("x2", "x3"):
        bars = {trace.name: trace.y[0] for trace in figure.data if trace.type == "bar" and trace.xaxis == axis}
        assert bars["bias² ± 95%"] + bars["variance"] == pytest.approx(bars["MSE"], rel=1e-12)
    drawn = {trace.name: list(trace.y) for trace in figure.data if trace.type == "scatter"}
    assert drawn["K-sample, exact"] == result.truth.k_sample.tolist()
    assert drawn["EPG, exact"] == result.truth.expected.tolist()
    mse = [a + b for a, b in zip(drawn["bias², EPG"], drawn["variance, exact"], strict=True)]
    assert drawn["MSE, EPG"] == pytest.approx(mse)
    assert "the two targets lie 0.435 apart" in summary


def test_bars_of_both_panels_have_one_scale() -> None:
    result = final(SMALL)
    bars = {(t.xaxis, t.name): t.y[0] for t in draw(result)[0].data if t.type == "bar"}
    split = gl.mse_split(result.estimates, result.truth.expected)
    assert bars["x3", "MSE"] == pytest.approx((split.mse / result.truth.scale).item())
    assert bars["x2", "variance"] == pytest.approx(bars["x3", "variance"])


def test_refinement_ends_where_one_call_would() -> None:
    pieces = list(compute(Settings(n_trials=2000), 3))
    sizes = [len(result.estimates) for _, result in pieces]
    assert sizes == [250 * i for i in range(1, 9)]
    assert torch.equal(pieces[0][1].estimates, pieces[-1][1].estimates[:250])


def test_table_has_a_row_per_coordinate() -> None:
    result = final(replace(SMALL, task="LOLA"))
    frame = table(result)
    names = ["coordinate", "k_sample", "expected", "exact_mean", "estimate_mean", "estimate_std", "n_trials"]
    assert list(frame.columns) == names
    assert len(frame) == 5
    assert frame.loc[3, "k_sample"] == result.truth.k_sample[3].item()


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field: str) -> None:
    explorer = two_targets(n_trials=20)
    for value in explorer.controls.ranges()[field]:
        result = explorer.run(**{field: value})
        assert getattr(explorer.shown.settings, field) == value
        assert result.estimates.isfinite().all()
        assert len(result.estimates) == explorer.shown.settings.n_trials


def test_too_many_samples_are_a_message_and_the_figure_stays() -> None:
    explorer = two_targets(n_trials=20, n_trajectories=4)
    before = explorer.figure.figure
    explorer.controls.set(n_inner_steps=2)
    assert "at most 40000 sequences" in explorer.view.alert.value
    assert explorer.figure.figure == before


def test_reset_returns_to_the_start() -> None:
    explorer = two_targets(n_trials=20, estimator="LVC")
    before = explorer.shown
    explorer.run(estimator="DiCE", seed=5)
    explorer.view.buttons["reset"].click()
    assert explorer.shown.settings == before.settings
    assert explorer.shown.seed == before.seed
    assert torch.equal(explorer.shown.result.estimates, before.result.estimates)
