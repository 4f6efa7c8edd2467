"""Figures 3 and 9: LOLA-DiCE on the iterated prisoner's dilemma, each part of its meta-gradient sampled or exact."""

from dataclasses import asdict, replace

import pandas as pd
import torch
from torch import Tensor

from gmrl_lab.games import CC, CD, DC, DD, START
from gmrl_lab.learners import LOLASettings, history, learn
from gmrl_lab.paper.figures import PAPER, Run
from gmrl_lab.sweep import Scalar, sweep

Table3 = LOLASettings
"""The paper's Table 3, under the name that goes with `Table2`."""

WINDOW = 10
"""Updates whose mean is one row."""
BLOCKS = (10, 2)
"""Runs in one batch, with few and with many trajectories: with more of them, arrays outgrow a processor's cache."""
STATES = {"start": START, "CC": CC, "CD": CD, "DC": DC, "DD": DD}
AGREEMENT = ("pearson", "cosine", "pearson_exact_outer", "cosine_exact_outer")
POLICY = tuple(f"cooperates_after_{state}" for state in STATES)
DECISIVE = ("naive", "exact", "inner few", "inner exact", "inner few, corrected")
"""Settings with all runs of a scale, whose share of cooperation carries a verdict; the others have half as many."""
EFFECTIVE = ("effective_inner", "effective_hessian")
MEASURED = {"3": ("score", *POLICY, *EFFECTIVE), "9": ("score", *AGREEMENT, *EFFECTIVE)}
"""Figure → the columns that it keeps."""

Fields = dict[str, Scalar]
TABLE_3 = Table3()


def settings(few: int, many: int) -> dict[str, Fields]:
    """The settings of both figures by name, each as what it changes in Table 3.

    The first word or number is the source of the look-ahead's gradient (the "compositional" part), the second that of
    its derivative (the "Hessian" part); the outer gradient is sampled in all but "exact". Published runs fit the
    baseline to immediate rewards, and let an off-policy part see all `many` stored trajectories; "corrected" ones fit
    it to returns, and "matched" ones draw `few` of the stored.
    """
    base: Fields = {"baseline": "reward", "n_inner": few, "n_hessian": few, "n_outer": few}
    base |= {"n_fresh": 2 * few, "buffer_size": many}
    exact: Fields = {"inner": "exact", "hessian": "exact"}
    one_sample: Fields = {"share_samples": True}
    stored: dict[str, Fields] = {"inner": {"inner": "off"}, "hessian": {"hessian": "off"}}
    all_stored = {part: {**fields, f"n_{part}": many} for part, fields in stored.items()}
    corrected: Fields = {"baseline": "return"}
    changes: dict[str, Fields] = {
        "naive": {**exact, "outer": "exact", "learner": "naive"},
        "exact": {**exact, "outer": "exact"},
        "inner few": one_sample,
        "inner many": {**one_sample, "n_inner": many, "n_hessian": many},
        "inner exact": exact,
        "inner few, corrected": {**one_sample, **corrected},
        "inner exact, corrected": {**exact, **corrected},
        "few-few": {},
        "many-few": {"n_inner": many},
        "exact-few": {"inner": "exact"},
        "few-many": {"n_hessian": many},
        "few-exact": {"hessian": "exact"},
        "off-off": {**all_stored["inner"], **all_stored["hessian"]},
        "off-on": all_stored["inner"],
        "on-off": all_stored["hessian"],
        "off-off, matched": {**stored["inner"], **stored["hessian"]},
        "off-on, matched": stored["inner"],
        "on-off, matched": stored["hessian"],
    }
    return {name: base | fields for name, fields in changes.items()}


def lola(*, setting: str, first_run: int, n_runs: int, seed: int, **table3: float | str) -> pd.DataFrame:
    """Runs of one setting: a row for each run and window of updates, the mean over both players and the window.

    `update` is the window's last; `score` is exact and per step. Run i has the seed of the sweep plus i, whatever the
    setting, so that settings are compared run by run.

    Taught in lesson 12.
    """
    runs = list(range(first_run, first_run + n_runs))
    found = history(list(learn(Table3(**table3), [seed + run for run in runs])))  # type: ignore[arg-type]
    columns = {name: found[name] for name in ("score", *AGREEMENT)}
    columns |= dict(zip(POLICY, found["theta"].sigmoid()[..., list(STATES.values())].unbind(-1), strict=True))
    columns |= dict(zip(EFFECTIVE, found["effective_sample_size"][..., :2].unbind(-1), strict=True))
    ends = [part[-1].item() for part in found["number"].split(WINDOW)]
    index = {"setting": setting, "run": runs * len(ends), "update": [end for end in ends for _ in runs]}
    return pd.DataFrame(index | {name: _windows(x).flatten().numpy() for name, x in columns.items()})


def _windows(values: Tensor) -> Tensor:
    """`(n_updates, n_runs, 2)` → means over windows and players, without what is undefined, `(n_windows, n_runs)`."""
    return torch.stack([part.nanmean((0, 2)) for part in values.split(WINDOW)])


def figure_3(run: Run = PAPER, table: Table3 = TABLE_3) -> pd.DataFrame:
    """LOLA-DiCE's return against meta-updates: how each part is estimated (a to c), and from which policy (d).

    Which runs there are says `settings`.

    Args:
        run: scale, seed, cache; Figure 9 has the same cells.
        table: Table 3; the scale decides its sample sizes and number of updates.

    Returns:
        A row for each setting, run and ten updates: `score`, the probabilities that a player cooperates, and the
        effective numbers of trajectories; in single precision, as a picture needs no more.

    Taught in lesson 12.
    """
    return _figure("3", run, table)


def figure_9(run: Run = PAPER, table: Table3 = TABLE_3) -> pd.DataFrame:
    """The correlations that go with Figure 3: of the meta-gradient that was used with the exact one, and of the same
    with its outer part exact; beside them the score and the effective numbers of off-policy trajectories.

    Arguments as for `figure_3`.

    Taught in lesson 12.
    """
    return _figure("9", run, table)


FIGURES = {"3": figure_3, "9": figure_9}
"""By their numbers in the paper."""


def _figure(number: str, run: Run, table: Table3) -> pd.DataFrame:
    grid = _grid(run, table)
    paired = list(grid[0])
    found = sweep(lola, grid, seed=run.seed, paired=paired, cache=run.cache, n_jobs=run.n_jobs, progress=run.progress)
    others = {name for names in MEASURED.values() for name in names} - set(MEASURED[number])
    kept = found.drop(columns=["first_run", "n_runs", *sorted(others)])
    return kept.astype(dict.fromkeys(MEASURED[number], "float32"))


def _grid(run: Run, table: Table3) -> list[Fields]:
    """Each setting in blocks of runs, the first runs of all settings first."""
    few, many = run.size.batches
    grid: list[Fields] = []
    for name, fields in settings(few, many).items():
        one = asdict(replace(table, n_updates=run.size.n_updates, **fields))  # type: ignore[arg-type]
        plain = {field: value for field, value in one.items() if value is not None}
        large = max(one["n_inner"], one["n_hessian"], one["n_outer"]) > few
        n_runs = run.size.n_runs // (1 if name in DECISIVE else 2)
        for first in range(0, n_runs, BLOCKS[large]):
            grid.append({"setting": name, "first_run": first, "n_runs": min(BLOCKS[large], n_runs - first), **plain})
    return sorted(grid, key=lambda cell: cell["first_run"])
