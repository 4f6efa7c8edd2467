"""Lemma 4.4 and Theorem 4.5 with explicit constants, and the constants: measured along a path, or the worst case."""

from gmrl_lab.bounds.constants import Constants, global_constants
from gmrl_lab.bounds.inequalities import (
    TheoremBound,
    compositional_bias,
    geometric_sum,
    path_error,
    theorem,
)
from gmrl_lab.bounds.local import local_constants

__all__ = [
    "Constants",
    "TheoremBound",
    "compositional_bias",
    "geometric_sum",
    "global_constants",
    "local_constants",
    "path_error",
    "theorem",
]
