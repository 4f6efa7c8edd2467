"""Figure 2's biases, MDP by MDP: medians with order-statistic intervals, for some MDPs' are a thousand times others'.

A debiased ‖bias‖² can be negative; its logarithm is then −∞, which the mean could not bear and a median can.
"""

from itertools import accumulate
from math import comb
from typing import NamedTuple

import numpy as np
import pandas as pd

from gmrl_lab.paper.cells import PUBLISHED_TRIALS


class Median(NamedTuple):
    """A median over MDPs and the two order statistics that enclose the true one with 95% confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2g} [{self.low:.2g}, {self.high:.2g}]"


class Growth(NamedTuple):
    """How steeply ln‖bias‖ rises in the first and the second half of an axis, and by how much less in the second."""

    first: Median
    second: Median
    fall: Median
    whole: Median


def median(values: pd.Series) -> Median:
    """The median of independent values; of ten, the second smallest and second largest enclose it in 97.9% of cases.

    Of fewer than six values the smallest and the largest are given, which enclose it in 1 − 2¹⁻ⁿ of the cases.

    Taught in lesson 09.
    """
    ordered = np.sort(values.to_numpy(dtype=float))
    rank = _rank(len(ordered))
    one, other = ordered[(len(ordered) - 1) // 2].item(), ordered[len(ordered) // 2].item()
    return Median((one + other) / 2, float(ordered[rank - 1]), float(ordered[-rank]))


def _rank(n: int) -> int:
    """The rank from either end at which order statistics enclose the median in 95% of cases: a coin's 2.5% quantile."""
    tails = accumulate(comb(n, k) for k in range(n + 1))
    return max(next(k for k, tail in enumerate(tails) if tail >= 0.025 * 2**n), 1)


def medians(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """`median` of `y` over MDPs at each `x`: columns x, median, low, high, and resolved, whether 0 lies below.

    Taught in lesson 09.
    """
    rows = [(at, *median(group[y])) for at, group in table.groupby(x, sort=True)]
    return pd.DataFrame(rows, columns=[x, "median", "low", "high"]).assign(resolved=lambda found: found["low"] > 0)


def panel(table: pd.DataFrame, letter: str) -> pd.DataFrame:
    """A panel's rows of Figure 2's table, with two columns more.

    `published_variance` is tr Σ/10, what sampling noise adds to the published reading, the variance of its mean;
    `mean_error` is 2c/(S·A), the mean of the injected error's diagonal.

    Taught in lesson 09.
    """
    part = table[table["panel"] == letter]
    error = 2 * part["curvature"] / (part["n_states"] * part["n_actions"])
    return part.assign(published_variance=part["covariance_trace"] / PUBLISHED_TRIALS, mean_error=error)


def growth(table: pd.DataFrame, x: str, squared: str, *, log_x: bool = False) -> Growth:
    """Slopes of ½ ln `squared` in `x`, or in ln `x`, between the ends and the middle point, MDP by MDP.

    A line has the same slope in both halves; a concave curve has less in the second.

    Taught in lesson 09.
    """
    values = table.pivot(index="mdp", columns=x, values=squared).clip(lower=0.0)
    with np.errstate(divide="ignore"):
        logs = pd.DataFrame(np.log(values.to_numpy(dtype=float)) / 2)
    places = np.log(values.columns.to_numpy(dtype=float)) if log_x else values.columns.to_numpy(dtype=float)

    def slope(i: int, j: int) -> pd.Series:
        rise: pd.Series = logs[j] - logs[i]
        return rise / float(places[j] - places[i])

    middle, end = len(places) // 2, len(places) - 1
    first, second = slope(0, middle) if middle else slope(0, end), slope(middle, end) if middle < end else slope(0, end)
    return Growth(median(first), median(second), median((first - second).fillna(0.0)), median(slope(0, end)))
