"""Solutions and plausible wrong answers of lesson 06."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import torch
from proof import prove, prove_choice
from torch import Tensor

from gmrl_lab.checks import find


def chain(factors: list[Tensor], like: Tensor) -> Tensor:
    return reduce(torch.matmul, factors, torch.eye(like.shape[-1], dtype=like.dtype))


def terms(before: Tensor, difference: Tensor, after: Tensor) -> Tensor:
    k = len(difference)
    return torch.stack(
        [chain([*before[:j]], difference) @ difference[j] @ chain([*after[j + 1 :]], difference) for j in range(k)]
    )


def test_telescope() -> None:
    def by_definition(estimates: Tensor, exact: Tensor) -> Tensor:
        return terms(estimates, estimates - exact, exact)

    def by_neighbours(estimates: Tensor, exact: Tensor) -> Tensor:
        """Products with one more estimate each, subtracted from the one before."""
        products = [chain([*estimates[:j], *exact[j:]], exact) for j in range(len(exact) + 1)]
        return torch.stack([new - old for old, new in pairwise(products)])

    def reversed_factors(estimates: Tensor, exact: Tensor) -> Tensor:
        left, right = estimates.mT, exact.mT
        return terms(left, left - right, right).mT

    wrong = {
        "estimates after, exact before": [lambda e, x: terms(x, e - x, e)],
        "exact on both sides": [lambda e, x: terms(x, e - x, x)],
        "estimates on both sides": [lambda e, x: terms(e, e - x, e)],
        "differences alone": [lambda e, x: e - x],
        "sign": [lambda e, x: terms(e, x - e, x)],
        "order of the matrices": [reversed_factors],
    }
    prove("06.telescope", [by_definition, by_neighbours], wrong)


def test_the_terms_add_up() -> None:
    """The reference is what the proof needs: its sum is the difference of the products."""
    exercise = find("06.telescope")
    for case in exercise.cases():
        estimates, exact = case.args
        total = exercise.reference(estimates, exact).sum(0)
        torch.testing.assert_close(total, chain([*estimates], exact) - chain([*exact], exact))


def test_total_variance() -> None:
    def by_moments(means: Tensor, variances: Tensor, probability: Tensor) -> Tensor:
        second = probability @ (variances + means.square().sum(1))
        return second - (probability @ means).square().sum()

    def in_two_parts(means: Tensor, variances: Tensor, probability: Tensor) -> Tensor:
        within = (probability * variances).sum()
        return within + (probability[:, None] * (means - probability @ means) ** 2).sum()

    def between(means: Tensor, probability: Tensor) -> Tensor:
        return (probability[:, None] * (means - probability @ means) ** 2).sum()

    wrong = {
        "within paths alone": [lambda m, v, p: (p * v).sum()],
        "between paths alone": [lambda m, v, p: between(m, p)],
        "not centred": [lambda m, v, p: (p * (v + m.square().sum(1))).sum()],
        "all paths alike": [
            lambda m, v, p: v.mean() + (m - m.mean(0)).square().sum(1).mean(),
            lambda m, v, p: v.mean() + (m - p @ m).square().sum(1).mean(),
        ],
        "mean of standard deviations": [lambda m, v, p: (p @ v.sqrt()) ** 2 + between(m, p)],
    }
    prove("06.total_variance", [by_moments, in_two_parts], wrong)


def test_small_errors() -> None:
    prove_choice("06.small_errors", "a")


def test_four_times() -> None:
    prove_choice("06.four_times", "c")
