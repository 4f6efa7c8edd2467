"""Solutions and plausible wrong answers of lesson 06."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from proof import prove, prove_choice

from gmrl_lab.bounds import Constants, theorem


def by_the_package(k, lr, c1, c2, m2, delta, start):
    constants = Constants(c1=c1, c2=c2, m2=m2, delta_h=delta, sigma_in=0.0)
    return theorem(constants, k, lr, 1, start_is_phi=start).hessian


def double(function):
    """The same answer as a tensor, which students may return as well."""
    return lambda *args: torch.tensor(function(*args), dtype=torch.float64)


def step_by_step(k, lr, c1, c2, m2, delta, start):
    """Constant Hessians, and the estimate less the truth, as in the lesson's toy."""
    wrong = right = 1.0 if start else 0.0
    for _ in range(k):
        added = 0.0 if start else lr * c1
        wrong, right = wrong * (1 + lr * (c2 + delta)) + added, right * (1 + lr * c2) + added
    return m2 * (wrong - right)


def test_hessian_part() -> None:
    def updates(k, lr, c1, c2, m2, delta, start):
        return by_the_package(k, lr, c1, c2, m2, delta, False)

    def one_more(k, lr, c1, c2, m2, delta, start):
        return by_the_package(k if start else k + 1, lr, c1, c2, m2, delta, start)

    def leading(k, lr, c1, c2, m2, delta, start):
        return m2 * (lr * delta) ** k if start else lr * m2 * c1 * (lr * delta) ** (k - 1)

    def tangent(k, lr, c1, c2, m2, delta, start):
        return step_by_step(k, lr, c1, c2, m2, 1e-9, start) / 1e-9 * delta

    def flat(k, lr, c1, c2, m2, delta, start):
        return step_by_step(k, lr, c1, 0.0, m2, delta, start)

    def no_step(k, lr, c1, c2, m2, delta, start):
        return by_the_package(k, lr, c1 if start else c1 / lr, c2, m2, delta, start)

    wrong = {
        "no start term": [updates],
        "a factor too many": [one_more],
        "leading power": [leading],
        "first order": [tangent],
        "no curvature": [flat],
        "no step size in front": [no_step],
    }
    prove("06.hessian_part", [double(by_the_package), step_by_step], wrong)


def listed(a, sigma, k):
    """All 2ᴷ products of factors a ± σ."""
    products = [math.prod(a + sign * sigma for sign in signs) for signs in itertools.product((-1, 1), repeat=k)]
    mean = sum(products) / len(products)
    return sum((x - mean) ** 2 for x in products) / len(products)


def total_variance(a, sigma, k):
    """By the law of total variance, a factor at a time: Var(xy) = E x² Var y + a² Var x."""
    variance, mean = 0.0, 1.0
    for _ in range(k):
        variance, mean = (variance + mean**2) * sigma**2 + a**2 * variance, mean * a
    return variance


def test_variance_of_a_product() -> None:
    wrong = {
        "sum of variances": [lambda a, s, k: sum(s**2 for _ in range(k))],
        "first order": [lambda a, s, k: k * (s * a ** (k - 1)) ** 2],
        "product of variances": [lambda a, s, k: math.prod(s**2 for _ in range(k))],
        "second moment": [lambda a, s, k: listed(a, s, k) + a ** (2 * k)],
        "one factor for all": [lambda a, s, k: (((a + s) ** k - (a - s) ** k) / 2) ** 2],
    }
    prove("06.variance_of_a_product", [double(listed), total_variance], wrong)
    assert listed(2.0, 1.0, 2) == pytest.approx(9.0)


@pytest.mark.parametrize(("question", "answer"), [("06.same_samples", "d"), ("06.measured", "b")])
def test_questions(question: str, answer: str) -> None:
    prove_choice(question, answer)
