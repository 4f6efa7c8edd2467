"""Exercises of lesson 05: the Hessian that automatic differentiation reports, and a surrogate that forgets nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Answer, Case, Exercise, Mistake, Observation, Question
from gmrl_lab.mdp import random_mdp
from gmrl_lab.rollout import enumerate_samples, lookup


def _fisher(policy: Tensor) -> Tensor:
    return policy.diag() - policy.outer(policy)


def _ad_block(policy: Tensor, advantage: Tensor) -> Tensor:
    return -(policy * advantage).sum() * _fisher(policy)


def _score_block(policy: Tensor, advantage: Tensor) -> Tensor:
    """H₁: Σ_a π(a) Â(a) (e_a − π)(e_a − π)ᵀ."""
    scores = torch.eye(len(policy), dtype=policy.dtype) - policy
    return torch.einsum("a,ai,aj->ij", policy * advantage, scores, scores)


def _block_cases() -> list[Case]:
    policy = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    gains = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    centred = gains - (policy * gains).sum()
    uniform = torch.full((4,), 0.25, dtype=torch.float64)
    return [
        Case("the policy (0.6, 0.3, 0.1) and advantages (1, −0.5, 2)", (policy, gains)),
        Case("an exact baseline, so that the advantages have mean zero", (policy, centred)),
        Case("four equally likely actions", (uniform, torch.arange(4, dtype=torch.float64))),
    ]


AD_BLOCK = Exercise(
    id="05.ad_block",
    reference=_ad_block,
    cases=_block_cases,
    hint="Write ∇² log π(a|s) as a matrix. Does it depend on a? Then what is left of the mean over a?",
    praise="That is it: no advantage of any single action survives in it, only their mean.",
    mistakes=(
        Mistake(
            "sign",
            "The sign is turned round: log π is concave in the logits. What does that say about ∇² log π?",
            (lambda policy, advantage: -_ad_block(policy, advantage),),
        ),
        Mistake(
            "H₁ in its place",
            "That is Σ π Â g gᵀ, the part H₁. Is a product of two first derivatives what differentiating log π twice "
            "gives?",
            (_score_block,),
        ),
        Mistake(
            "LVC's block",
            "That is H₁ + H₂, which LVC keeps. AD's surrogate has log π where LVC's has a ratio: which part goes?",
            (lambda policy, advantage: _score_block(policy, advantage) + _ad_block(policy, advantage),),
        ),
        Mistake(
            "actions not weighted",
            "For {case} you give {got}. An expectation over actions counts each as often as it is taken: which "
            "weights are missing?",
            (
                lambda policy, advantage: -advantage.sum() * _fisher(policy),
                lambda policy, advantage: -advantage.mean() * _fisher(policy),
            ),
        ),
        Mistake(
            "diagonal alone",
            "Only the diagonal is right for very many actions. What is ∂² log π(a) / ∂θ_b ∂θ_c for b ≠ c?",
            (
                lambda policy, advantage: -(policy * advantage).sum() * policy.diag(),
                lambda policy, advantage: -(policy * advantage).sum() * _fisher(policy).diag().diag(),
            ),
        ),
        Mistake(
            "always zero",
            "It is zero for an exact baseline, whose advantages have mean zero. Is that so for {case}?",
            (lambda policy, advantage: torch.zeros_like(_fisher(policy)),),
        ),
    ),
)


def _ratio(log_prob: Tensor) -> Tensor:
    return (log_prob - log_prob.detach()).exp()


def _loaded(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
    ratio = _ratio(log_prob)
    past = ratio.cumprod(-1) / ratio
    return (weights * advantage * past * (ratio - 1)).sum(-1).mean()


def _trajectory_cases() -> list[Case]:
    """All trajectories of three steps on two tiny MDPs. The weights carry their probability: the mean is exact."""
    cases = []
    for seed, discount in ((3, 0.8), (5, 0.5)):
        mdp = random_mdp(2, 2, discount=discount, concentration=1.0, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        theta, baseline = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((2, 2), (2,)))
        paths, probability = enumerate_samples(mdp, theta, 3)
        states, actions = paths.states.squeeze(1), paths.actions.squeeze(1)
        rewards = lookup(mdp.rewards, states, actions)
        to_go, gains = baseline[states[:, 3]], []
        for t in (2, 1, 0):
            to_go = rewards[:, t] + discount * to_go
            gains.append(to_go - baseline[states[:, t]])
        weights = len(probability) * probability.unsqueeze(-1) * discount ** torch.arange(3, dtype=torch.float64)
        arguments = (theta.requires_grad_(), states[:, :3], actions, torch.stack(gains[::-1], -1), weights)
        cases.append(
            Case(f"every trajectory of a small MDP with γ = {discount:g}, each with its probability", arguments)
        )
    return cases


def _two_derivatives(
    function: Answer, theta: Tensor, states: Tensor, actions: Tensor, advantage: Tensor, weights: Tensor
) -> Observation:
    """The expected gradient and Hessian in θ of a surrogate."""
    result = function(theta.log_softmax(-1)[states, actions], advantage, weights)
    nothing = torch.zeros_like(theta)
    if not (isinstance(result, Tensor) and result.requires_grad):
        return {"gradient": nothing, "Hessian": nothing.new_zeros(theta.numel(), theta.numel())}
    (gradient,) = torch.autograd.grad(result.sum(), theta, create_graph=True)
    rows = [
        torch.autograd.grad(entry, theta, retain_graph=True)[0] if entry.requires_grad else nothing
        for entry in gradient.flatten()
    ]
    return {"gradient": gradient.detach(), "Hessian": torch.stack(rows).flatten(1)}


def _scaled(factor: str) -> Answer:
    def wrong(log_prob: Tensor, advantage: Tensor, weights: Tensor) -> Tensor:
        steps, rows = log_prob.shape[-1], log_prob.shape[-2]
        return _loaded(log_prob, advantage, weights) * {"1/T": 1 / steps, "n": rows, "n/T": rows / steps}[factor]

    return wrong


SURROGATE = Exercise(
    id="05.surrogate",
    reference=_loaded,
    cases=_trajectory_cases,
    probe=_two_derivatives,
    hint="Differentiate your t-th term twice by hand, at ratios of 1: which of g_t, ∇² log π_t, g_t g_tᵀ and "
    "g_t g_iᵀ with i < t does it have?",
    praise="All parts are there: the action now, the logarithm, and the way one came.",
    mistakes=(
        Mistake(
            "automatic differentiation of the loss",
            "The gradient is right. The Hessian has H₂ alone: log π_t shows θ in the score and hides it in the "
            "probabilities. What has the same gradient as log π_t, and π's own second derivative?",
            (lambda log_prob, advantage, weights: (weights * advantage * log_prob).sum(-1).mean(),),
        ),
        Mistake(
            "LVC",
            "The gradient is right, and the Hessian has H₁ + H₂. Your t-th term knows the action at t. Which actions "
            "made it likely to come to s_t, and does the term know them?",
            (lambda log_prob, advantage, weights: (weights * advantage * _ratio(log_prob)).sum(-1).mean(),),
        ),
        Mistake(
            "nothing subtracted",
            "Already the gradient is off: each advantage rewards every action before it too, though the baseline was "
            "taken at s_t. What can you subtract from the product up to t, so that at first order only a_t is left?",
            (lambda log_prob, advantage, weights: (weights * advantage * _ratio(log_prob).cumprod(-1)).sum(-1).mean(),),
        ),
        Mistake(
            "H₁ missing",
            "The gradient is right, and H₁₂ is there. What is missing is g_t g_tᵀ: the second derivative of a "
            "logarithm does not have it. Of which function of log π_t does it?",
            (
                lambda log_prob, advantage, weights: (
                    (
                        weights
                        * advantage
                        * log_prob
                        * (1 + (log_prob - log_prob.detach()).cumsum(-1) - (log_prob - log_prob.detach()))
                    )
                    .sum(-1)
                    .mean()
                ),
            ),
        ),
        Mistake(
            "probabilities for ratios",
            "You multiply the probabilities themselves. The trajectories were already drawn with them, so they count "
            "twice. What must a factor evaluate to, with its derivative kept?",
            (
                lambda log_prob, advantage, weights: (
                    (weights * advantage * (log_prob.cumsum(-1).exp() - (log_prob.cumsum(-1) - log_prob).exp()))
                    .sum(-1)
                    .mean()
                ),
            ),
        ),
        Mistake(
            "wrong mean",
            "All derivatives are off by one common factor. Where do you sum, and where do you take a mean: over the "
            "steps, or over the trajectories?",
            (_scaled("1/T"), _scaled("n"), _scaled("n/T")),
        ),
    ),
)

WHO_NOTICES = Question(
    id="05.who_notices",
    answer="c",
    why="At K = 1 neither LIRPG nor MGRL has a Hessian in its meta-gradient; at K = 2 the factor I + αH₁ stands there.",
    hints={
        "a": "At K = 1 the meta-gradient is α D₀ v. Does a second derivative in θ occur in it?",
        "b": "MGRL's θ⁰ does not depend on φ either. Which derivative of the update does α D₀ v use?",
        "d": "They have the same gradient. Which derivative of the surrogate does the inner loop at K = 2 use besides?",
    },
)

GOOD_ENOUGH = Question(
    id="05.good_enough",
    answer="d",
    why="cos = 0.995 means an angle with sine √(1 − 0.995²) = 0.1, and even the best length leaves that: 10%.",
    hints={
        "a": "1 − cos is 0.005. Is that the distance between two vectors, or does it grow like the square of it?",
        "b": "That is twice 0.5%. Draw two arrows with an angle whose cosine is 0.995: how far apart are the tips?",
        "c": "Nearly. At the best length the error is the sine of the angle. What is sin² if cos is 0.995?",
    },
)

EXERCISES = (AD_BLOCK, SURROGATE, WHO_NOTICES, GOOD_ENOUGH)
