"""Lesson 06's explorer: its numbers are those of the shown code, its parts add up, and every control works."""

import contextlib
import io
from dataclasses import replace

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.explorers.theorem import Result, Settings, bias_variance_theorem, code, compute, draw, table

SMALL = Settings(n_trajectories=4, n_trials=20)


def final(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, task="LIRPG", n_inner_steps=3, kind="global", form="published"),
        replace(SMALL, inner="E", estimator="AD"),
        replace(SMALL, task="LIRPG", hessian="E", estimator="DiCE", inner_lr=0.32),
        replace(SMALL, outer="E", estimator="Loaded DiCE", inner="E", kind="global"),
    ],
    ids=["MAML", "global", "exact path", "exact derivatives", "exact outer gradient"],
)
def test_the_shown_code_reproduces_the_numbers(settings: Settings) -> None:
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 7), names)
    result = final(settings, 7)
    torch.testing.assert_close(names["exact"], result.exact, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(names["estimates"], result.estimates, rtol=1e-11, atol=1e-14)
    for name, value in vars(names["constants"]).items():
        assert getattr(result.constants, name) == (value if name == "kind" else pytest.approx(value, rel=1e-9))
    for name, value in vars(names["bound"]).items():
        assert getattr(result.bound, name) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("task", ["MAML", "LIRPG"])
@pytest.mark.parametrize("estimator", ["AD", "LVC", "DiCE", "Loaded DiCE"])
def test_bounds_hold_where_they_are_resolved(task: str, estimator: str) -> None:
    """Debiased bias less two standard errors, and variance less two: below local and global bounds alike."""
    for kind in ("local", "global"):
        result = final(Settings(task=task, estimator=estimator, kind=kind, n_trials=100))
        squared, error = gl.bias(result.estimates, result.exact)
        variance, spread = result.variance
        assert squared - 2 * error <= result.bound.bias**2
        assert variance - 2 * spread <= result.bound.variance


def test_bias_is_measured_against_the_matching_horizon() -> None:
    """EBE without a bias to find: the exact gradient of 20 steps, with DiCE's end for DiCE."""
    for estimator, made in (("DiCE", gl.DiCE()), ("Loaded DiCE", gl.LoadedDiCE())):
        result = final(replace(SMALL, estimator=estimator, hessian="E", inner="E", outer="E"))
        expected = gl.Expected(made, baseline=gl.Baseline(noise=0.0))
        task = gl.MAML(gl.random_mdp(5, 3, concentration=0.3, seed=0))
        found = gl.meta_gradient(task, torch.zeros(5, 3, dtype=torch.float64), 2, 1.0, expected, expected, expected)
        torch.testing.assert_close(found, result.exact, rtol=1e-10, atol=1e-12)


def test_parts_vanish_where_their_cause_does() -> None:
    exact = final(replace(SMALL, inner="E", hessian="E", outer="E"))
    assert exact.bound.bias == exact.bound.variance == 0
    assert "Bias 0 to rounding, bound 0 " in draw(exact)[1]
    assert final(replace(SMALL, inner="E")).bound.compositional == 0
    assert final(replace(SMALL, hessian="E")).bound.hessian == 0
    assert final(replace(SMALL, task="LIRPG", n_inner_steps=1)).bound.hessian == 0
    assert final(replace(SMALL, n_inner_steps=1)).bound.hessian > 0
    assert final(replace(SMALL, estimator="Loaded DiCE")).bound.hessian < 1e-14


def test_published_is_looser_and_global_astronomically() -> None:
    each = ({}, {"form": "published"}, {"kind": "global"})
    rms, published, worst = (final(replace(SMALL, **own)).bound for own in each)
    assert rms.compositional < published.compositional < 2 * rms.compositional
    assert worst.bias > 1e6 * rms.bias


def test_stacks_and_error_bars_add_up() -> None:
    figure, summary = draw(final(Settings()))
    bars = {trace.name: trace for trace in figure.data if trace.type == "bar"}
    parts = ("compositional", "Hessian", "Jacobian", "square of the bias bound", "spread")
    heights = [sum(bars[part].y[place] or 0.0 for part in parts) for place in (0, 1)]
    assert heights == pytest.approx([1.0, 1.0])
    assert bars["bias² ± 95%"].y[0] + bars["variance"].y[0] == pytest.approx(bars["MSE"].y[0], rel=1e-12)
    assert figure.layout.yaxis.type == "log"
    assert "compositional +" in summary


def test_unresolved_is_said_and_drawn_as_an_upper_end() -> None:
    result = final(Settings(estimator="Loaded DiCE", n_trials=20))
    figure, summary = draw(result)
    squared, error = gl.bias(result.estimates, result.exact)
    assert squared < 2 * error
    assert "Bias not resolved, below" in summary
    (found,) = (trace for trace in figure.data if (trace.name or "").startswith("measured ±"))
    assert found.marker.symbol[0] == "triangle-down-open"
    assert found.y[0] == pytest.approx((squared + 1.96 * error).item() ** 0.5)
    resolved = draw(final(Settings(estimator="AD", n_trials=100)))
    assert "not resolved" not in resolved[1]


def test_refinement_ends_where_one_call_would() -> None:
    pieces = list(compute(Settings(), 3))
    sizes = [len(result.estimates) for _, result in pieces]
    assert len(pieces) > 1
    assert sizes == sorted(sizes)
    assert sizes[-1] == 50
    assert torch.equal(pieces[0][1].estimates, pieces[-1][1].estimates[: sizes[0]])
    assert pieces[0][1].bound == pieces[-1][1].bound


def test_table_has_both_sides_and_the_constants() -> None:
    result = final(SMALL)
    (row,) = table(result).to_dict("records")
    assert row["bias_bound"] == pytest.approx(row["compositional"] + row["hessian"] + row["jacobian"])
    assert row["variance_bound"] == pytest.approx(row["bias_bound"] ** 2 + row["spread"] ** 2)
    assert row["c2"] == result.constants.c2
    assert row["kind"] == "local"


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field: str) -> None:
    explorer = bias_variance_theorem(n_trajectories=4, n_trials=20)
    for value in explorer.controls.ranges()[field]:
        result = explorer.run(**{field: value})
        assert getattr(explorer.shown.settings, field) == value
        assert result.estimates.isfinite().all()
        assert len(result.estimates) == explorer.shown.settings.n_trials
