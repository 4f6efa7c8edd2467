"""Lesson 05's explorer: its numbers are those of the shown code, each estimator keeps its parts, and bars add up."""

import contextlib
import io
from dataclasses import replace

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers import hessian_bias
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.explorers.hessian_bias import ESTIMATORS, Settings, code, compute, draw, table

SMALL = Settings(n_trajectories=4, n_trials=10)
EXPECTED = replace(SMALL, source="B", epsilon="fixed")
ALL = {"h1": True, "h2": True, "h12": True}
KEEPS = {
    "AD": {"h2": True},
    "LVC": {"h1": True, "h2": True},
    "DiCE": ALL,
    "Loaded DiCE": ALL,
    "TayPO-2": ALL,
}


def final(settings, seed=0):
    return list(compute(settings, seed))[-1][1]


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, estimator="AD", epsilon="fixed", n_inner_steps=2, inner_lr=3.2, mdp_seed=4),
        replace(SMALL, source="B", value_noise=0.25),
        replace(SMALL, source="B", estimator="DiCE"),
        replace(EXPECTED, estimator="Loaded DiCE", lambda_=0.5, n_trials=10),
    ],
)
def test_the_shown_code_reproduces_the_numbers(settings):
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 7), names)
    result = final(settings, 7)
    torch.testing.assert_close(names["exact"], result.hessian, rtol=0, atol=0)
    torch.testing.assert_close(names["exact_meta"], result.meta, rtol=0, atol=0)
    torch.testing.assert_close(names["estimates"], result.hessians, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(names["metas"], result.metas, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("estimator", KEEPS)
def test_each_estimator_is_zero_from_the_parts_that_it_keeps(estimator):
    """And from no other choice of parts: with a fixed ε all three are there."""
    kept = {"h1": False, "h2": False, "h12": False} | KEEPS[estimator]
    for h1 in (False, True):
        for h2 in (False, True):
            for h12 in (False, True):
                ticked = {"h1": h1, "h2": h2, "h12": h12}
                result = final(replace(EXPECTED, estimator=estimator, **ticked))
                gap = (result.hessians[0] - result.parts).norm() / result.hessian.norm()
                assert (gap < 1e-12) == (ticked == kept), (ticked, gap)


def test_summary_names_the_gap_and_the_parts():
    text = draw(final(replace(EXPECTED, h12=False)))[1]
    assert "0.5 ‖H‖ from the truth and 0 ‖H‖ from H₁ + H₂." in text
    nothing = draw(final(replace(EXPECTED, h1=False, h2=False, h12=False)))[1]
    assert "from nothing" in nothing


def test_noise_of_autodiff_is_a_bias_if_fixed_and_a_variance_if_redrawn():
    fixed, redrawn = (
        gl.mse_split(result.hessians, result.hessian)
        for result in (final(replace(EXPECTED, estimator="AD", epsilon=kind)) for kind in ("fixed", "redrawn"))
    )
    assert fixed.variance < 1e-20 < 1.0 < redrawn.variance / final(SMALL).hessian.square().sum()
    assert fixed.bias_squared > 5 * redrawn.bias_squared


def test_refinement_ends_where_one_call_would():
    settings = replace(SMALL, n_trajectories=256)
    pieces = list(compute(settings, 3))
    assert len(pieces) > 1
    assert pieces[-1][0] == 1.0
    sizes = [len(result.metas) for _, result in pieces]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 10
    assert torch.equal(pieces[0][1].hessians, pieces[-1][1].hessians[: sizes[0]])


def test_bars_add_up_and_the_truth_is_drawn():
    result = final(SMALL)
    figure, summary = draw(result)
    for axis in ("x4", "x5"):
        bars = {trace.name: trace.y[0] for trace in figure.data if trace.type == "bar" and trace.xaxis == axis}
        assert bars["bias² ± 95%"] + bars["variance"] == pytest.approx(bars["MSE"], rel=1e-12)
    truth = next(trace for trace in figure.data if trace.name == "exact ∇")
    assert list(truth.y) == sorted(result.meta.flatten().tolist())
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    assert heat.z.max() == pytest.approx(result.hessian.max().item(), rel=1e-12)
    assert f"{gl.accuracy(result.metas, result.meta).mean().item():.3f}" in summary


def test_two_trials_do_not_pretend_to_an_interval():
    pieces = list(compute(replace(SMALL, n_trajectories=256, n_trials=10), 0))
    assert all("nan" not in draw(result)[1] for _, result in pieces)


def test_table_has_a_row_per_entry():
    result = final(SMALL)
    frame = table(result)
    names = ["state", "action", "other_state", "other_action"]
    assert list(frame.columns) == [*names, "exact", "ticked_parts", "estimate_mean", "estimate_std", "n_trials"]
    assert len(frame) == 10_000
    assert tuple(frame.loc[712, names]) == (1, 2, 2, 2)
    assert frame.loc[712, "exact"] == result.hessian[7, 12].item()


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field):
    explorer = hessian_bias(n_trajectories=2, n_trials=10)
    for value in explorer.controls.ranges()[field]:
        result = explorer.run(**{field: value})
        assert getattr(explorer.shown.settings, field) == value
        assert result.hessians.isfinite().all()
        assert result.metas.isfinite().all()
        assert len(result.metas) == len(result.hessians) == explorer.shown.settings.n_trials


def test_every_estimator_of_the_list_exists():
    for constructor in ESTIMATORS.values():
        assert isinstance(eval(f"gl.{constructor.format(0.5)}"), gl.Estimator)


def test_reset_returns_to_the_start():
    explorer = hessian_bias(n_trajectories=4, n_trials=10, estimator="AD")
    before = explorer.shown
    explorer.run(estimator="DiCE", seed=5)
    explorer.view.buttons["reset"].click()
    assert explorer.shown.settings == before.settings
    assert explorer.shown.seed == before.seed
    assert torch.equal(explorer.shown.result.hessians, before.result.hessians)
