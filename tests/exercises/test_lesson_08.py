"""Solutions and plausible wrong answers of lesson 08."""

from __future__ import annotations

import torch
from proof import prove, prove_choice
from torch import Tensor


def test_interval() -> None:
    def by_moments(a: Tensor, t: float) -> Tensor:
        rows = a.sum(1) / a.shape[1]
        centre = rows.sum() / len(rows)
        variance = ((rows - centre) ** 2).sum() / (len(rows) - 1)
        return torch.stack([centre, t * (variance / len(rows)).sqrt()])

    def pair(a: Tensor, half: Tensor) -> Tensor:
        return torch.stack([a.mean(), half])

    wrong = {
        "trials as witnesses": [lambda a, t: pair(a, t * a.flatten().std() / a.numel() ** 0.5)],
        "wrong direction": [lambda a, t: pair(a, t * a.mean(0).std() / a.shape[1] ** 0.5)],
        "spread of one": [lambda a, t: pair(a, t * a.mean(1).std()), lambda a, t: pair(a, a.mean(1).std())],
        "normal for Student": [lambda a, t: pair(a, 1.96 * (a.mean(1).var() / len(a)).sqrt())],
        "standard error alone": [lambda a, t: pair(a, (a.mean(1).var() / len(a)).sqrt())],
        "divided by n": [lambda a, t: pair(a, t * a.mean(1).std() / len(a))],
    }
    prove("08.interval", [by_moments], wrong)


def test_noise_hessian() -> None:
    def by_autodiff(policy: Tensor, visits: Tensor, error: Tensor) -> Tensor:
        """The second derivative of Σ_a π(a) (−δ) log π_θ(a) with the sampling weights held fixed."""
        n_actions = policy.shape[1]

        def surrogate(logits: Tensor) -> Tensor:
            return (-(visits * error)[:, None] * policy * logits.log_softmax(-1)).sum()

        whole = torch.autograd.functional.hessian(surrogate, policy.log())
        return torch.stack([whole[s, :, s, :] for s in range(len(policy))]).reshape(-1, n_actions, n_actions)

    def fisher(policy: Tensor) -> Tensor:
        return torch.diag_embed(policy) - torch.einsum("sa,sb->sab", policy, policy)

    wrong = {
        "sign": [lambda p, d, e: -(d * e)[:, None, None] * fisher(p)],
        "diagonal alone": [lambda p, d, e: torch.diag_embed(p * (d * e)[:, None])],
        "visits forgotten": [lambda p, d, e: e[:, None, None] * fisher(p)],
        "size of the error": [lambda p, d, e: (d * e.abs())[:, None, None] * fisher(p)],
    }
    prove("08.noise_hessian", [by_autodiff], wrong)


def test_what_helps() -> None:
    prove_choice("08.what_helps", "b")


def test_which_one() -> None:
    prove_choice("08.which_one", "c")
