"""What lesson 08 says about Figures 1(a, b), 5, 6 and 7, held to the shipped tables and to what is exact."""

from dataclasses import asdict

import pandas as pd
import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.paper import Table2, shipped, verdicts
from gmrl_lab.paper.cells import maml
from gmrl_lab.paper.judging import READING, REPRODUCED
from gmrl_lab.paper.statistics import interval

NOISES = (0.0, 0.25, 0.5, 1.0)


def stretched(noise: float, draws: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """AD's ESE estimate from infinitely many trajectories at θ = 0, one for each draw of the noise; and the truth."""
    mdps, theta = gl.random_mdp(seed=range(10)), torch.zeros(20, 5, dtype=torch.float64)
    ahead = gl.exact.gradient(mdps, theta + 10.0 * gl.exact.gradient(mdps, theta))
    values = gl.exact.value(mdps, theta)
    wrong = noise * draws * values.norm(dim=-1, keepdim=True) / 20
    factor = 1 + 10.0 / 5 * gl.exact.occupancy(mdps, theta, 20) * wrong
    return factor.unsqueeze(-1) * ahead, gl.meta_gradient(gl.MAML(mdps), theta, 1, 10.0)


def test_figure_1_is_reproduced() -> None:
    assert [verdict.verdict for verdict in verdicts("1", shipped("1"))[:3]] == [REPRODUCED] * 3


def test_figure_5_is_reproduced_but_for_the_plateau() -> None:
    found = verdicts("5", shipped("5"))
    assert [verdict.verdict for verdict in found] == [REPRODUCED, READING, REPRODUCED, REPRODUCED, REPRODUCED]
    assert found[1].evidence.count("|τ|") == 4
    assert "ESE at |τ| = 128, ESE at |τ| = 256, SSE at |τ| = 128, SSE at |τ| = 256" in found[1].evidence


def test_loaded_dice_catches_up_with_lvc() -> None:
    """In accuracy; and its error at 256 is variance, LVC's is bias."""
    table = shipped("5")
    wide = table[table["parts"] == "SSS"].pivot_table("pearson", "mdp", ["estimator", "n_trajectories"])
    gaps = {n: interval(wide["LVC", n] - wide["Loaded DiCE", n]) for n in (8, 256)}
    assert gaps[8][0] - gaps[8][1] > 0.05
    assert abs(gaps[256][0]) < gaps[256][1] < 0.01
    ese = table[(table["parts"] == "ESE") & (table["n_trajectories"] >= 128)]
    means = ese.assign(**{c: ese[c] / ese["exact_squared"] for c in ("bias_squared", "covariance_trace", "mse")})
    means = means.groupby(["estimator", "n_trajectories"])[["bias_squared", "covariance_trace", "mse"]].mean()
    lvc, loaded = means.loc[("LVC", 256)], means.loc[("Loaded DiCE", 256)]
    assert lvc["bias_squared"] > 0.7 * lvc["mse"]
    assert abs(loaded["bias_squared"]) < 0.05 * loaded["mse"]
    halving = loaded["covariance_trace"] / means.loc[("Loaded DiCE", 128), "covariance_trace"]
    assert 0.4 < halving < 0.6


def test_mdps_differ_more_than_trials() -> None:
    table = shipped("5")
    point = table[(table["estimator"] == "LVC") & (table["parts"] == "SSS") & (table["n_trajectories"] == 32)]
    over_trials = 1.96 * (point["pearson_std"].pow(2) / 20).sum() ** 0.5 / len(point)
    assert interval(point["pearson"])[1] > 2 * over_trials


def test_the_plateau_is_a_factor_for_each_state() -> None:
    """The closed form is the exact H₂ with a wrong baseline; one wrong bootstrap more moves it by less than 25%."""
    mdps, theta = gl.random_mdp(seed=range(10)), torch.zeros(20, 5, dtype=torch.float64)
    draw = torch.randn(10, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = gl.exact.value(mdps, theta)
    wrong = values + draw * values.norm(dim=-1, keepdim=True) / 20
    kept = gl.exact.hessian_parts(mdps, theta, 20, terminal=values, baseline=wrong).curvature
    ahead = gl.exact.gradient(mdps, theta + 10.0 * gl.exact.gradient(mdps, theta)).flatten(1)
    exactly = (ahead + 10.0 * torch.einsum("mij,mj->mi", kept, ahead)).unflatten(-1, (20, 5))
    torch.testing.assert_close(stretched(1.0, draw)[0], exactly, rtol=1e-9, atol=1e-12)
    both = gl.exact.hessian_parts(mdps, theta, 20, terminal=wrong, baseline=wrong).curvature
    assert (both - kept).norm() < 0.25 * kept.norm()


@pytest.mark.parametrize("noise", NOISES)
def test_the_plateau_is_where_the_factors_put_it(noise: float) -> None:
    """Each limit lies in the 95% interval of what 256 trajectories give, and in no other noise's."""
    draws = torch.randn(2000, 10, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    limit = gl.accuracy(*stretched(noise, draws), "pearson", event_dims=2).mean().item()
    table = shipped("noise")
    at = table[(table["estimator"] == "AD") & (table["n_trajectories"] == 256)]
    inside = []
    for other in NOISES:
        mean, half = interval(at[at["value_noise"] == other]["pearson"])
        inside.append(abs(limit - mean) < half)
    assert inside == [other == noise for other in NOISES]


def test_a_value_table_for_each_trajectory_removes_the_plateau() -> None:
    """The smallest of ten MDPs' accuracies with 128 of them is above the mean with one."""
    found = {}
    for per in ("call", "trajectory"):
        settings = asdict(Table2(n_trials=5, noise_per=per))
        rows = maml(estimator="AD", n_trajectories=128, parts="ESE", seed=0, **settings)
        found[per] = pd.DataFrame(rows)["pearson"]
    assert found["trajectory"].min() > 0.9 > 0.8 > found["call"].mean()


@pytest.mark.parametrize(("figure", "column"), [("6", "inner_lr"), ("7", "n_inner_steps")])
def test_the_inner_error_catches_up(figure: str, column: str) -> None:
    lvc = shipped(figure).query("estimator == 'LVC'")
    error = lvc.assign(error=lvc["mse"] / lvc["exact_squared"]).pivot_table("error", column, "parts", aggfunc="median")
    first, last = error.iloc[0], error.iloc[-1]
    assert last["SEE"] / first["SEE"] > 10 * last["EES"] / first["EES"]
    assert first["SEE"] < first["EES"]
    assert last["SEE"] > last["EES"]
    (verdict,) = verdicts(figure, shipped(figure))
    assert verdict.verdict == READING
