"""Learning curves: the statistics against their definitions, and titles that cannot hide the scale."""

from itertools import product

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy import stats

from gmrl_lab.atari import figures
from gmrl_lab.atari.environments import GAMES
from gmrl_lab.atari.grid import run_name


def runs(seeds: int = 3, games: tuple[str, ...] = ("Qbert", "Seaquest"), steps: int = 5) -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for game in games:
        for variant in ("a2c", "mgrl", "mgrl-lvc"):
            for seed in range(seeds):
                for step in range(steps):
                    known = {
                        "game": game,
                        "variant": variant,
                        "seed": seed,
                        "scale": "42×42, reduced",
                        "step": 1000 * step,
                        "games": 64 * step,
                    }
                    meta = dict.fromkeys(figures.META_PARAMETERS, rng.uniform())
                    rows.append(known | meta | {"score": np.nan if step == 0 else step + rng.normal()})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 8), (2, 2), (10, 26)])
def test_interquartile_mean_is_scipys_trimmed_mean(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(1).normal(size=(4, *shape))
    wanted = [stats.trim_mean(one, 0.25, axis=None) for one in scores]
    np.testing.assert_allclose(figures.interquartile_mean(scores), wanted, rtol=1e-13)


def test_interval_of_enumerable_resamples() -> None:
    """Two runs: 0 and 1. The resampled mean is 0, ½, 1 with probabilities ¼, ½, ¼, so that the 95% ends are 0 and 1."""
    low, high = figures.stratified_interval([[[0.0], [1.0]]], n_resamples=500)
    assert (low.item(), high.item()) == (0.0, 1.0)
    low, high = figures.stratified_interval([[[0.0], [1.0]]], n_resamples=500, level=0.4)
    assert (low.item(), high.item()) == (0.5, 0.5)


def test_resampling_stays_within_a_task() -> None:
    """Tasks that differ by 100 but whose runs agree have no spread; resampling across tasks would give one."""
    low, high = figures.stratified_interval([[[0.0, 100.0], [0.0, 100.0]]])
    assert low.item() == high.item() == 50.0


def test_interval_covers_about_as_often_as_it_says() -> None:
    """Ten runs of eight tasks, 300 experiments: coverage of 95% intervals, with room for 5 standard errors (1.3%)."""
    scores = np.random.default_rng(2).normal(size=(300, 10, 8))
    low, high = figures.stratified_interval(scores, n_resamples=300)
    covered = ((low <= 0) & (high >= 0)).mean()
    assert 0.86 <= covered <= 1.0
    shifted = ((low <= 0.35) & (high >= 0.35)).mean()
    assert shifted < 0.5, "a value that is three standard errors off is mostly outside"


def test_a_single_run_has_no_interval() -> None:
    low, high = figures.stratified_interval([[[3.0]]])
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    at = figures.curve(runs(seeds=1).query("game == 'Qbert' and variant == 'a2c'"))
    assert at["low"].isna().all()


def test_curve_has_the_steps_that_every_seed_reached() -> None:
    table = runs().query("game == 'Qbert' and variant == 'a2c'")
    table = table[(table["seed"] < 2) | (table["step"] < 4000)]
    at = figures.curve(table)
    assert at["step"].tolist() == [1000, 2000, 3000]
    assert at["n_seeds"].tolist() == [3, 3, 3]
    assert at["games"].tolist() == [64, 128, 192]
    wanted = table[table["step"] == 2000]["score"].mean()
    assert at["mean"][1] == pytest.approx(wanted)
    assert ((at["low"] <= at["mean"]) & (at["mean"] <= at["high"])).all()


def keys(figure: go.Figure) -> list[str]:
    """What the legend says, each once; its lines are drawn nowhere."""
    found = [trace for trace in figure.data if trace.showlegend]
    assert all(np.isnan([*trace.x, *trace.y]).all() for trace in found)
    return [trace.name for trace in found]


def curves(figure: go.Figure) -> list[go.Scatter]:
    """Lines, without bands and the legend's."""
    return [trace for trace in figure.data if trace.fill is None and not trace.showlegend]


@pytest.mark.parametrize("number", ["4", "10"])
def test_every_panel_says_its_scale(number: str) -> None:
    figure = figures.draw(number, runs())
    titles = [title["text"] for title in figure.layout.annotations]
    assert titles == [
        f"<b>{game}: 4,000 steps, 0.0001 of the paper's<br>42×42, reduced; 3 seeds</b>"
        for game in ("Qbert", "Seaquest")
    ]
    lines, labels = curves(figure), ["A2C", "3-step MGRL", "3-step MGRL + LVC"]
    assert [trace.name for trace in lines] == 2 * labels
    assert keys(figure) == labels
    assert len(figure.data) == 12 + 3, "a band for each line, and the legend"
    assert len({trace.line.color for trace in lines}) == len({trace.line.dash for trace in lines}) == 3


def test_scores_of_few_games_are_faint_and_have_no_band() -> None:
    """One seed of A2C has played 63 games at step 2,000, MGRL never more than 63."""
    table = runs(games=("Qbert",))
    a2c, mgrl = table["variant"] == "a2c", table["variant"] == "mgrl"
    table.loc[a2c & (table["seed"] == 1), "games"] = table["step"] * 63 // 2000
    table.loc[mgrl, "games"] = table["step"] * 63 // 4000
    figure = figures.draw("10", table)
    drawn = {trace.name: trace for trace in curves(figure)}
    few = ", fewer than 64 games"
    assert list(drawn) == [f"A2C{few}", "A2C", f"3-step MGRL{few}", "3-step MGRL + LVC"]
    assert list(drawn[f"A2C{few}"].x) == [1000, 2000, 3000], "it ends where the score begins"
    assert list(drawn["A2C"].x) == [3000, 4000]
    assert list(drawn[f"3-step MGRL{few}"].x) == [1000, 2000, 3000, 4000]
    assert [trace.opacity for trace in drawn.values()] == [figures.FAINT, None, figures.FAINT, None]
    assert keys(figure) == ["A2C", "3-step MGRL", "3-step MGRL + LVC"]
    assert len(figure.data) - 3 == 6, "two bands, of scores alone"


def test_a_panel_without_a_finished_game_says_so() -> None:
    table = runs()
    table.loc[table["game"] == "Qbert", "score"] = np.nan
    figure = figures.draw("10", table)
    assert "no game has ended" in curves(figure)[0].text
    assert len(figure.layout.annotations) == 2
    assert [trace.name for trace in curves(figure)[1:]] == keys(figure)


def test_meta_parameters_have_a_panel_each_and_leave_the_baseline_out() -> None:
    table = runs(seeds=1)
    figure = figures.draw("11", table)
    lines = curves(figure)
    assert len(lines) == len(figure.data) - len(keys(figure)) == 2 * 2 * 4
    assert {trace.name for trace in lines} == {"3-step MGRL", "3-step MGRL + LVC"}
    wanted = table.query("game == 'Qbert' and variant == 'mgrl'")["gae_lambda"]
    assert list(lines[2].y) == wanted.tolist()


def test_what_cannot_be_drawn_is_named() -> None:
    with pytest.raises(ValueError, match=r"figure: got '5', allowed is one of '4', '10', '11'"):
        figures.draw("5", runs())
    with pytest.raises(ValueError, match="table: got no rows"):
        figures.draw("4", runs().iloc[:0])
    with pytest.raises(ValueError, match=r"variant: got 'ppo', allowed is one of 'a2c'"):
        figures.draw("4", runs().assign(variant="ppo"))
    with pytest.raises(ValueError, match=r"name: got 'pong', allowed is one of those shipped"):
        figures.shipped("pong")


@pytest.mark.parametrize(
    ("name", "games", "n_seeds", "n_steps"),
    [("proof", tuple(GAMES), 1, 50_000), ("reduced", ("Qbert", "Assault"), 3, 150_000)],
)
def test_what_is_shipped_says_what_made_it_and_can_be_drawn(
    name: str, games: tuple[str, ...], n_seeds: int, n_steps: int
) -> None:
    table = figures.shipped(name)
    runs_in = {run_name(*run): rows for run, rows in table.groupby(["game", "variant", "seed"])}
    assert set(runs_in) == {run_name(*run) for run in product(games, ("a2c", "mgrl", "mgrl-lvc"), range(n_seeds))}
    assert table.attrs["steps"] == n_steps
    for each in ("commands", "commits", "steps_per_second"):
        assert set(table.attrs[each]) == set(runs_in)
    assert all(rows["step"].max() >= table.attrs["steps"] for rows in runs_in.values())
    assert set(table.attrs["seeds"]) == set(table["seed"])
    assert "no verdict" in table.attrs["note"]
    assert {"torch", "ale-py", "python"} <= set(table.attrs["versions"])
    assert "CPU" in table.attrs["machine"]
    titles = [title["text"] for title in figures.draw("4", table).layout.annotations]
    assert len(titles) == table["game"].nunique()
    assert all(" of the paper's<br>reduced: 42×42" in title for title in titles)
