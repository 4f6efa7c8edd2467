"""Exercises of lesson 07: the score term, what a window sees, and which estimate is unbiased for what."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab.checks import Answer, Case, Exercise, Mistake, Observation, Question
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.rollout import enumerate_samples, log_prob, lookup


def _with_score(reached: Tensor, log_prob: Tensor) -> Tensor:
    return reached + reached.detach() * log_prob.sum()


def _sample_cases() -> list[Case]:
    """Small MDPs in which each action leads to a state of its own: four paths, so that all samples are few."""
    cases = []
    transitions = torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    for n, words in ((2, "pairs"), (3, "triples")):
        generator = torch.Generator().manual_seed(n)
        rewards, phi = (torch.randn(2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
        mdp = TabularMDP(transitions, rewards, 0.8)
        cases.append(Case(f"the mean over all {words} of trajectories of a small MDP", (mdp, phi, n)))
    return cases


def _mean_gradient(function: Answer, mdp: TabularMDP, phi: Tensor, n: int) -> Observation:
    """∇_φ of the mean surrogate over all samples: one MAML step of size 2 by the samples, then the true return."""
    samples, probability = enumerate_samples(mdp, phi, 2, n)
    leaf = phi.expand(len(probability), 2, 2).clone().requires_grad_()
    along = log_prob(leaf, samples.states, samples.actions)
    rewards = lookup(mdp.rewards, samples.states, samples.actions)
    to_go = torch.stack([rewards[..., 0] + mdp.discount * rewards[..., 1], mdp.discount * rewards[..., 1]], -1)
    (step,) = torch.autograd.grad((to_go * along).sum((-1, -2)).sum() / n, leaf, create_graph=True)
    reached = exact.objective(mdp, leaf + 2.0 * step)
    parts = [torch.as_tensor(function(one, row)) for one, row in zip(reached.unbind(), along.unbind(), strict=True)]
    total = (probability * torch.stack(parts)).sum()
    slope = torch.autograd.grad(total, leaf)[0] if total.requires_grad else torch.zeros_like(leaf)
    return {"gradient": slope.sum(0)}


SCORE_TERM = Exercise(
    id="07.score_term",
    reference=_with_score,
    cases=_sample_cases,
    probe=_mean_gradient,
    hint="Write J^{K-sample} as Σ over samples of probability times outcome, and differentiate the product. How does a "
    "mean over samples give you the derivative of a probability?",
    praise="Both parts are there: how each outcome moves, and how likely it becomes.",
    mistakes=(
        Mistake(
            "path alone",
            "This moves each outcome and leaves its probability where it was. What is the derivative of Σ p(τ) J(τ)?",
            (lambda reached, log_prob: reached,),
        ),
        Mistake(
            "score alone",
            "This moves the probabilities and leaves each outcome where it was. Does θ̂ not depend on φ, with the "
            "samples given?",
            (
                lambda reached, log_prob: reached.detach() * log_prob.sum(),
                lambda reached, log_prob: log_prob.sum() * reached.detach() + 0 * reached,
            ),
        ),
        Mistake(
            "mean over the trajectories",
            "The update is a mean over n trajectories. But is the probability of the whole sample a mean of theirs?",
            (lambda reached, log_prob: reached + reached.detach() * log_prob.sum(-1).mean(),),
        ),
        Mistake(
            "mean over the steps",
            "The probability of a trajectory is a product over its steps. What becomes of a product in the logarithm?",
            (
                lambda reached, log_prob: reached + reached.detach() * log_prob.mean(),
                lambda reached, log_prob: reached + reached.detach() * log_prob.mean(-1).sum(),
            ),
        ),
        Mistake(
            "outcome not held fixed",
            "In the second part the outcome is a mere weight. Which derivative of it comes in beside the one that you "
            "have already?",
            (
                lambda reached, log_prob: reached + reached * log_prob.sum(),
                lambda reached, log_prob: reached * log_prob.sum(),
            ),
        ),
        Mistake(
            "probability for logarithm",
            "The samples are drawn with their probability already, so it counts twice here. Which function of p has "
            "∇p / p as its gradient?",
            (
                lambda reached, log_prob: reached + reached.detach() * log_prob.sum().exp(),
                lambda reached, log_prob: reached * log_prob.sum().exp(),
            ),
        ),
        Mistake(
            "sign",
            "The score has the wrong sign. Should samples with good outcomes become more likely, or less?",
            (lambda reached, log_prob: reached - reached.detach() * log_prob.sum(),),
        ),
    ),
)


def _truncated(direct: Tensor, start: Tensor, terms: Tensor, window: int) -> Tensor:
    seen = direct + terms[len(terms) - window :].sum(0)
    return seen + start if window == len(terms) else seen


def _window_cases() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    direct, start = (torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(2))
    terms = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    words = {2: "2 of 4 steps", 1: "the last step alone", 4: "the whole life of 4 steps", 0: "a window of no step"}
    return [Case(words[window], (direct, start, terms, window)) for window in words]


TRUNCATED = Exercise(
    id="07.truncated",
    reference=_truncated,
    cases=_window_cases,
    hint="Walk back from J^Out. Which terms have you met after `window` steps, and when do you meet θ⁰?",
    praise="Right, at both ends: a window of nothing sees the direct term, a window of everything the start too.",
    mistakes=(
        Mistake(
            "first steps",
            "Those are the first steps of the life. Backpropagation starts at J^Out: which steps does it meet first?",
            (
                lambda direct, start, terms, window: (
                    direct + terms[:window].sum(0) + (start if window == len(terms) else 0 * start)
                ),
                lambda direct, start, terms, window: direct + terms[:window].sum(0) + start,
                lambda direct, start, terms, window: direct + terms[:window].sum(0),
            ),
        ),
        Mistake(
            "minus zero",
            "Right for every window but one. What does `terms[-0:]` give?",
            (
                lambda direct, start, terms, window: (
                    direct + terms[-window:].sum(0) + (start if window == len(terms) else 0 * start)
                ),
                lambda direct, start, terms, window: direct + terms[-window:].sum(0),
                lambda direct, start, terms, window: direct + terms[-window:].sum(0) + start,
            ),
        ),
        Mistake(
            "start always there",
            "θ⁰ is what the first step starts from. Does a window that ends before it see how θ⁰ depends on φ?",
            (lambda direct, start, terms, window: direct + start + terms[len(terms) - window :].sum(0),),
        ),
        Mistake(
            "start never there",
            "For {case} you give {got}. If the window reaches the very beginning, what does it see besides the steps?",
            (lambda direct, start, terms, window: direct + terms[len(terms) - window :].sum(0),),
        ),
        Mistake(
            "direct term forgotten",
            "What φ does to J^Out directly needs no step at all. Does a window cut it off?",
            (
                lambda direct, start, terms, window: _truncated(0 * direct, start, terms, window),
                lambda direct, start, terms, window: terms[len(terms) - window :].sum(0),
            ),
        ),
    ),
)

WHICH_TARGET = Question(
    id="07.which_target",
    answer="c",
    why="Its Hessian is right for EPG, but θ̂ is noisy; its score is there to first order only, which the K-sample "
    "target does not forgive. Both biases vanish like 1/n.",
    hints={
        "a": "With n = 4 the outer gradient is taken at a noisy θ̂. Is E f(θ̂) = f(E θ̂) for a curved f?",
        "b": "Look at the row `DiCE, c = 0`: what stands under the K-sample target? Which coefficient and which path "
        "had a zero there?",
        "d": "Compare n = 1, 2 and 4 in that row. Do both numbers stay where they are?",
    },
)

NEARLY_DETERMINISTIC = Question(
    id="07.nearly_deterministic",
    answer="c",
    why="Noise and gradient both die out, the gradient faster: at logits of 16 the noise of one trajectory is 2291 "
    "times the gradient.",
    hints={
        "a": "A score ∇ log π is at most √2 long, and rare actions are drawn rarely. Did σ grow in the table?",
        "b": "8/(1 − γ)³ holds for every θ. Are the gradients of a saturated softmax steep or flat?",
        "d": "On-policy the mean is right for every policy. Which of the columns had a zero throughout?",
    },
)

EXERCISES = (SCORE_TERM, TRUNCATED, WHICH_TARGET, NEARLY_DETERMINISTIC)
