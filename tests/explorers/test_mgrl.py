"""Lesson 13's first explorer: its truth against differences of the adapted objective, each estimator against sums."""

import contextlib
import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import close, differ, double, finite_differences, rejects
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.explorers.mgrl import (
    ESTIMATORS,
    HORIZON,
    Result,
    Settings,
    Windows,
    by_update,
    code,
    compute,
    draw,
    table,
    world,
)
from gmrl_lab.explorers.mgrl_graph import graph, words
from gmrl_lab.learners.optimisers import Adam
from gmrl_lab.problem import ValueTable

SMALL: dict[str, Any] = {"n_windows": 16, "n_trials": 10}


def last(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


def adapted(task: Windows, phi: Tensor, n_inner_steps: int, inner_lr: float) -> Tensor:
    """The outer objective after K expected updates, run at each φ; nothing is differentiated."""
    theta = task.initial_theta.expand(*phi.shape[:-1], 5, 3)
    for _ in range(n_inner_steps):
        leaf = theta.detach().requires_grad_()
        mdp = task.mdp.replace(discount=phi.sigmoid()[..., 0])
        surrogate = gl.LVC().expected_surrogate(
            mdp, leaf, leaf.detach().softmax(-1), task.critic, HORIZON, phi.sigmoid()[..., 1]
        )
        theta = theta + inner_lr * torch.autograd.grad(surrogate.sum(), leaf)[0]
    return gl.exact.objective(task.mdp, theta)


@pytest.mark.parametrize("critic", [0.0, 1.5])
@pytest.mark.parametrize("n_inner_steps", [1, 3])
def test_the_truth_is_the_derivative_of_the_adapted_objective(critic: float, n_inner_steps: int) -> None:
    task, phi = world(critic), gl.MGRL.phi(0.8, 0.6)
    numeric = finite_differences(lambda at: adapted(task, at, n_inner_steps, 1.0), phi, n_dims=1)
    assert close(gl.meta_gradient(task, phi, n_inner_steps, 1.0), numeric, 1e-7)
    assert close(by_update(None, 0.8, 0.6, critic, 1.0)[n_inner_steps - 1].sum(0), numeric, 1e-7)
    biased = gl.meta_gradient(replace(task, estimator=gl.AD()), phi, n_inner_steps, 1.0)
    assert differ(biased, numeric) if n_inner_steps > 1 else close(biased, numeric, 1e-7)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_is_the_tabular_task_with_its_expectation(name: str) -> None:
    task, phi = world(0.5), gl.MGRL.phi(0.7, 0.9)
    oracle = gl.Expected(ESTIMATORS[name], horizon=HORIZON, baseline=ValueTable(table=task.critic))
    wanted = gl.meta_gradient(gl.MGRL(task.mdp, task.initial_theta), phi, 3, 1.0, oracle, oracle)
    assert close(by_update(name, 0.7, 0.9, 0.5, 1.0)[2].sum(0), wanted, 1e-10)


def test_one_update_needs_no_hessian() -> None:
    truth = by_update(None, 0.9, 0.95, 0.0, 1.0)
    for name in ESTIMATORS:
        found = by_update(name, 0.9, 0.95, 0.0, 1.0)
        assert close(found[0], truth[0], 1e-12)
        for k in range(5):
            assert close(found[k, k], truth[k, k], 1e-12)  # nor does the last of many
        assert name == "LoadedDiCE" or differ(found[2, 0], truth[2, 0])


def test_what_is_missing_depends_on_the_critic() -> None:
    """The numbers of the lesson, at K = 3: in γ, and for the untrained critic by update."""
    gaps = {
        (name, critic): (
            by_update(name, 0.9, 0.95, critic, 1.0)[2, :, 0].sum()
            / by_update(None, 0.9, 0.95, critic, 1.0)[2, :, 0].sum()
        ).item()
        - 1
        for name in ("AD", "LVC")
        for critic in (0.0, 0.5, 1.0, 1.5)
    }
    assert [gaps["AD", c] for c in (0.0, 0.5, 1.0, 1.5)] == pytest.approx([-0.307, -0.167, -0.0007, 0.193], abs=0.0006)
    assert max(abs(gaps["LVC", c]) for c in (0.0, 0.5, 1.0, 1.5)) < 0.0105
    kept = by_update("AD", 0.9, 0.95, 0.0, 1.0)[2, :3, 0] / by_update(None, 0.9, 0.95, 0.0, 1.0)[2, :3, 0]
    assert close(kept, double([0.425, 0.648, 1.0]), 0.005)


def test_sampled_estimates_tend_to_the_expectation() -> None:
    """K = 2, 400 estimates from 1024 windows, whose compositional bias is below their noise; false alarm 1e-6."""
    result = last(Settings(n_inner_steps=2, n_windows=1024, n_trials=50))
    found = torch.cat(
        [last(Settings(n_inner_steps=2, n_windows=1024, n_trials=50), seed).estimates for seed in range(4)]
    )
    assert not rejects(found[:, None], result.expected[1:2])
    assert rejects(found[:, None], result.truth[1:2])


@pytest.mark.parametrize("t", [1, 2, 10, 1000])
def test_the_derivative_of_adams_step(t: int) -> None:
    gradient, still = double(-0.5).requires_grad_(), {"x": double(0.0)}
    state = Adam().init(still)
    for _ in range(t - 1):
        _, state = Adam().step(still, {"x": gradient.detach()}, state, 1.0)
    (slope,) = torch.autograd.grad(-Adam().step(still, {"x": gradient}, state, 1.0)[0]["x"], gradient)
    wanted = 0.1 / (1 - 0.9**t) - 0.001 / (1 - 0.999**t)
    assert (0.5 * slope).item() == pytest.approx(wanted, abs=1e-7)


# --- the explorer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("meta", ["γ", "λ"])
def test_the_shown_code_reproduces_the_numbers(meta: str) -> None:
    settings = Settings(estimator="LVC", meta=meta, n_inner_steps=2, critic=1.5, **SMALL)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 3), names)
    result = last(settings, 3)
    assert close(names["truth"], result.truth[1], 1e-10)
    assert close(names["expected"], result.expected[1], 1e-10)
    assert close(names["estimates"], result.estimates, 1e-10)


def test_shares_add_up_and_more_trials_keep_the_first() -> None:
    few, many = (last(Settings(**SMALL | {"n_trials": n})) for n in (10, 20))
    assert close(few.true_shares.sum(), few.truth[2], 1e-12)
    assert close(few.expected_shares.sum(), few.expected[2], 1e-12)
    assert torch.equal(many.estimates[:10], few.estimates)


def test_figure_line_and_table_say_the_same() -> None:
    result = last(Settings(**SMALL))
    figure, summary = draw(result)
    assert f"{result.expected[2]:.3g} with endless data, truth {result.truth[2]:.3g} (-31%)" in summary
    curve = next(trace for trace in figure.data if trace.name == "AD, endless data")
    assert list(curve.y) == result.expected.tolist()
    bars = next(trace for trace in figure.data if trace.name == "truth")
    assert list(bars.y) == result.true_shares.tolist()
    assert any(note.text == "42%" for note in figure.layout.annotations)
    frame = table(result)
    assert frame["truth"].dropna().tolist() == result.truth.tolist()
    assert frame["estimate"].dropna().tolist() == result.estimates.tolist()


def test_each_setting_can_be_drawn() -> None:
    explorer = gl.explorers.through_updates(**SMALL)
    for name, values in explorer.controls.ranges().items():
        for value in values:
            _, summary = draw(last(Settings(**SMALL | {name: value})))
            assert "truth" in summary


def test_the_graph_names_each_way() -> None:
    traces, arrows = graph(3)
    labels = {arrow["text"] for arrow in arrows}
    assert {"αD₀", "αD₁", "αD₂", "X₁", "X₂", "no φ", "v"} <= labels
    assert "X₀" not in labels
    assert {"<b>θ⁰</b>", "<b>τ₃</b>", "<b>φ</b>", "<b>L</b>"} <= set(traces[0]["text"])
    assert words(3).startswith("θ⁰ → θ¹ → θ² → θ³ → outer loss")
