"""Lesson 10's explorers: their numbers are those of the shown code, and their parts add up."""

import contextlib
import io
from dataclasses import replace
from typing import Any

import pytest
import torch

from gmrl_lab.explorers import bias_cost, lirpg
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.paper.drawing import curve
from gmrl_lab.paper.shipped import FOLDER

pytestmark = pytest.mark.skipif(not (FOLDER / "figure_8.parquet").exists(), reason="the table is not shipped yet")

BROWSE, TRAIN = lirpg.Settings(), bias_cost.Settings(n_outer_steps=10, n_trajectories=4, n_inner_steps=1)


def browsed(settings: lirpg.Settings, seed: int = 0) -> lirpg.Result:
    *_, (progress, result) = lirpg.compute(settings, seed)
    assert progress == 1.0
    return result


def executed(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    return names


@pytest.mark.parametrize(
    "settings",
    [
        BROWSE,
        replace(BROWSE, against="|τ|", quantity="variance", baseline="both", estimator="AD", n_inner_steps=2),
        replace(BROWSE, fresh=True, estimator="LVC", n_inner_steps=1, quantity="cosine"),
    ],
)
def test_the_shown_code_reproduces_the_curves(settings: lirpg.Settings) -> None:
    names, result = executed(lirpg.code(settings, 3)), browsed(settings, 3)
    figure, _ = lirpg.draw(result)
    drawn = {trace.name: list(trace.y) for trace in figure.data if trace.xaxis == "x"}
    for (estimator, attached), found in names["curves"].items():
        name = estimator if attached else f"{estimator}, detached"
        assert found["mean"].tolist() == drawn[name]
    if settings.fresh:
        y = lirpg.QUANTITIES[settings.quantity]
        assert names["fresh"]["LVC", True][y].tolist() == pytest.approx(result.fresh[y].tolist(), rel=1e-12)


def test_bars_add_up_and_the_truth_is_drawn() -> None:
    figure, summary = lirpg.draw(browsed(replace(BROWSE, baseline="both")))
    parts = {trace.name: trace.y for trace in figure.data if trace.xaxis == "x3"}
    for squared, variance, mse in zip(parts["bias²"], parts["variance"], parts["MSE"], strict=True):
        assert squared + variance == pytest.approx(mse, rel=1e-9)
    assert [1, 1] in [list(trace.y) for trace in figure.data if trace.name == "exact"]
    assert "correlation LVC 0.833 [0.759, 0.908]" in summary


def test_every_point_of_the_axes_is_there() -> None:
    by_steps = browsed(BROWSE)
    assert curve(by_steps.at(by_steps.table, "AD", True), "n_inner_steps", "pearson")["n_inner_steps"].tolist() == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert set(browsed(replace(BROWSE, against="|τ|")).table["n_trajectories"]) == {16, 32, 64, 128, 256}


def test_new_trials_come_one_series_at_a_time_and_depend_on_the_seed() -> None:
    settings = replace(BROWSE, fresh=True, n_inner_steps=2)
    pieces = [(progress, len(result.fresh)) for progress, result in lirpg.compute(settings, 0)]
    assert pieces == [(0.0, 0), (1 / 3, 10), (2 / 3, 20), (1.0, 30)]
    first, again, other = (browsed(settings, seed).fresh["pearson"].tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_table_says_which_rows_are_new() -> None:
    frame = lirpg.table(browsed(replace(BROWSE, fresh=True, estimator="LVC", n_inner_steps=1)))
    assert frame["fresh"].value_counts().to_dict() == {False: 50, True: 10}


@pytest.mark.parametrize("field", list(Controls(lirpg.Settings).ranges()))
def test_each_control_of_the_table_moves_through_its_range(field: str) -> None:
    explorer = lirpg.lirpg_experiments(n_inner_steps=1)
    for value in explorer.controls.ranges()[field]:
        result = explorer.run(**{field: value})
        assert getattr(result.settings, field) == value
        assert len(result.table)


def test_the_shown_code_reproduces_the_training() -> None:
    names = executed(bias_cost.code(TRAIN, 2))
    *_, (progress, result) = bias_cost.compute(TRAIN, 2)
    assert progress == 1.0
    torch.testing.assert_close(names["exact"][:, 0], result.exact, rtol=1e-12, atol=0)
    torch.testing.assert_close(names["alone"][:, 0], result.alone, rtol=1e-12, atol=0)
    torch.testing.assert_close(names["sampled"], result.sampled, rtol=1e-12, atol=0)


def test_what_is_missing_is_the_sum_of_its_parts() -> None:
    *_, (_, result) = bias_cost.compute(TRAIN, 0)
    figure, summary = bias_cost.draw(result)
    bars = {trace.name: trace.y[0] for trace in figure.data if trace.type == "bar"}
    assert bars["bias"] + bars["noise and sampled updates"] == pytest.approx(bars["in all ± 95%"])
    assert bars["in all ± 95%"] == pytest.approx((result.exact[-1] - result.sampled[-1].mean()).item())
    assert "after 10 of 10 outer steps" in summary
    assert len(bias_cost.table(result)) == 11


def test_training_is_shown_step_by_step() -> None:
    steps = [(progress, len(result.exact)) for progress, result in bias_cost.compute(TRAIN, 0)]
    assert steps == [(i / 10, i + 1) for i in range(11)]


@pytest.mark.parametrize("field", ["algorithm", "estimator", "outer_lr", "n_trajectories"])
def test_each_control_of_the_training_moves_through_its_range(field: str) -> None:
    explorer = bias_cost.meta_training(n_outer_steps=10, n_inner_steps=1, n_trajectories=4)
    for value in explorer.controls.ranges()[field]:
        result = explorer.run(**{field: value})
        assert getattr(result.settings, field) == value
        assert result.sampled.isfinite().all()
