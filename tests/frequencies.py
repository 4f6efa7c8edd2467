"""Shared by the tests of samplers: whether counts fit a model."""

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor

FALSE_ALARM = 1e-6
"""Probability that `fits` rejects a true model."""


def fits(counts: Tensor, probabilities: Tensor) -> bool:
    """Whether counts `(..., outcomes)` are draws of the distributions in the last dimension of `probabilities`.

    One chi-square statistic summed over all rows, each given its own total. An outcome of probability zero must
    never occur; outcomes too rare for the approximation (expected fewer than five times) join the likeliest.
    """
    counts, probabilities = counts.double().flatten(0, -2), probabilities.flatten(0, -2)
    possible = probabilities > 0
    if bool((counts[~possible] > 0).any()):
        return False
    expected = counts.sum(-1, keepdim=True) * probabilities
    kept = expected >= 5
    joined = probabilities.argmax(-1, keepdim=True)
    counts, expected = (
        x * kept + ((x * ~kept).sum(-1, keepdim=True) * (joined == torch.arange(x.shape[-1])))
        for x in (counts, expected)
    )
    kept &= kept.sum(-1, keepdim=True) > 1
    freedom = int((kept.sum(-1) - 1).clamp(min=0).sum())
    assert freedom > 0 or bool(possible.sum(-1).max() == 1), "too few draws to test anything"
    statistic = ((counts - expected).square() / expected)[kept].sum()
    return freedom == 0 or bool(chi2.sf(statistic.item(), freedom) > FALSE_ALARM)


def count(index: Tensor | np.ndarray, *sizes: int) -> Tensor:
    """How often each tuple in `index` `(draws, len(sizes))` occurs, `(*sizes)`."""
    flat = np.ravel_multi_index(tuple(np.asarray(index).T), sizes)
    return torch.as_tensor(np.bincount(flat, minlength=int(np.prod(sizes)))).view(sizes)
