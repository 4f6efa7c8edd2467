"""Lesson 09's explorer: its lines are those of the shown code, bars add up, what is not resolved is drawn apart."""

import contextlib
import io
import time

import numpy as np
import pandas as pd
import pytest
import torch

import gmrl_lab as gl
from gmrl_lab import bounds
from gmrl_lab.explorers.ablations import Settings, bias_ablations, code, compute, draw, table
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.paper import bias, cells


def final(**fields):
    return list(compute(Settings(**fields), 0))[-1][1]


@pytest.mark.parametrize("panel", "abcd")
@pytest.mark.parametrize("mdp", ["all", "6"])
def test_the_shown_code_reproduces_the_lines(panel, mdp):
    result = final(panel=panel, mdp=mdp)
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(result.settings, 7), names)
    found = names["found"]
    if isinstance(found, dict):
        for mine, shown in zip(result.lines.values(), found.values(), strict=True):
            pd.testing.assert_frame_equal(mine.iloc[:, :3], shown.iloc[:, :3])
    else:
        for mine, column in zip(result.lines.values(), result.settings.columns, strict=True):
            assert mine["median"].tolist() == found[column].tolist()


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field):
    explorer = bias_ablations()
    for value in explorer.controls.ranges()[field]:
        result = explorer.run(**{field: value})
        assert getattr(explorer.shown.settings, field) == value
        assert all(len(line) >= 6 for line in result.lines.values())


@pytest.mark.parametrize("panel", "abc")
@pytest.mark.parametrize("mdp", ["all", "3"])
def test_bars_add_up_to_the_mse(panel, mdp):
    figure, _ = draw(final(panel=panel, mdp=mdp))
    parts = [np.array(trace.y) for trace in figure.data if trace.type == "bar"]
    np.testing.assert_allclose(sum(parts), 1.0, rtol=1e-9)


def test_what_is_not_resolved_is_drawn_apart_and_named():
    result = final(panel="c", reading="debiased")
    figure, summary = draw(result)
    hollow = next(trace for trace in figure.data if trace.marker.symbol == "triangle-down-open")
    assert list(hollow.x) == [256]
    assert "not resolved from 0 at 256" in summary
    assert 256 not in figure.data[0].x


def test_one_mdp_has_the_interval_of_its_own_standard_error():
    line = final(panel="c", reading="debiased", mdp="0").lines["debiased"]
    rows = bias.panel(gl.paper.shipped("2"), "c").query("mdp == 0").sort_values("n_trajectories")
    half = (line["high"] - line["low"]) / 2
    np.testing.assert_allclose(half, 1.96 * rows["bias_squared_error"])
    np.testing.assert_allclose(line["median"], rows["bias_squared"])


def test_injected_error_per_error_is_level():
    figure, summary = draw(final(panel="d"))
    level = [trace for trace in figure.data if trace.yaxis == "y2" and trace.mode == "lines+markers"]
    assert len(level) == 4
    assert all(max(trace.y) / min(trace.y) < 1.25 for trace in level)
    assert "α = 4.5" in summary


def test_table_is_the_panel_mdp_by_mdp():
    assert len(table(final(panel="a"))) == 60
    assert list(table(final(panel="d"))) == ["mean_error", "inner_lr", "mdp", "bias", "bias_std"]


def test_redraw_is_quick():
    explorer = bias_ablations()
    explorer.run(panel="b")
    start = time.process_time()
    explorer.run(panel="c", mdp="4")
    assert time.process_time() - start < 0.15


def test_reset_returns_to_the_start():
    explorer = bias_ablations(panel="a")
    before = explorer.shown
    explorer.run(panel="d", mdp="2")
    explorer.view.buttons["reset"].click()
    assert explorer.shown.settings == before.settings


def test_interval_of_a_median_holds_what_it_says():
    """Ten values: second smallest to second largest, which miss the median in 2·11/1024 = 2.15% of all samples."""
    draws = np.random.default_rng(0).normal(size=(4000, 10))
    found = [bias.median(pd.Series(row)) for row in draws]
    missed = np.mean([not one.low <= 0 <= one.high for one in found])
    assert abs(missed - 22 / 1024) < 4 * (22 / 1024 / 4000) ** 0.5  # false alarm below 1e-4
    assert found[0].low == sorted(draws[0])[1]


def test_growth_bears_biases_that_come_out_negative():
    rows = [{"mdp": m, "x": x, "y": np.exp(2 * m * x)} for m in range(1, 8) for x in (1.0, 2.0, 3.0)]
    rows[0]["y"] = -1e-9
    found = bias.growth(pd.DataFrame(rows), "x", "y")
    assert found.second.value == pytest.approx(4.0)
    assert found.first.value == pytest.approx(5.0)  # the first MDP's rise is infinite
    assert np.isfinite(found.fall.value)


def test_verdicts_of_figure_2():
    """What the shipped table says of each panel, and the number that says so."""
    found = gl.paper.verdicts("2", gl.paper.shipped("2"))
    kinds = [verdict.verdict.removeprefix("reproduced with a ") for verdict in found]
    assert kinds == ["different reading", "reproduced", "different reading", "reproduced"]
    assert "1.2 [0.5, 1.8], then 0.29" in found[0].evidence
    assert "-0.91 [-inf, -0.83] debiased" in found[2].evidence


def test_published_reading_is_mostly_noise():
    """From |τ| = 32 on tr Σ/10 explains the published reading within a factor of 2 in the geometric mean."""
    rows = bias.panel(gl.paper.shipped("2"), "c").query("n_trajectories >= 32")
    share = np.log(rows["published_variance"] / rows["published_bias_squared"])
    assert abs(share.mean()) < np.log(2)
    debiased = rows["bias_squared"].clip(lower=0) / rows["published_bias_squared"]
    assert debiased.median() < 0.2


def test_bound_stands_above_both_readings():
    task, start = gl.MAML(gl.random_mdp(seed=0)), torch.zeros(20, 5, dtype=torch.float64)
    inner, target = gl.Sampled(gl.LVC(), 32, baseline=gl.Baseline(noise=1.0)), gl.Exact(horizon=20)
    found = bounds.local_constants(
        task, start, 2, 3.0, inner=inner, target=target, generator=torch.Generator().manual_seed(0)
    )
    bound = bounds.theorem(found, 2, 3.0, 32, start_is_phi=True).bias
    row = bias.panel(gl.paper.shipped("2"), "a").query("mdp == 0 and n_inner_steps == 2").iloc[0]
    assert bound > 5 * row["published_bias_squared"] ** 0.5 > 5 * row["bias_squared"] ** 0.5


@pytest.mark.parametrize("k", [1, 2, 3])
def test_degree_in_the_hessian_error(k):
    task, start = gl.MAML(gl.random_mdp(seed=range(10))), torch.zeros(20, 5, dtype=torch.float64)
    exact = gl.meta_gradient(task, start, k, 3.0)

    def slope(c):
        wrong = [gl.meta_gradient(task, start, k, 3.0, hessian=gl.Perturbed(gl.Exact(), x)) for x in (c, 1.01 * c)]
        near, far = ((x - exact).flatten(1).norm(dim=-1) for x in wrong)
        return (far / near).log() / np.log(1.01)

    assert (slope(0.5) - 1).abs().max() < 0.04
    assert (slope(4000.0) - k).abs().max() < 0.02


def test_what_lesson_09_quotes():
    two = gl.paper.shipped("2")
    steps, rates, wrong = (bias.panel(two, letter) for letter in "abd")
    wild = steps.query("mdp == 6 and n_inner_steps == 4")["bias_squared"].item()
    assert wild == pytest.approx(0.593, abs=0.001)
    middle = bias.medians(steps, "n_inner_steps", "bias_squared").set_index("n_inner_steps")["median"]
    published = bias.medians(steps, "n_inner_steps", "published_bias_squared").set_index("n_inner_steps")["median"]
    assert middle[4] == pytest.approx(0.0004, abs=0.00005)
    assert 18 < (middle[3] / middle[1]) ** 0.5 < 22
    assert 1.7 < (published[3] / published[1]) ** 0.5 < 2.2
    one = steps.query("n_inner_steps == 1")
    assert (one["bias_squared"] < 1.96 * one["bias_squared_error"]).all()
    large = bias.medians(rates.query("inner_lr >= 7"), "inner_lr", "bias_squared")["median"]
    assert large.is_monotonic_decreasing
    for _, rows in wrong.groupby("inner_lr"):
        ends = [rows[rows["curvature"] == c].set_index("mdp") for c in (0.5, 4.0)]
        rise = [np.log(ends[1][name] / ends[0][name]) for name in ("bias", "hessian_error")]
        assert 1.45 < (rise[0] / rise[1]).median() < 1.55


def ten_trials(**settings):
    return cells.compositional_bias(**settings | {"n_trials": cells.PUBLISHED_TRIALS})


def test_the_shipped_panel_b_is_what_the_code_computes():
    """At α = 1, K = 6, the published reading alone, for it needs the first 10 of the point's 1000 trials."""
    axes = {"inner_lr": (1.0,), "n_trajectories": (32,), "n_inner_steps": (6,)}
    here = gl.paper.Run(progress=False).sweep(ten_trials, gl.paper.Table2(n_trials=1000), axes)
    there = bias.panel(gl.paper.shipped("2"), "b").query("inner_lr == 1")
    for name in ("published_bias_squared", "horizon_squared", "exact_squared"):
        np.testing.assert_allclose(here[name], there[name], rtol=1e-9)
