"""Solutions and plausible wrong answers of lesson 09."""

from __future__ import annotations

import torch
from proof import prove, prove_choice

import gmrl_lab as gl


def test_reading() -> None:
    def right(b, trace, m):
        return torch.tensor(b + trace / m, dtype=torch.float64)

    def by_the_mse(b, trace, m):
        return ((b + trace) + (m - 1) * b) / m

    wrong = {
        "bias alone": [lambda b, t, m: b],
        "one trial": [lambda b, t, m: b + t],
        "square root": [lambda b, t, m: b + t / m**0.5],
        "M − 1": [lambda b, t, m: b + t / (m - 1)],
    }
    prove("09.reading", [right, by_the_mse], wrong)


def test_debiased() -> None:
    def by_pairs(x, exact):
        products = (x - exact) @ (x - exact).T
        return (products.sum() - products.trace()) / (len(x) * (len(x) - 1))

    def by_the_package(x, exact):
        return gl.bias(x, exact, event_dims=1).squared_norm

    def by_variance(x, exact):
        return (x.mean(0) - exact).square().sum() - x.var(0).sum() / len(x)

    def plain(x, exact):
        return (x.mean(0) - exact) @ (x.mean(0) - exact)

    wrong = {
        "squared mean": [plain],
        "variance of one trial": [lambda x, e: plain(x, e) - x.var(0).sum()],
        "biased variance": [lambda x, e: plain(x, e) - x.var(0, correction=0).sum() / len(x)],
        "cut off at zero": [lambda x, e: by_variance(x, e).clamp(min=0.0)],
    }
    prove("09.debiased", [by_pairs, by_the_package, by_variance], wrong)


def test_log_axis() -> None:
    prove_choice("09.log_axis", "b")
