"""The paper's figures: their tables, intervals and pictures, and verdicts that a doctored table does not pass."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from helpers import close
from pandas.testing import assert_frame_equal
from scipy import stats

import gmrl_lab as gl
from gmrl_lab import paper
from gmrl_lab.paper import cells
from gmrl_lab.paper.drawing import READINGS, curve
from gmrl_lab.paper.figures import ESTIMATORS, Axes
from gmrl_lab.paper.judging import NOT, READING, REPRODUCED
from gmrl_lab.paper.settings import SCALES, Table2
from gmrl_lab.paper.shipped import FOLDER, save
from gmrl_lab.paper.statistics import interval
from gmrl_lab.paper.training import ALGORITHMS, Training, train
from gmrl_lab.permutations import SAMPLED_PARTS
from gmrl_lab.sweep import write_table

SMALL = Table2(n_states=5, n_actions=3, horizon=6, concentration=0.5)
CI = paper.Run("ci", n_jobs=1, progress=False)
ALL = {**paper.FIGURES, **paper.BEYOND}


@cache
def table(figure: str) -> pd.DataFrame:
    """Of small MDPs, at scale ci."""
    return ALL[figure](CI, SMALL)


# --- the tables ---------------------------------------------------------------------------------------------------

MEASURED = ["pearson", "pearson_std", "cosine", "cosine_std", "covariance_trace", "sum_of_std", "bias_squared"]
MEASURED += ["bias_squared_error", "mse", "exact_squared"]
KEYS = {
    "1": (["panel", "estimator", "n_trajectories", "n_inner_steps", "parts", "grad_baseline"], 2 * 2 * 3 + 2 * 2 * 2),
    "2": (["panel", "n_inner_steps", "inner_lr", "n_trajectories", "curvature"], 2 + 2 + 2 + 2 * 4),
    "5": (["estimator", "n_trajectories", "parts"], 4 * 2 * 7),
    "6": (["estimator", "inner_lr", "parts"], 4 * 2 * 7),
    "7": (["estimator", "n_inner_steps", "parts"], 4 * 2 * 7),
    "8": (["estimator", "n_inner_steps", "n_trajectories", "grad_baseline"], 3 * 2 * 2),
    "noise": (["estimator", "value_noise", "n_trajectories"], 2 * 4 * 2),
}
"""Figure → what tells its rows of an MDP apart, and how many points it has at scale ci."""


@pytest.mark.parametrize("figure", KEYS)
def test_a_row_for_each_mdp_and_setting(figure: str) -> None:
    keys, points = KEYS[figure]
    found = table(figure)
    assert len(found) == 2 * points
    assert not found.duplicated([*keys, "mdp"]).any()
    assert sorted(found["mdp"].unique()) == [0, 1]
    assert found.index.tolist() == list(range(len(found)))
    assert set(vars(SMALL)) <= set(found.columns)


@pytest.mark.parametrize("figure", KEYS)
def test_measured_columns_are_finite_and_in_range(figure: str) -> None:
    found = table(figure)
    if figure == "2":
        injected = found[found["panel"] == "d"]
        assert np.isfinite(injected[["bias", "bias_std", "hessian_error"]]).all(axis=None)
        found = found[found["panel"] != "d"]
    assert np.isfinite(found[MEASURED]).all(axis=None)
    assert found["pearson"].abs().max() <= 1 + 1e-12
    assert (found[["covariance_trace", "sum_of_std", "mse", "exact_squared"]] > 0).all(axis=None)


def test_training_has_a_row_for_each_run_and_step() -> None:
    found = table("training")
    keys = ["algorithm", "estimator", "n_inner_steps", "run", "outer_step"]
    assert len(found) == 2 * 5 * 2 * 2 * 5
    assert not found.duplicated(keys).any()
    start = found[found["outer_step"] == 0].groupby("algorithm")["meta_objective"].nunique()
    assert (start <= 2).all(), "all estimators start from the same point: one value for each K"


@pytest.mark.parametrize("figure", ["5", "8"])
def test_same_seed_same_table_and_another_seed_another(figure: str) -> None:
    again = ALL[figure](replace(CI, n_jobs=1), SMALL)
    assert_frame_equal(again, table(figure))
    other = ALL[figure](replace(CI, seed=1), SMALL)
    assert (other["pearson"] != again["pearson"]).all()
    assert (other["exact_squared"] == again["exact_squared"]).all(), "the MDPs are numbered, not seeded"


def test_what_else_is_in_the_scale_changes_nothing() -> None:
    more = replace(SCALES["ci"], sample_sizes=(2, 4, 32))
    found = paper.figure_5(replace(CI, scale=more), SMALL)
    assert_frame_equal(found[found["n_trajectories"] != 2].reset_index(drop=True), table("5"))


def test_a_number_is_the_same_setting_however_it_is_written() -> None:
    assert repr(Table2(inner_lr=10, value_noise=1)) == repr(Table2(inner_lr=10.0, value_noise=1.0))


@pytest.mark.parametrize("cell", [cells.maml, cells.lirpg])
def test_cells_name_an_estimator_that_they_do_not_know(cell: Callable[..., object]) -> None:
    own = {"parts": "ESE"} if cell is cells.maml else {"gae_lambda": 0.9, "grad_baseline": True}
    with pytest.raises(ValueError, match="estimator: got 'LVCC', allowed is one of 'AD', 'LVC'"):
        cell(estimator="LVCC", n_trajectories=2, seed=0, **own)


def test_estimators_share_random_numbers() -> None:
    """AD, LVC and DiCE see the same trajectories: with inner updates alone sampled, AD and LVC are the same."""
    found = table("5").query("parts == 'SEE'").set_index(["n_trajectories", "mdp"])
    ad, lvc = (found[found["estimator"] == name]["pearson"] for name in ("AD", "LVC"))
    assert np.allclose(ad, lvc, rtol=0, atol=1e-12)


def test_memory_limit_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"estimator": "LVC", "n_trajectories": 4, "seed": 3, **vars(replace(SMALL, n_mdps=2, n_trials=5))}
    whole = pd.DataFrame(cells.maml(parts="SEE SSS", **call))
    monkeypatch.setattr(cells, "TRAJECTORY_STEPS", 1)
    apart = pd.DataFrame(cells.maml(parts="SEE SSS", **call))
    assert_frame_equal(whole, apart, rtol=1e-9, atol=1e-12)


def test_a_cell_is_the_meta_gradient_on_its_seed() -> None:
    """One row by another route: plain calls of the library."""
    settings = replace(SMALL, n_mdps=2, n_trials=5)
    rows = pd.DataFrame(cells.maml(estimator="DiCE", n_trajectories=4, parts="ESE", seed=7, **vars(settings)))
    mdp = gl.random_mdp(5, 3, 0.8, 0.5, seed=1)
    phi = torch.zeros(5, 3, dtype=torch.float64)
    oracle = gl.Sampled(gl.DiCE(), 4, 6, baseline=gl.Baseline(1.0))
    both = gl.MAML(gl.random_mdp(5, 3, 0.8, 0.5, seed=range(2)))
    found = gl.meta_gradient(both, phi, 1, 10.0, hessian=oracle, n_trials=5, generator=gl.generators(7, 5))[:, 1]
    exact = gl.meta_gradient(gl.MAML(mdp), phi, 1, 10.0)
    correlations = [stats.pearsonr(x.flatten(), exact.flatten()).statistic for x in found]
    assert rows["pearson"][1] == pytest.approx(np.mean(correlations), abs=1e-10)
    assert rows["pearson_std"][1] == pytest.approx(np.std(correlations, ddof=1), abs=1e-10)
    assert rows["covariance_trace"][1] == pytest.approx(found.flatten(1).T.cov().trace().item(), rel=1e-10)


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(["horizon", "n_mdps", "n_states", "n_actions"], [0, -1, 1.5, True]),
        ("n_inner_steps", -1),
        ("n_trials", 2),
        *product(["discount"], [-0.1, 1.0, float("nan")]),
        *product(["value_noise"], [-1.0, float("inf"), float("nan")]),
        *product(["inner_lr", "concentration"], [0.0, -1.0, float("inf"), float("nan")]),
        ("noise_per", "step"),
    ],
)
def test_table_2_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: got "):
        Table2(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(["n_mdps", "outer_steps"], [0, 1.5]),
        *product(["n_trials", "bias_trials"], [2, 3.5]),
        *product(["sample_sizes", "inner_steps", "inner_lrs", "curvatures"], [(), (0,), (1, -2)]),
    ],
)
def test_scale_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: got "):
        replace(SCALES["ci"], **{field: value})


@pytest.mark.parametrize(("field", "value"), [("scale", "huge"), ("scale", None), ("seed", -1), ("seed", 0.5)])
def test_run_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: got "):
        paper.Run(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("algorithm", "MGRL"),
        ("estimator", "lvc"),
        ("n_trajectories", 0),
        ("n_outer_steps", 0),
        ("n_runs", 0),
        ("outer_lr", 0.0),
    ],
)
def test_training_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: got "):
        Training(**{field: value})


@pytest.mark.parametrize("function", [paper.draw, paper.verdicts])
def test_unknown_figure(function: object) -> None:
    with pytest.raises(ValueError, match=r"figure: got '12', allowed is one of '1', '2', "):
        function("12", pd.DataFrame())


# --- intervals ----------------------------------------------------------------------------------------------------


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(3, 2, 10)
    mean, half = interval(values)
    wanted = stats.t.interval(0.95, 9, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx(wanted, rel=1e-12)
    with_gaps = [*values[:4], np.nan, *values[4:], np.nan]
    assert interval(with_gaps) == pytest.approx((mean, half), rel=1e-12)


def test_interval_covers_95_in_100() -> None:
    """1500 samples of 5: the share that covers is within 4.5 standard errors of 0.95 (false alarm 1e-5)."""
    samples = np.random.default_rng(1).normal(1, 1, (1500, 5))
    covered = np.mean([abs(mean - 1) <= half for mean, half in map(interval, samples)])
    error = (0.95 * 0.05 / 1500) ** 0.5
    assert abs(covered - 0.95) < 4.5 * error
    normal = 1.96 / stats.t.ppf(0.975, 4)  # power: the normal quantile would be seen
    too_short = np.mean([abs(mean - 1) <= normal * half for mean, half in map(interval, samples)])
    assert abs(too_short - 0.95) > 4.5 * error


def test_interval_of_one_or_none() -> None:
    assert interval([2.0])[0] == 2.0
    assert np.isnan(interval([2.0])[1])
    assert np.isnan(interval([])).all()
    assert np.isnan(interval([np.nan])).all()


def test_curve_is_geometric_for_variances_alone() -> None:
    one = pd.DataFrame({"K": [1, 1, 2, 2], "pearson": [1.0, 4.0, 2.0, 2.0], "covariance_trace": [1.0, 4.0, 2.0, 2.0]})
    assert curve(one, "K", "pearson")["mean"].tolist() == pytest.approx([2.5, 2.0])
    variance = curve(one, "K", "covariance_trace")
    assert variance["mean"].tolist() == pytest.approx([2.0, 2.0])
    assert (variance["low"] > 0).all()
    assert (variance["high"] / variance["mean"]).tolist() == pytest.approx(
        (variance["mean"] / variance["low"]).tolist()
    )


# --- pictures -----------------------------------------------------------------------------------------------------

SERIES = {
    "1": ({"SEE", "ESE", "SSE", "|τ| = 32"}, 2 * 3 + 2),
    **dict.fromkeys("567", (set(ESTIMATORS), 2 * 7 * 4)),
    "8": ({"|τ| = 32"}, 2 * 3),
    "noise": ({f"noise {x:g}" for x in (0, 0.25, 0.5, 1)}, 2 * 4),
}
"""Figure → the names of its series, and how many lines all panels have together."""


@pytest.mark.parametrize("figure", SERIES)
def test_every_series_is_drawn_with_error_bars(figure: str) -> None:
    names, count = SERIES[figure]
    lines = [trace for trace in paper.draw(figure, table(figure)).data if trace.x]
    assert {trace.name for trace in lines} == names
    assert len(lines) == count
    for trace in lines:
        assert len(trace.x) == len(trace.y) == len(trace.error_y.array) == len(trace.error_y.arrayminus)
        assert len(trace.x) == 2
        assert np.isfinite([*trace.y, *trace.error_y.array, *trace.error_y.arrayminus]).all()
        assert min(*trace.error_y.array, *trace.error_y.arrayminus) >= 0
    shown = [trace.name for trace in lines if trace.showlegend]
    assert set(shown) == names
    assert len(shown) == len(names)


def test_figure_2_has_every_point_resolved_or_not() -> None:
    """Each of three readings in three panels and of four step sizes in the last, at two points each."""
    lines = [trace for trace in paper.draw("2", table("2")).data if trace.x or trace.error_y.array is not None]
    names = {name for _, name, _ in READINGS.values()} | {f"α = {x:g}" for x in (3, 3.5, 4, 4.5)}
    assert {trace.legendgroup for trace in lines} == names
    assert sum(len(trace.x) for trace in lines) == 2 * (3 * len(READINGS) + 4)
    for trace in lines:
        if "not resolved" not in trace.name:
            assert len(trace.x) == len(trace.error_y.array) == len(trace.error_y.arrayminus)
            assert min((*trace.error_y.array, *trace.error_y.arrayminus), default=0) >= 0


def test_a_point_and_its_bar_by_hand() -> None:
    picture = paper.draw("5", table("5"))
    trace = next(t for t in picture.data if t.name == "LVC")  # the first panel: correlation, SEE
    values = table("5").query("estimator == 'LVC' and parts == 'SEE' and n_trajectories == 32")["pearson"]
    low, high = stats.t.interval(0.95, 1, loc=values.mean(), scale=stats.sem(values))
    at = list(trace.x).index(32)
    assert trace.y[at] == pytest.approx(values.mean())
    assert trace.y[at] - trace.error_y.arrayminus[at] == pytest.approx(low)
    assert trace.y[at] + trace.error_y.array[at] == pytest.approx(high)


def test_training_is_drawn_with_bands() -> None:
    picture = paper.draw("training", table("training"))
    filled = [trace for trace in picture.data if trace.fill]
    lines = [trace for trace in picture.data if trace.x and not trace.fill]
    assert (len(filled), len(lines)) == (2 * 2 * 4, 2 * 2 * 5)
    assert {(trace.name == "exact", trace.line.color == "#000000", trace.line.dash is None) for trace in lines} == {
        (True, True, True),
        (False, False, False),
    }, "solid black is the truth's alone"
    assert {trace.name for trace in lines} == {"exact", *ESTIMATORS}
    assert sum(bool(trace.showlegend) for trace in picture.data) == 5


def test_a_part_of_a_table_is_drawn_too() -> None:
    part = table("5").query("parts == 'SEE' and estimator == 'LVC'")
    lines = [trace for trace in paper.draw("5", part).data if trace.x]
    assert [trace.name for trace in lines] == ["LVC", "LVC"]


def test_no_variance_at_all_is_left_out_of_its_mean() -> None:
    one = pd.DataFrame({"K": [1, 1, 1], "covariance_trace": [1.0, 4.0, 0.0]})
    assert curve(one, "K", "covariance_trace")["mean"].tolist() == pytest.approx([2.0])


def test_one_mdp_has_no_interval_and_is_drawn() -> None:
    picture = paper.draw("5", table("5").query("mdp == 0"))
    assert isinstance(picture, go.Figure)
    assert "NaN" not in picture.to_json()


# --- meta-training ------------------------------------------------------------------------------------------------

LESSON = replace(SMALL, n_mdps=3, inner_lr=1.0, n_inner_steps=2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_exact_training_is_better_than_none(algorithm: str) -> None:
    reached = train(Training(algorithm, "exact", n_outer_steps=20, n_runs=2), LESSON, seed=0)
    assert reached.shape == (21, 2)
    assert torch.equal(reached[:, 0], reached[:, 1]), "nothing is random here"
    assert (reached.diff(dim=0)[:3] > 0).all()
    assert (reached[-1] > reached[0] + 0.01).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_alone_is_the_run_in_a_batch(algorithm: str) -> None:
    several = train(Training(algorithm, "LVC", 4, n_outer_steps=4, n_runs=3), LESSON, seed=5)
    alone = train(Training(algorithm, "LVC", 4, n_outer_steps=4, n_runs=1), LESSON, seed=5)
    assert close(alone[:, 0], several[:, 0], 1e-10)
    assert (several[-1, 1:] != several[-1, 0]).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_start_is_the_exact_return_after_k_steps(algorithm: str) -> None:
    """J^K(0) by plain steps of the exact gradient."""
    mdp = cells.mdps(LESSON)
    theta = torch.zeros(3, 5, 3, dtype=torch.float64)
    for _ in range(2):
        theta = theta + 1.0 * gl.exact.gradient(mdp, theta)
    wanted = gl.exact.objective(mdp, theta).mean()
    start = train(Training(algorithm, "exact", n_outer_steps=1, n_runs=1), LESSON, seed=0)[0]
    assert start.item() == pytest.approx(wanted.item(), rel=1e-12)


# --- verdicts -----------------------------------------------------------------------------------------------------
# Tables in which every claim holds; each is then doctored until one claim, and only that one, fails.


def points(**axes: object) -> pd.DataFrame:
    """All combinations for six MDPs, whose values differ a little."""
    axes = {**axes, "mdp": range(6)}
    found = pd.DataFrame(list(product(*axes.values())), columns=list(axes))
    return found.assign(little=0.004 * (found["mdp"] - 2.5))


def ideal(figure: str) -> pd.DataFrame:
    """As the paper describes it."""
    return {"1": ideal_1, "2": ideal_2, "5": ideal_5, "6": ideal_6, "7": ideal_6, "8": ideal_8}[figure]()


def ideal_8() -> pd.DataFrame:
    found = points(estimator=["LVC", "AD"], n_inner_steps=[1, 3, 5], n_trajectories=[16, 256], grad_baseline=[True])
    drop = np.where(found["estimator"] == "AD", 0.1 * (found["n_inner_steps"] - 1), 0.0)
    return found.assign(pearson=0.93 + found["little"] - drop)


def ideal_1() -> pd.DataFrame:
    sizes = [2, 16, 256]
    above = points(panel=["a", "b"], parts=["SEE", "ESE", "SSE"], n_trajectories=sizes)
    plateau = (above["panel"] == "b") & (above["parts"] != "SEE")
    rise = 0.1 * above["n_trajectories"].map(sizes.index)
    above = above.assign(pearson=np.where(plateau, 0.5, 0.78) + rise + above["little"])
    below = ideal_8().assign(panel=lambda d: d["estimator"].map({"LVC": "c", "AD": "d"}))
    return pd.concat([above, below], ignore_index=True)


def ideal_2() -> pd.DataFrame:
    a, b = points(panel=["a"], n_inner_steps=[1, 2, 3]), points(panel=["b"], inner_lr=[1.0, 7.0, 13.0])
    c, d = (
        points(panel=["c"], n_trajectories=[2, 16, 128]),
        points(panel=["d"], inner_lr=[3.0], curvature=[0.5, 2.0, 4.0]),
    )
    a = a.assign(bias_squared=np.exp(2.0 * a["n_inner_steps"] + a["little"] * (a["n_inner_steps"] == 2)))
    b = b.assign(bias_squared=np.sqrt(b["inner_lr"]) + b["little"])
    c = c.assign(bias_squared=c["n_trajectories"] ** (c["little"] - 1))
    d = d.assign(hessian_error=0.02 * d["curvature"], bias=d["curvature"] * (1 + d["little"]))
    whole = pd.concat([a, b, c, d], ignore_index=True).assign(bias_squared_error=1e-3, covariance_trace=1e-3)
    return whole.assign(published_bias_squared=whole["bias_squared"], n_states=20, n_actions=5)


def ideal_5() -> pd.DataFrame:
    found = points(estimator=ESTIMATORS, parts=SAMPLED_PARTS, n_trajectories=[2, 32])
    level = found["parts"].map(dict(zip(SAMPLED_PARTS, (0.95, 0.95, 0.6, 0.9, 0.55, 0.55, 0.5), strict=True)))
    biased = (found["estimator"] == "AD") & (found["parts"].str[1] == "S")
    pearson = level - 0.2 * biased - 0.45 * (found["estimator"] == "DiCE") + found["little"]
    variance = np.where(found["estimator"] == "Loaded DiCE", 2.0, 1.0) * (1 + found["little"])
    return found.assign(pearson=pearson, covariance_trace=variance)


def ideal_6() -> pd.DataFrame:
    axes = {"estimator": ["LVC", "AD"], "parts": ["SEE", "EES"]}
    found = points(**axes, inner_lr=[1.0, 13.0]).assign(n_inner_steps=lambda d: np.where(d["inner_lr"] > 1, 6, 1))
    worse = np.where(found["parts"] == "SEE", 0.04 * found["inner_lr"], 0.0)
    return found.assign(pearson=0.9 - worse + found["little"] * np.where(found["parts"] == "SEE", 1, -1))


def doctored(figure: str, where: str, column: str, change: str) -> pd.DataFrame:
    """`ideal`, with a column changed in the rows that `where` selects; `x` in `change` is the old value."""
    found = ideal(figure)
    rows = found.query(where).index
    found.loc[rows, column] = eval(change, {"np": np, **found.loc[rows]}, {"x": found.loc[rows, column]})
    return found


@pytest.mark.parametrize("figure", paper.FIGURES)
def test_a_table_as_the_paper_describes_it_passes(figure: str) -> None:
    found = paper.verdicts(figure, ideal(figure))
    assert found
    for verdict in found:
        assert verdict.verdict == REPRODUCED, str(verdict)


DOCTORED = [
    ("1", "panel == 'a' and parts == 'ESE' and n_trajectories == 256", "pearson", "x - 0.25", "(a) accuracy rises"),
    ("1", "panel == 'a' and parts == 'ESE'", "pearson", "x - 0.2", "(a) inner update and Hessian"),
    ("1", "panel == 'b' and parts == 'SSE'", "pearson", "x + 0.25", "(b) for AD only SEE"),
    ("1", "panel == 'b' and parts == 'SEE'", "pearson", "x - 0.1", "(b) for AD only SEE"),
    ("2", "panel == 'a'", "published_bias_squared", "1 / x", "(a) log bias"),
    ("2", "panel == 'a'", "bias_squared", "np.sqrt(n_inner_steps)", "(a) log bias"),
    ("2", "panel == 'b'", "bias_squared", "np.exp(inner_lr ** 2)", "(b) log bias"),
    ("2", "panel == 'b'", "bias_squared", "1 / x", "(b) log bias"),
    ("2", "panel == 'c'", "published_bias_squared", "x ** 2", "(c) log bias"),
    ("2", "panel == 'c'", "bias_squared", "x ** 2", "(c) log bias"),
    ("2", "panel == 'd'", "bias", "np.exp(curvature ** 2)", "(d) log bias"),
    ("2", "panel == 'd'", "bias", "1 / x", "(d) log bias"),
    ("5", "estimator == 'LVC' and parts == 'SEE'", "pearson", "x - 0.36", "the outer estimate"),
    ("5", "estimator == 'DiCE' and parts == 'SEE' and n_trajectories == 2", "pearson", "x + 0.47", "DiCE worst"),
    ("5", "estimator == 'DiCE'", "pearson", "x + 0.5", "DiCE worst"),
    ("5", "estimator == 'Loaded DiCE' and parts == 'SSS'", "pearson", "x - 0.2", "LVC and Loaded DiCE alike"),
    ("5", "estimator == 'Loaded DiCE'", "covariance_trace", "x / 2", "LVC has less variance"),
    ("5", "estimator == 'AD' and parts == 'SSS'", "pearson", "x + 0.2", "AD worse"),
    ("6", "parts == 'SEE'", "pearson", "x + 0.6", "the inner update's"),
    ("7", "parts == 'SEE'", "pearson", "x + 0.6", "the inner update's"),
    ("8", "estimator == 'AD' and n_inner_steps == 1", "pearson", "x + 0.01", "LIRPG at K = 1"),
    ("8", "estimator == 'AD'", "pearson", "0.93 + 0 * x", "LVC stays high"),
    ("8", "estimator == 'LVC' and n_inner_steps == 5", "pearson", "x - 0.2", "LVC stays high"),
]


@pytest.mark.parametrize(("figure", "where", "column", "change", "claim"), DOCTORED)
def test_a_doctored_table_is_refuted(figure: str, where: str, column: str, change: str, claim: str) -> None:
    before = {v.claim: v.verdict for v in paper.verdicts(figure, ideal(figure))}
    after = {v.claim: v.verdict for v in paper.verdicts(figure, doctored(figure, where, column, change))}
    (refuted,) = [name for name in before if name.startswith(claim)]
    assert after[refuted] != before[refuted]
    assert after[refuted] in (NOT, READING)


def test_an_exception_is_named() -> None:
    where = "estimator == 'DiCE' and parts == 'SEE' and n_trajectories == 2"
    found = paper.verdicts("5", doctored("5", where, "pearson", "x + 0.47"))[1]
    assert found.verdict == READING
    assert "93%" in found.evidence
    assert "SEE at |τ| = 2" in found.evidence


@pytest.mark.parametrize("figure", ["5", "6", "8"])
def test_one_mdp_proves_nothing(figure: str) -> None:
    """Without an interval, no claim that needs one is reproduced."""
    for verdict in paper.verdicts(figure, ideal(figure).query("mdp == 0")):
        needs_none = verdict.claim.startswith(("DiCE worst", "LIRPG at K = 1"))
        assert needs_none or verdict.verdict != REPRODUCED, str(verdict)


@pytest.mark.parametrize("figure", paper.BEYOND)
def test_no_verdict_where_the_paper_claims_nothing(figure: str) -> None:
    assert paper.verdicts(figure, table(figure)) == []


@pytest.mark.parametrize("figure", paper.FIGURES)
def test_verdicts_on_a_small_table_can_be_read(figure: str) -> None:
    for verdict in paper.verdicts(figure, table(figure)):
        assert str(verdict).startswith(f"{verdict.verdict}: {verdict.claim} (")
        assert any(letter.isdigit() for letter in verdict.evidence)


# --- shipped results ----------------------------------------------------------------------------------------------

SHIPPED = [name for name in ALL if (FOLDER / f"figure_{name}.parquet").exists()]


@pytest.mark.parametrize("figure", ["12", "", "figure_5", "../data/figure_5"])
def test_what_is_not_shipped(figure: str) -> None:
    with pytest.raises(ValueError, match=r"figure: got .*allowed is one of those shipped: "):
        paper.shipped(figure)


def test_nothing_shipped_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["gmrl_lab.paper.shipped"], "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="figure: got '5', allowed is one of those shipped: none"):
        paper.shipped("5")


def test_a_saved_table_comes_back_with_what_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["gmrl_lab.paper.shipped"], "FOLDER", tmp_path)
    save(tmp_path / "figure_5.parquet", table("5"), CI, ["gmrl-lab", "figure", "5", "--out", "my file"])
    found = paper.shipped("5")
    assert found.attrs["command"] == "gmrl-lab figure 5 --out 'my file'"
    assert {"version", "seed", "scale", "date"} <= set(found.attrs)
    assert_frame_equal(found, table("5"))
    with pytest.raises(ValueError, match=r"allowed is one of those shipped: '5'"):
        paper.shipped("6")
    (tmp_path / "figure_5.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ValueError, match=r"cannot be used"):
        paper.shipped("5")
    write_table(tmp_path / "figure_5.parquet", table("5"), {})
    assert "command" not in paper.shipped("5").attrs


class OnePoint(paper.Run):
    """The first point of each axis alone, the last estimator."""

    def sweeps(self, cell: object, table: Table2, panels: Sequence[Axes]) -> list[pd.DataFrame]:
        def one(axes: Axes) -> Axes:
            return {name: values[-1:] if name == "estimator" else values[:1] for name, values in axes.items()}

        return super().sweeps(cell, table, [one(axes) for axes in panels])


@pytest.mark.skipif(not SHIPPED, reason="no results are shipped yet")
@pytest.mark.parametrize(
    "figure", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("2", "training"))) for name in SHIPPED]
)
def test_a_cell_of_what_is_shipped_comes_out_again(figure: str) -> None:
    """One cell of each sweep, at the paper's scale and the seed that the file names, to 1e-9."""
    whole = paper.shipped(figure)
    size = SCALES[whole.attrs["scale"]]
    few = replace(size, inner_steps=size.inner_steps[:1], sample_sizes=size.sample_sizes)
    found = ALL[figure](OnePoint(few, whole.attrs["seed"], progress=False), Table2())
    matched = 0
    for row in found.to_dict("records"):
        own = {name: x for name, x in row.items() if isinstance(x, str | bool) or name in KEYS_OF_A_ROW}
        there = whole
        for name, x in own.items():
            there = there[there[name].isna() if pd.isna(x) else there[name] == x]
        assert len(there) <= 1
        if len(there):
            matched += 1
            numbers = [name for name, x in row.items() if isinstance(x, float) and not pd.isna(x)]
            assert there.iloc[0][numbers].tolist() == pytest.approx([row[n] for n in numbers], rel=1e-9, abs=1e-15)
    assert matched >= 10


KEYS_OF_A_ROW = {"mdp", "n_trajectories", "n_inner_steps", "inner_lr", "curvature", "value_noise", "n_trials"}
KEYS_OF_A_ROW |= {"run", "outer_step"}
