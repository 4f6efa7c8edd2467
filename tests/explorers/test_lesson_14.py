"""What lesson 14 says of its statistics and of what is shipped."""

from __future__ import annotations

import numpy as np
import pytest

from gmrl_lab.atari import figures, quality_figure


def test_interval_of_three_runs_is_their_range() -> None:
    """4,000 experiments with a known median: within 5 standard errors (0.7%) of 75%; ten runs are far from it."""
    scores = np.random.default_rng(1).normal(size=(4000, 3, 1))
    low, high = figures.stratified_interval(scores, n_resamples=1000)
    np.testing.assert_allclose(low, scores.min((1, 2)), rtol=1e-12)
    np.testing.assert_allclose(high, scores.max((1, 2)), rtol=1e-12)
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.75, abs=0.035)
    low, high = figures.stratified_interval(np.random.default_rng(1).normal(size=(4000, 10, 1)), n_resamples=300)
    assert ((low <= 0) & (high >= 0)).mean() > 0.85


def test_two_equal_variants_lie_apart_one_time_in_ten() -> None:
    """20,000 pairs: within 5 standard errors (0.2%) of 10%."""
    a, b = np.random.default_rng(2).normal(size=(2, 20_000, 3))
    apart = (a.max(1) < b.min(1)) | (b.max(1) < a.min(1))
    assert apart.mean() == pytest.approx(0.1, abs=0.011)


def test_a_uniform_policy_scores_more_and_more_on_qbert() -> None:
    games = figures.shipped("uniform")
    assert games.attrs["entropy"] == pytest.approx(np.log(6), abs=1e-5)
    assert games.attrs["settings"]["inner_lr"] == 1e-30
    early, late = (games[games["step"] <= step]["return"][-64:] for step in (20_000, 30_000))
    first = games.groupby("environment")["return"].first()
    assert len(first) == games.attrs["settings"]["n_envs"] == 64
    assert late.mean() - early.mean() > 4 * first.sem(), "far more than the noise of 64 games"
    assert abs(late.mean() - first.mean()) < 2 * first.sem()


def test_the_bias_on_atari_lies_below_the_noise_and_lvc_repairs_it() -> None:
    quality = quality_figure.shipped()
    table = (
        quality.assign(
            off=quality["bias_squared"].clip(0) ** 0.5 / quality["reference_norm"],
            noise=quality["variance"].clip(0) ** 0.5 / quality["reference_norm"],
        )
        .set_index(["game", "inner_lr", "K", "n_windows", "estimator"])
        .sort_index()
    )
    for game, lr, ad, lvc in (("Qbert", 0.1, 0.013, 0.0003), ("Assault", 28.0, 0.77, 0.024)):
        assert table["off"][game, lr, 3, np.inf, "AD"] == pytest.approx(ad, abs=0.005)
        assert table["off"][game, lr, 3, np.inf, "LVC"] == pytest.approx(lvc, abs=0.0005)
        step = table["step_length"][game, lr].iloc[0]
        assert step == pytest.approx(quality.attrs["games"][game]["training_step"], rel=0.05), "as long as training's"
    assert table["off"]["Qbert", 0.3, 5, np.inf, "AD"] == pytest.approx(0.71, abs=0.01)
    assert table["cosine"]["Qbert", 0.5, 5, np.inf, "AD"] < -0.9
    assert table["noise"]["Qbert", 0.1, 3, 64, "AD"] == pytest.approx(0.42, abs=0.01)
    assert table["noise"]["Assault", 0.1, 3, 64, "AD"] > 1000


@pytest.mark.parametrize(("name", "least"), [("proof", 0.975), ("reduced", 0.99)])
def test_policies_of_the_shipped_runs_are_still_uniform(name: str, least: float) -> None:
    table = figures.shipped(name)
    left = table["entropy"] / table.groupby(["game", "variant", "seed"])["entropy"].transform("first")
    assert left.min() > least


def test_on_one_seed_the_variants_play_the_same_games_of_qbert() -> None:
    table = figures.shipped("proof")
    last = table.query("game == 'Qbert'").groupby("variant").last()
    assert last["score"].nunique() == last["games"].nunique() == 1, "the same games"
