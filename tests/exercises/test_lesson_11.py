"""Solutions and plausible wrong answers of lesson 11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from proof import prove, prove_choice
from torch import Tensor
from torch.autograd import grad

Value = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def test_lola_gradient() -> None:
    def right(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
        phi, theta = ego.clone().requires_grad_(), opponent.clone().requires_grad_()
        (step,) = grad(value(phi, theta)[1], theta, create_graph=True)
        return grad(value(phi, theta + inner_lr * step)[0], phi)[0]

    def by_the_proposition(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
        """Direct + α D v, the matrix D written out."""
        phi, theta = ego.clone().requires_grad_(), opponent.clone().requires_grad_()
        (step,) = grad(value(phi, theta)[1], theta, create_graph=True)
        mixed = torch.stack([grad(s, phi, retain_graph=True)[0] for s in step], 1)
        moved = (theta + inner_lr * step).detach().requires_grad_()
        direct, v = grad(value(phi, moved)[0], (phi, moved))
        return direct + inner_lr * mixed @ v

    def variant(**changes: Any) -> Callable[..., Tensor]:
        def wrong(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
            phi, theta = ego.clone().requires_grad_(), opponent.clone().requires_grad_()
            whose, sign = changes.get("whose", 1), changes.get("sign", 1)
            (step,) = grad(value(phi, theta)[whose], theta, create_graph=True)
            if changes.get("detach"):
                step = step.detach()
            return grad(value(phi, theta + sign * inner_lr * step)[0], phi)[0]

        return wrong

    def naive(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
        phi = ego.clone().requires_grad_()
        return grad(value(phi, opponent)[0], phi)[0]

    def expanded(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
        phi, theta = ego.clone().requires_grad_(), opponent.clone().requires_grad_()
        mine, theirs = value(phi, theta)
        (helps,) = grad(mine, theta, retain_graph=True)
        (wants,) = grad(theirs, theta, create_graph=True)
        return grad(mine, phi, retain_graph=True)[0] + inner_lr * grad(wants @ helps, phi)[0]

    wrong = {
        "naive": [naive],
        "step detached": [variant(detach=True)],
        "opponent climbs your value": [variant(whose=0)],
        "opponent descends": [variant(sign=-1)],
        "first-order expansion": [expanded],
    }
    prove("11.lola_gradient", [right, by_the_proposition], wrong)


def test_least_discount() -> None:
    def by_bisection(temptation: Tensor, reward: Tensor, punishment: Tensor, sucker: Tensor) -> Tensor:
        low, high = torch.zeros_like(reward), torch.ones_like(reward)
        for _ in range(60):
            g = (low + high) / 2
            peace_pays = reward / (1 - g) >= temptation + g * punishment / (1 - g)
            low, high = (low, g) if peace_pays else (g, high)
        return high

    wrong = {
        "one round of punishment": [lambda t, r, p, s: (t - r) / (r - p)],
        "complement": [lambda t, r, p, s: 1 - (t - r) / (t - p)],
        "sucker's payoff": [lambda t, r, p, s: (t - r) / (t - s), lambda t, r, p, s: (r - t) / (s - r)],
        "inverse": [lambda t, r, p, s: (p - t) / (r - t)],
    }
    prove("11.least_discount", [lambda t, r, p, s: (t - r) / (t - p), by_bisection], wrong)


def test_read_logits() -> None:
    prove_choice("11.read_logits", "b")


def test_why_not() -> None:
    prove_choice("11.why_not", "d")
