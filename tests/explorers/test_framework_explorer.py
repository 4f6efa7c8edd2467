"""Lesson 03's explorer: its numbers are those of the shown code, its terms add up, and every control works."""

import contextlib
import io
from dataclasses import replace

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.explorers.framework import TASKS, Result, Settings, code, compute, draw, table, unified_framework

SMALL = Settings(n_trajectories=4, n_trials=10)
EACH = pytest.mark.parametrize("task", TASKS)


def final(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


@EACH
@pytest.mark.parametrize("parts", ["ESE", "SSB", "BES"])
def test_the_shown_code_reproduces_the_numbers(task: str, parts: str) -> None:
    settings = replace(SMALL, task=task, inner=parts[0], hessian=parts[1], outer=parts[2], inner_lr=0.32)
    names: dict[str, torch.Tensor] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 7), names)
    result = final(settings, 7)
    torch.testing.assert_close(names["terms"].total, result.exact, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(names["estimates"], result.estimates, rtol=1e-11, atol=1e-14)


@EACH
def test_terms_add_up_and_agree_with_autodiff(task: str) -> None:
    result = final(replace(SMALL, task=task, hessian="E"))
    figure, summary = draw(result)
    size = result.exact.norm().item()
    assert sum(result.contributions.values()) == pytest.approx(size)
    torch.testing.assert_close(result.estimates, result.exact.expand_as(result.estimates), rtol=1e-10, atol=1e-12)
    bars = {trace.name: trace.y for trace in figure.data if trace.type == "bar"}
    assert sum(bars["term, along the sum"]) == pytest.approx(bars["sum"][0])
    assert "bias² 0 to rounding" in summary


@pytest.mark.parametrize(
    ("task", "present"),
    [
        ("MAML", {"start"}),
        ("LOLA", {"direct", "i = 0", "i = 1", "i = 2"}),
        ("MGRL", {"i = 0", "i = 1", "i = 2"}),
        ("LIRPG", {"i = 0", "i = 1", "i = 2"}),
        ("LPG", {"i = 0", "i = 1", "i = 2"}),
    ],
)
def test_what_vanishes_for_which_task(task: str, present: set[str]) -> None:
    shares = final(replace(SMALL, task=task)).contributions
    assert {name for name, value in shares.items() if value} == present


def test_lola_with_autodiff_is_left_with_the_direct_term() -> None:
    result = final(replace(SMALL, task="LOLA", estimator="AD", hessian="B"))
    torch.testing.assert_close(result.estimates[0], result.terms.direct, rtol=1e-12, atol=1e-14)


def test_horizon_is_long_enough_for_the_game() -> None:
    """Loaded DiCE in expectation: what is left of its error is the horizon's, 13% at the usual 20 steps."""
    result = final(replace(SMALL, task="LOLA", hessian="E", outer="B"))
    size = result.exact.norm()
    assert (result.estimates[0] - result.exact).norm() / size == pytest.approx(0.002, abs=2e-4)
    usual = gl.Expected(gl.LoadedDiCE(), horizon=20, baseline=gl.Baseline(noise=0.0))
    zeros = torch.zeros(5, dtype=torch.float64)
    short = gl.meta_gradient(gl.LOLA(gl.IPD(discount=0.9), zeros), zeros, 3, 1.0, outer=usual)
    assert (short - result.exact).norm() / size == pytest.approx(0.13, abs=5e-3)


def test_updates_of_lola_grow_and_fall_with_the_step_size() -> None:
    """One inner step: at a large α the opponent is sure of itself, and v is small."""
    found = {lr: final(replace(SMALL, task="LOLA", n_inner_steps=1, inner_lr=lr)) for lr in (0.1, 1.0, 10.0)}
    updates = [result.contributions["i = 0"] for result in found.values()]
    assert updates == pytest.approx([0.015, 0.856, 0.249], abs=2e-3)
    assert [found[lr].contributions["direct"] for lr in (0.1, 1.0)] == pytest.approx([1.147, 0.957], abs=2e-3)
    sure = found[10.0].terms.path[-1].sigmoid()
    assert sure[1:].max() < 0.01
    torch.testing.assert_close(found[0.1].terms.jacobians[0], found[10.0].terms.jacobians[0])


def test_summary_names_the_estimator_that_was_used() -> None:
    assert ". DiCE and Loaded DiCE, ESE," in draw(final(replace(SMALL, task="LPG")))[1]
    assert ". AD, ESE," in draw(final(replace(SMALL, task="LPG", estimator="AD")))[1]


def test_error_bars_add_up() -> None:
    figure, _ = draw(final(SMALL))
    bars = {trace.name: trace.y[0] for trace in figure.data if trace.type == "bar"}
    assert bars["bias² ± 95%"] + bars["variance"] == pytest.approx(bars["MSE"], rel=1e-12)


def test_refinement_ends_where_one_call_would() -> None:
    pieces = list(compute(Settings(n_trajectories=256, n_trials=20), 3))
    assert len(pieces) > 1
    sizes = [len(result.estimates) for _, result in pieces]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 20
    assert torch.equal(pieces[0][1].estimates, pieces[-1][1].estimates[: sizes[0]])


def test_table_has_the_terms_and_their_sum() -> None:
    frame = table(final(replace(SMALL, n_inner_steps=2)))
    assert list(frame.columns[:5]) == ["direct", "start", "indirect_0", "indirect_1", "exact"]
    assert len(frame) == 5
    assert (frame.iloc[:, :4].sum(axis=1) - frame["exact"]).abs().max() < 1e-12


@pytest.mark.parametrize("field", list(Controls(Settings).ranges()))
def test_each_control_moves_through_its_range(field: str) -> None:
    explorer = unified_framework(n_trajectories=4, n_trials=10)
    for value in explorer.controls.ranges()[field]:
        kept = {"n_trajectories": 2} if field in ("n_inner_steps", "n_trials") else {}
        result = explorer.run(**kept, **{field: value})
        assert getattr(explorer.shown.settings, field) == value
        assert result.estimates.isfinite().all()
        assert len(result.estimates) == explorer.shown.settings.n_trials


@EACH
@pytest.mark.parametrize("estimator", ["AD", "LVC", "DiCE", "Loaded DiCE"])
def test_every_task_takes_every_estimator(task: str, estimator: str) -> None:
    settings = replace(SMALL, task=task, estimator=estimator, inner="S", hessian="S", outer="S", n_inner_steps=2)
    assert final(settings).estimates.isfinite().all()
    assert isinstance(gl.accuracy(final(settings).estimates, final(settings).exact), torch.Tensor)
