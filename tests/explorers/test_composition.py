"""Lesson 04's explorer: its numbers are those of the shown code, the listed truth is met, and no bound is broken."""

import contextlib
import io
from dataclasses import replace

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers import compositional, rooms
from gmrl_lab.explorers.composition import PIECE, Result, Settings, code, compute, draw, measured, table
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.explorers.rooms import FORMS, Point
from gmrl_lab.paths import every_end

SMALL = Settings(n_trials=200)


def final(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, axis="K", n_inner_steps=3, inner_lr=4.2, n_trials=1000, n_trajectories=1),
        replace(SMALL, samples="reused", n_inner_steps=2, estimator="DiCE"),
    ],
    ids=["default", "three steps", "reused"],
)
def test_the_shown_code_reproduces_the_numbers(settings: Settings) -> None:
    names: dict[str, torch.Tensor] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 7), names)
    result = final(settings, 7)
    torch.testing.assert_close(names["ends"], result.ends[-1], rtol=1e-12, atol=1e-14)
    found = gl.bias(names["f"], names["exact"])
    assert measured(settings.point, result.ends[-1]) == pytest.approx((found[0].item(), found[1].item()), rel=1e-9)


def test_a_point_of_the_axis_is_the_settings_themselves() -> None:
    """So that moving along the axis and moving the slider agree, in what is sampled and in what is listed."""
    for axis, place in (("|τ|", 3), ("K", 0), ("α", 3)):
        result = final(replace(SMALL, axis=axis))
        assert torch.equal(result.ends[place], result.ends[-1])
        assert result.truths[place] == result.truths[-1] is not None


def test_refinement_keeps_the_first_trials_and_then_lists() -> None:
    pieces = list(compute(Settings(n_trials=1000), 3))
    progress = [part for part, _ in pieces]
    assert progress == sorted(progress)
    sizes = [len(result.ends[-1]) for _, result in pieces]
    assert sizes[0] == PIECE
    assert sizes == sorted(sizes)
    assert sizes[-1] == 1000
    assert torch.equal(pieces[0][1].ends[-1], pieces[-1][1].ends[-1][:PIECE])
    assert pieces[0][1].truths[5] is None
    assert pieces[-1][1].truths[5] is not None


def test_measured_bias_meets_the_listed_one_and_ten_trials_do_not() -> None:
    """4,000 trials, α = 2, n = 8: four standard errors to the truth and from zero; ten trials read b² + tr Σ/10."""
    point = Settings().point
    ends = torch.cat([rooms.ends(point, 4000, torch.Generator().manual_seed(1))])
    known, (squared, error) = rooms.true_bias(point), measured(point, ends)
    assert known is not None
    assert abs(squared - known**2) < 4 * error
    assert squared > 4 * error
    plain, spread = measured(point, ends, debias=False)
    assert plain > known**2 + 10 * spread
    expected = known**2 + gl.covariance_trace(rooms.outer_gradient(ends)).item() / 10
    assert abs(plain - expected) < 4 * spread


@pytest.mark.parametrize("estimator", ["Loaded DiCE", "DiCE"])
@pytest.mark.parametrize("step", [(1, 0.5), (1, 2.0), (1, 8.0), (2, 1.0), (2, 4.0), (3, 2.0)])
def test_no_bound_is_broken_where_everything_is_listed(estimator: str, step: tuple[int, float]) -> None:
    for n in (1, 2, 4):
        point = Point(*step, n, estimator, "fresh")
        known = rooms.true_bias(point)
        if known is None:
            continue
        assert known < min(rooms.bias_bound(point, form) for form in FORMS)
        ends, probability = every_end(rooms.task(), rooms.start(), *step, point.inner)
        distance = rooms.strayed(point, ends)
        assert (probability * distance.square()).sum().sqrt() < rooms.path_bound(point, "rms") * (1 + 1e-12)
        assert (probability * distance).sum() < rooms.path_bound(point, "published")


def test_sigma_is_that_of_every_trajectory() -> None:
    """At K = 1 the root-mean-square form is attained, which pins σ_In down to rounding."""
    point = Point(1, 2.0, 1, "Loaded DiCE", "fresh")
    ends, probability = every_end(rooms.task(), rooms.start(), *point.step, point.inner)
    error = (probability * rooms.strayed(point, ends).square()).sum().sqrt().item()
    assert rooms.path_bound(point, "rms") == pytest.approx(error, rel=1e-12)


def test_estimators_with_one_gradient_have_one_path() -> None:
    ends = {name: final(replace(SMALL, estimator=name)).ends[-1] for name in ("AD", "LVC", "Loaded DiCE", "DiCE")}
    assert torch.allclose(ends["AD"], ends["LVC"], rtol=1e-12)
    assert torch.allclose(ends["AD"], ends["Loaded DiCE"], rtol=1e-12)
    assert not torch.allclose(ends["AD"], ends["DiCE"])


def test_figure_has_truth_bounds_and_bars_that_add_up() -> None:
    result = final(SMALL)
    figure, summary = draw(result)
    exact = next(trace for trace in figure.data if trace.name == "exact: every sample listed")
    assert list(exact.y) == list(result.truths[:-1])
    assert "exactly 0.0164" in summary
    names = [trace.name for trace in figure.data]
    assert [names.count(form) for form in FORMS.values()] == [2, 2, 1]
    bars = {trace.name: trace.y[0] for trace in figure.data if trace.type == "bar"}
    assert bars["bias² ± 95%"] + bars["variance"] == pytest.approx(bars["MSE"], rel=1e-12)


def test_one_form_alone_and_none_for_reused_samples() -> None:
    drawn = {trace.name for trace in draw(final(replace(SMALL, bound="second order")))[0].data}
    assert drawn & set(FORMS.values()) == {"second order"}
    figure, summary = draw(final(replace(SMALL, samples="reused")))
    assert not {trace.name for trace in figure.data} & set(FORMS.values())
    assert "none for reused samples" in summary


def test_summary_says_what_is_not_resolved_or_not_debiased() -> None:
    assert "not resolved from 0" in draw(final(replace(SMALL, n_trajectories=32)))[1]
    text = draw(final(replace(SMALL, debias=False)))[1]
    assert "mean of ten trials, not debiased" in text
    assert "not listed" in draw(final(replace(SMALL, n_inner_steps=5)))[1]


def test_table_has_a_row_per_point() -> None:
    result = final(SMALL)
    frame = table(result)
    assert list(frame["n"]) == [1, 2, 4, 8, 16, 32]
    assert list(frame["bias_true"]) == list(result.truths[:-1])
    assert (frame["bias_true"] < frame["bound_second_order"]).all()
    assert table(final(replace(SMALL, samples="reused")))["bound_rms"].isna().all()


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field: str) -> None:
    explorer = compositional(n_trials=200, n_trajectories=1)
    for value in explorer.controls.ranges()[field]:
        result = explorer.run(**{field: value})
        assert getattr(explorer.shown.settings, field) == value
        assert all(ends.isfinite().all() for ends in result.ends)
