"""What a verdict is made of: a claim of the paper, a number with its interval, and three words."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gmrl_lab.paper.statistics import interval

REPRODUCED, READING, NOT = "reproduced", "reproduced with a different reading", "not reproduced"


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper about a figure, whether it holds here, and the number that says so.

    Taught in lesson 08.
    """

    claim: str
    verdict: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.claim} ({self.evidence})"


@dataclass(frozen=True)
class Estimate:
    """A mean over independent MDPs or seeds with the half-width of its 95% interval."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """Lower end; −∞ where there is no interval."""
        return self.mean - self.half if self.half == self.half else -np.inf

    @property
    def high(self) -> float:
        """Upper end; ∞ where there is no interval."""
        return self.mean + self.half if self.half == self.half else np.inf

    def __str__(self) -> str:
        return f"{self.mean:.3g} ± {self.half:.2g}"


def estimate(values: pd.Series) -> Estimate:
    """Of the mean of independent values."""
    return Estimate(*interval(values))


def judge(claim: str, holds: bool, evidence: str, otherwise: str = NOT) -> Verdict:
    """Reproduced if it holds."""
    return Verdict(claim, REPRODUCED if holds else otherwise, evidence)
