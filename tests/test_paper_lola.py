"""Figures 3 and 9: rows that come out again, verdicts that a doctored table does not pass, pictures of all of it."""

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gmrl_lab import paper
from gmrl_lab.learners import learn
from gmrl_lab.paper import lola
from gmrl_lab.paper.judging import NOT, READING, REPRODUCED
from gmrl_lab.paper.lola_runs import PANELS, cooperating, final, labels
from gmrl_lab.paper.settings import SCALES
from gmrl_lab.paper.statistics import share

CI = paper.Run("ci", n_jobs=1, progress=False)
SHORT = paper.Table3(horizon=4)
NAMES = tuple(lola.settings(8, 32))
FIGURES = pytest.mark.parametrize("figure", paper.LOLA_FIGURES)


@cache
def cells() -> TemporaryDirectory:
    """Of both figures, which have the same."""
    return TemporaryDirectory()


@cache
def table(figure: str) -> pd.DataFrame:
    return paper.LOLA_FIGURES[figure](replace(CI, cache=cells().name), SHORT)


# --- the tables ---------------------------------------------------------------------------------------------------


@FIGURES
def test_a_row_for_each_setting_run_and_window(figure: str) -> None:
    found = table(figure)
    assert not found.duplicated(["setting", "run", "update"]).any()
    assert found["update"].unique().tolist() == [10]
    runs = found.groupby("setting")["run"].nunique()
    assert runs.to_dict() == {name: 4 if name in lola.DECISIVE else 2 for name in NAMES}
    assert found["score"].between(-2, -1).all()
    assert set(lola.MEASURED[figure]) <= set(found)
    assert not set(found) & (set(lola.MEASURED["3"]) ^ set(lola.MEASURED["9"])) - set(lola.MEASURED[figure])


def test_effective_numbers_are_those_of_stored_plays() -> None:
    """All that are fresh count whole, no stored one more than whole, and an exact part has none."""
    found = table("9").set_index("setting")
    for part in ("inner", "hessian"):
        effective, source = found[f"effective_{part}"], found[part]
        assert effective[source == "exact"].isna().all()
        fresh = (source == "on") & ~((part == "hessian") & found["share_samples"])
        assert (effective[fresh] == found[f"n_{part}"][fresh]).all()
        stored = source == "off"
        assert (effective[stored] <= found[f"n_{part}"][stored]).all()
        assert (effective < found[f"n_{part}"])[stored].any()
        assert (effective[stored] >= 1).all()


def test_a_row_is_the_mean_over_players_and_ten_updates() -> None:
    """By plain calls of the learner."""
    settings = replace(SHORT, n_updates=10, **lola.settings(8, 32)["few-few"])
    found = lola.lola(setting="few-few", first_run=2, n_runs=1, seed=5, **plain(settings))
    updates = list(learn(settings, [7]))
    (row,) = found.to_dict("records")
    assert row["run"] == 2
    assert row["score"] == pytest.approx(np.mean([update.score.mean() for update in updates]), rel=1e-12)
    assert row["pearson"] == pytest.approx(np.nanmean([update.pearson.numpy() for update in updates]), rel=1e-9)
    after_cd = np.mean([update.theta[..., 2].sigmoid().mean() for update in updates])
    assert row["cooperates_after_CD"] == pytest.approx(after_cd, rel=1e-12)


def plain(settings: paper.Table3) -> dict[str, object]:
    return {name: value for name, value in vars(settings).items() if value is not None}


def test_runs_do_not_depend_on_their_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lola, "BLOCKS", (1, 1))
    monkeypatch.setattr(lola, "settings", only("few-few", "off-off, matched"))
    apart = lola.figure_3(CI, SHORT).sort_values(["setting", "run"])
    whole = table("3").query("setting in ['few-few', 'off-off, matched']").sort_values(["setting", "run"])
    assert apart["score"].tolist() == pytest.approx(whole["score"].tolist(), rel=1e-6)


def only(*names: str):
    """The settings of these names alone."""
    every = lola.settings
    return lambda few, many: {name: every(few, many)[name] for name in names}


def test_both_figures_have_the_same_cells() -> None:
    assert table("3")["score"].equals(table("9")["score"])
    assert len(list(Path(cells().name).iterdir())) == len(NAMES), "one block of runs for each setting"


# --- shares -------------------------------------------------------------------------------------------------------


def test_share_is_wilsons() -> None:
    """By Wilson's formula."""
    z, n, p = stats.norm.ppf(0.975), 10, 0.4
    middle, half = p + z**2 / (2 * n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    wanted = [(middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert share([True] * 4 + [False] * 6) == pytest.approx((p, *wanted), rel=1e-12)
    assert np.isnan(share([])).all()


def test_final_is_the_mean_of_the_last_fifty_updates() -> None:
    rows = pd.DataFrame({"setting": "one", "run": 3, "update": range(10, 501, 10), "score": np.linspace(-2, -1, 50)})
    (found,) = final(rows)["one"].tolist()
    assert found == pytest.approx(np.linspace(-2, -1, 50)[-5:].mean())
    assert cooperating(pd.Series([-1.49, -1.51, -1.0]))[0] == pytest.approx(2 / 3)


# --- pictures -----------------------------------------------------------------------------------------------------


def test_every_panel_draws_its_settings() -> None:
    wide = pd.concat([table("3"), table("3").assign(update=20)], ignore_index=True)
    lines = [trace for trace in paper.draw("3", wide).data if trace.x and trace.fill is None]
    assert len(lines) == sum(len(panel) for panel in PANELS.values()) + 4 + 1
    shown = [trace.name for trace in lines if trace.showlegend]
    assert len(shown) == len(set(shown))
    assert {name for title in PANELS for name in labels(wide, title).values()} == set(shown)
    assert {"8", "32"} <= set(shown)


def test_every_measure_of_agreement_is_drawn() -> None:
    axes = [axis.title.text for axis in paper.draw("9", table("9")).select_yaxes() if axis.title.text]
    assert axes == ["correlation", "correlation, outer exact", "cosine", "cosine, outer exact"]


def test_a_point_by_hand() -> None:
    """Mean and band of one setting."""
    picture = paper.draw("3", table("3"))
    scores = table("3").query("setting == 'inner few'")["score"].astype(float)
    low, high = stats.t.interval(0.95, 3, loc=scores.mean(), scale=stats.sem(scores))
    middle = next(trace for trace in picture.data if trace.name == "8" and trace.fill is None)
    assert middle.y[0] == pytest.approx(scores.mean())
    bands = [trace.y for trace in picture.data if trace.fill]
    assert any(np.allclose(sorted(band), [low, high]) for band in bands)


# --- verdicts -----------------------------------------------------------------------------------------------------

SCORES = {"naive": -2.0, "exact": -1.0, "inner few": -1.9, "few-few": -1.6, "inner many": -1.2, "inner exact": -1.3}
SCORES |= {"inner few, corrected": -1.3, "inner exact, corrected": -1.3}


def ideal() -> pd.DataFrame:
    """As the paper describes it, in both figures' columns; ten runs that differ a little."""
    found = pd.DataFrame(product(NAMES, range(10), (50, 500)), columns=["setting", "run", "update"])
    little = 0.004 * (found["run"] - 4.5)
    exact = found["setting"].str.contains("inner exact")
    correlation = 0.1 + 0.7 * exact + 0.9 * (found["setting"] == "inner exact, corrected") * 0.3
    return found.assign(
        score=found["setting"].map(lambda name: SCORES.get(name, -1.3)) + little * (found["setting"] != "exact"),
        pearson=correlation - 0.3 * (found["setting"] == "inner exact") + little * exact,
        pearson_exact_outer=np.where(exact, 1.0, 0.1 + little),
        effective_inner=np.where(found["setting"].str.startswith("off"), 3.0, 128.0),
        n_outer=128,
        n_inner=np.where(found["setting"].str.contains("many"), 1024, 128),
    ).assign(score=lambda rows: rows["score"] + little * (rows["setting"] == "inner exact, corrected"))


@FIGURES
def test_a_table_as_the_paper_describes_it_passes(figure: str) -> None:
    found = paper.verdicts(figure, ideal())
    assert found
    for verdict in found:
        assert verdict.verdict == REPRODUCED, str(verdict)


DOCTORED = [
    ("3", "setting == 'inner few' and run > 6", "score", -1.1, "(a) with few", READING),
    ("3", "setting in ['inner few', 'inner many', 'inner exact']", "score", -1.1, "(a) with few", NOT),
    ("3", "setting == 'inner many' and run > 2", "score", -1.95, "(a) with many", READING),
    ("3", "setting in ['inner many', 'inner exact']", "score", -1.95, "(a) with many", NOT),
    ("3", "setting == 'many-few'", "score", -1.7, "(b)", READING),
    ("3", "setting in ['many-few', 'exact-few']", "score", -1.7, "(b)", NOT),
    ("3", "setting == 'few-exact'", "score", -1.7, "(c)", READING),
    ("3", "setting == 'off-off, matched'", "score", -1.7, "(d)", READING),
    ("3", "setting == 'off-off'", "score", -1.7, "(d)", NOT),
    (
        "9",
        "setting == 'inner exact'",
        "pearson_exact_outer",
        0.1,
        "exact inner estimation lifts the correlation with",
        NOT,
    ),
    ("9", "setting == 'inner few'", "pearson", 0.9, "exact inner estimation lifts the correlation in", NOT),
    ("9", "setting == 'inner exact'", "score", -1.0, "exact inner estimation lifts the correlation far", NOT),
    ("9", "setting == 'inner exact, corrected'", "score", -1.0, "a better correlation", NOT),
    ("9", "setting == 'inner exact'", "pearson", 0.9, "a better correlation", NOT),
]


@pytest.mark.parametrize(("figure", "where", "column", "value", "claim", "verdict"), DOCTORED)
def test_a_doctored_table_is_refuted(figure, where: str, column: str, value: float, claim: str, verdict: str) -> None:
    rows = ideal()
    rows.loc[rows.query(where).index, column] = value
    (refuted,) = [found for found in paper.verdicts(figure, rows) if found.claim.startswith(claim)]
    assert refuted.verdict == verdict, str(refuted)


# --- shipped results ----------------------------------------------------------------------------------------------


@FIGURES
def test_the_first_rows_of_what_is_shipped_come_out_again(figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten updates of two runs alone, on-policy and from the buffer, in batches of another size."""
    shipped = paper.shipped(figure)
    monkeypatch.setattr(lola, "settings", only("few-few", "off-off, matched"))
    size = replace(SCALES["paper"], n_runs=4, n_updates=10)
    found = paper.LOLA_FIGURES[figure](paper.Run(size, shipped.attrs["seed"], n_jobs=1, progress=False), paper.Table3())
    keys, measured = ["setting", "run", "update"], list(lola.MEASURED[figure])
    there = found[keys].merge(shipped, on=keys, how="left")
    assert len(there) == 4
    assert there[measured].to_numpy() == pytest.approx(found[measured].to_numpy(), rel=1e-5, abs=1e-6)


@FIGURES
def test_all_settings_are_shipped_whole(figure: str) -> None:
    """Ten runs at least, and twenty where a verdict needs them."""
    shipped = paper.shipped(figure)
    assert shipped.attrs["scale"] == "paper"
    assert set(shipped["setting"]) == set(NAMES)
    assert (shipped.groupby(["setting", "run"])["update"].agg(["count", "max"]) == [50, 500]).all(axis=None)
    runs = shipped.groupby("setting")["run"].nunique()
    assert (runs[list(lola.DECISIVE)] == 20).all()
    assert (runs >= 10).all()


def test_what_the_shipped_runs_say() -> None:
    """The verdicts, in order; and what stands behind them."""
    found = {figure: [verdict.verdict for verdict in paper.verdicts(figure, paper.shipped(figure))] for figure in "39"}
    assert found == {"3": [READING, REPRODUCED, NOT, READING, READING], "9": [REPRODUCED, REPRODUCED, NOT, REPRODUCED]}
