"""Solutions and plausible wrong answers of lesson 05."""

from __future__ import annotations

import torch
from proof import prove, prove_choice
from torch import Tensor

from gmrl_lab.checks import check


def fisher(policy: Tensor) -> Tensor:
    return torch.diag(policy) - policy[:, None] * policy[None, :]


def test_ad_block() -> None:
    def by_autodiff(policy: Tensor, advantage: Tensor) -> Tensor:
        logits = policy.log().requires_grad_()
        loss = (policy * advantage * logits.log_softmax(-1)).sum()
        (slope,) = torch.autograd.grad(loss, logits, create_graph=True)
        return torch.stack([torch.autograd.grad(entry, logits, retain_graph=True)[0] for entry in slope])

    def by_hand(policy: Tensor, advantage: Tensor) -> Tensor:
        return -(policy @ advantage) * fisher(policy)

    def score(policy: Tensor, advantage: Tensor) -> Tensor:
        g = torch.eye(len(policy), dtype=policy.dtype) - policy
        return sum(policy[a] * advantage[a] * g[a].outer(g[a]) for a in range(len(policy)))

    wrong = {
        "sign": [lambda p, a: (p @ a) * fisher(p)],
        "H₁ in its place": [score],
        "LVC's block": [lambda p, a: score(p, a) + by_hand(p, a)],
        "actions not weighted": [lambda p, a: -a.sum() * fisher(p), lambda p, a: -a.mean() * fisher(p)],
        "diagonal alone": [lambda p, a: -(p @ a) * torch.diag(p), lambda p, a: -(p @ a) * torch.diag(p * (1 - p))],
        "always zero": [lambda p, a: torch.zeros(len(p), len(p), dtype=p.dtype)],
    }
    prove("05.ad_block", [by_autodiff, by_hand], wrong)


def ratio(log_prob: Tensor) -> Tensor:
    return (log_prob - log_prob.detach()).exp()


def mean(x: Tensor) -> Tensor:
    return x.sum(-1).mean(-1)


def test_surrogate() -> None:
    def loaded_dice(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        trace = (log_prob - log_prob.detach()).cumsum(-1)
        before = trace - (log_prob - log_prob.detach())
        return mean(weights * advantage * (trace.exp() - before.exp()))

    def taylor(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        change = ratio(log_prob) - 1
        return mean(weights * advantage * change * (1 + change.cumsum(-1) - change))

    def later_actions(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        """The mirror image: each action looks at those after it; unbiased too, though not sample by sample."""
        after = ratio(log_prob).flip(-1).cumprod(-1).flip(-1)
        return mean(weights * advantage * (after - after / ratio(log_prob)))

    def with_a_constant(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        return loaded_dice(log_prob, advantage, weights) + 3.0

    def not_subtracted(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        return mean(weights * advantage * (log_prob - log_prob.detach()).cumsum(-1).exp())

    def no_h1(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        trace = (log_prob - log_prob.detach()).cumsum(-1)
        before = trace - (log_prob - log_prob.detach())
        return mean(weights * advantage * log_prob * (1 + before))

    def no_detach(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        trace = log_prob.cumsum(-1)
        return mean(weights * advantage * (trace.exp() - (trace - log_prob).exp()))

    wrong = {
        "automatic differentiation of the loss": [
            lambda lp, a, w: mean(w * a * lp),
            lambda lp, a, w: mean(w * a * (lp - lp.detach())),
        ],
        "LVC": [
            lambda lp, a, w: mean(w * a * ratio(lp)),
            lambda lp, a, w: mean(w * a * (ratio(lp).cumprod(-1) / ratio(lp)).detach() * ratio(lp)),
        ],
        "nothing subtracted": [not_subtracted],
        "H₁ missing": [no_h1],
        "probabilities for ratios": [no_detach],
        "wrong mean": [
            lambda lp, a, w: loaded_dice(lp, a, w) / lp.shape[-1],
            lambda lp, a, w: loaded_dice(lp, a, w) * len(lp),
        ],
    }
    prove("05.surrogate", [loaded_dice, taylor, later_actions, with_a_constant], wrong, constant=0.0)


def test_a_surrogate_without_theta_is_told_so() -> None:
    verdict = check("05.surrogate", lambda log_prob, advantage, weights: mean(weights * advantage))
    assert not verdict.passed
    assert verdict.mistake is None
    assert "gradient" in verdict.message


def test_who_notices() -> None:
    prove_choice("05.who_notices", "c")


def test_good_enough() -> None:
    prove_choice("05.good_enough", "d")
