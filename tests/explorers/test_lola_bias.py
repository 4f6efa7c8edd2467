"""Lesson 12's explorer: its numbers are those of the shown code, shown while the players learn."""

import contextlib
import io
from itertools import islice
from typing import Any

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers.lola_bias import Result, Settings, code, compute, draw, table

SMALL: dict[str, Any] = {"n_inner": 16, "n_outer": 16, "n_updates": 20, "n_seeds": 4}
MIXED = Settings(inner="off", hessian="exact", **SMALL)


def last(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


def test_the_shown_code_reproduces_the_numbers() -> None:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(MIXED, 3), names)
    result, run = last(MIXED, 3), names["run"]
    torch.testing.assert_close(run["score"].mean(-1), result.score, rtol=1e-12, atol=0)
    torch.testing.assert_close(run["cosine"].nanmean(-1), result.cosine, rtol=1e-12, atol=0, equal_nan=True)
    share = run["effective_sample_size"][..., 0].mean(-1) / 16
    torch.testing.assert_close(share, result.effective[..., 0], rtol=1e-12, atol=0)
    assert result.effective[..., 1].isnan().all()


def test_a_seed_alone_is_the_seed_among_others() -> None:
    alone = last(Settings(inner="off", hessian="exact", **SMALL | {"n_seeds": 1}), 2)
    torch.testing.assert_close(last(MIXED).score[:, 2:3], alone.score, rtol=1e-12, atol=0)


def test_exact_throughout_is_the_exact_learner() -> None:
    result = last(Settings(inner="exact", hessian="exact", outer="exact", **SMALL))
    torch.testing.assert_close(result.score, result.exact.unsqueeze(-1).expand(20, 4), rtol=1e-12, atol=0)
    figure, summary = draw(result)
    assert "4 of 4" in summary
    assert not [trace for trace in figure.data if trace.name in ("inner", "mixed derivative")]


def test_shown_while_it_learns() -> None:
    shown = [(progress, len(result.score)) for progress, result in islice(compute(MIXED, 0), 5)]
    assert shown == [(i / 20, i) for i in (1, 2, 4, 6, 8)]


def test_figure_line_and_table_say_the_same() -> None:
    result = last(MIXED)
    figure, summary = draw(result)
    mean = next(trace for trace in figure.data if trace.name == "mean of runs ± 95%")
    assert mean.y[-1] == pytest.approx(result.score[-1].mean().item())
    assert f"{result.score[-1].mean():.2f} ± " in summary
    agreement = next(trace for trace in figure.data if trace.name == "whole meta-gradient")
    assert agreement.y[-1] == pytest.approx(result.cosine.nanmean().item())
    assert "after 20 of 20 updates" in summary
    assert f"of 16 stored plays for inner {result.effective[-1, :, 0].mean():.0%} count" in summary
    frame = table(result)
    assert len(frame) == 20 * 4
    assert frame.loc[frame["update"] == 20, "score"].tolist() == pytest.approx(result.score[-1].tolist())


def test_one_run_has_no_interval() -> None:
    figure, summary = draw(last(Settings(**SMALL | {"n_seeds": 1})))
    assert "±" not in summary
    assert not [trace for trace in figure.data if trace.fill == "toself"]


@pytest.mark.parametrize("field", ["inner", "hessian", "outer", "estimator", "baseline"])
def test_each_choice_learns(field: str) -> None:
    explorer = gl.explorers.lola_bias(**SMALL)
    for value in explorer.controls.ranges()[field]:
        settings = Settings(**SMALL | {field: value})
        *_, (_, result) = islice(compute(settings, 0), 3)
        draw(result)
        assert result.score.shape == (4, 4)
        assert result.score.isfinite().all()
