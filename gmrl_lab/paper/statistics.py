"""Means and shares with their intervals: a claim about MDPs, or runs, of a kind has as many witnesses as there are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gmrl_lab._validate import lab_extra

with lab_extra():
    from scipy.special import ndtri, stdtrit  # quantiles, normal and Student's; scipy.stats takes a second to import


def interval(values: Sequence[float] | pd.Series) -> tuple[float, float]:
    """Mean of independent values and the half-width of its 95% interval (Student's t); NaN for a single one."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return (float(known.mean()) if len(known) else np.nan), np.nan
    half = stdtrit(len(known) - 1, 0.975) * known.std(ddof=1) / len(known) ** 0.5
    return float(known.mean()), float(half)


def share(holds: Sequence[bool] | pd.Series) -> tuple[float, float, float]:
    """Share of the cases in which something holds, and the ends of its 95% interval (Wilson 1927); NaN for none."""
    known = np.asarray(holds, dtype=bool)
    if not len(known):
        return np.nan, np.nan, np.nan
    n, held, z = len(known), known.mean(), ndtri(0.975)
    middle, half = held + z**2 / (2 * n), z * np.sqrt(held * (1 - held) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return float(held), float(low), float(high)
