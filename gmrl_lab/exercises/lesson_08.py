"""Exercises of lesson 08: the interval that a claim needs, and what a wrong value does to AD's Hessian."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question


def _interval(accuracies: Tensor, t: float) -> Tensor:
    means = accuracies.mean(1)
    return torch.stack([means.mean(), t * means.std() / len(means) ** 0.5])


def _pooled(accuracies: Tensor, t: float) -> Tensor:
    return torch.stack([accuracies.mean(), t * accuracies.std() / accuracies.numel() ** 0.5])


def _over_trials(accuracies: Tensor, t: float) -> Tensor:
    means = accuracies.mean(0)
    return torch.stack([means.mean(), t * means.std() / len(means) ** 0.5])


def _accuracies() -> list[Case]:
    cases = []
    for n_mdps, n_trials, t in ((10, 20, 2.262), (5, 10, 2.776)):
        generator = torch.Generator().manual_seed(n_mdps)
        mdps, trials = (
            torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((n_mdps, 1), (n_mdps, n_trials))
        )
        cases.append(Case(f"{n_mdps} MDPs with {n_trials} trials each", (0.7 + 0.08 * mdps + 0.05 * trials, t)))
    return cases


INTERVAL = Exercise(
    id="08.interval",
    reference=_interval,
    cases=_accuracies,
    hint="First make one number of each MDP. How many independent numbers are left, and how far does their mean stray?",
    praise="Ten MDPs are ten witnesses, however often each is asked.",
    mistakes=(
        Mistake(
            "trials as witnesses",
            "You count every trial as a witness. Would 1000 trials of one MDP tell you about another MDP?",
            (_pooled,),
        ),
        Mistake(
            "wrong direction",
            "This asks how the mean over MDPs varies from trial to trial. Are the witnesses rows or columns?",
            (_over_trials,),
        ),
        Mistake(
            "spread of one",
            "That is how far one MDP strays. How far does the mean of all of them?",
            (
                lambda a, t: torch.stack([a.mean(), t * a.mean(1).std()]),
                lambda a, t: torch.stack([a.mean(), a.mean(1).std()]),
            ),
        ),
        Mistake(
            "normal for Student",
            "The factor 1.96 is for many MDPs. What did the argument t bring, and why is it larger?",
            (lambda a, t: torch.stack([a.mean(), 1.96 * a.mean(1).std() / len(a) ** 0.5]),),
        ),
        Mistake(
            "standard error alone",
            "One standard error covers the truth two times out of three. Which factor makes 95% of it?",
            (lambda a, t: torch.stack([a.mean(), a.mean(1).std() / len(a) ** 0.5]),),
        ),
        Mistake(
            "divided by n",
            "The interval shrinks with the number of MDPs, but so fast? How does the s.d. of a mean of n fall with n?",
            (lambda a, t: torch.stack([a.mean(), t * a.mean(1).std() / len(a)]),),
        ),
    ),
)


def _noise_hessian(policy: Tensor, visits: Tensor, error: Tensor) -> Tensor:
    fisher = torch.diag_embed(policy) - policy.unsqueeze(-1) * policy.unsqueeze(-2)
    return (visits * error)[:, None, None] * fisher


def _policies() -> list[Case]:
    cases = []
    for n_states, n_actions in ((1, 2), (4, 3)):
        generator = torch.Generator().manual_seed(n_states)
        logits = torch.randn(n_states, n_actions, generator=generator, dtype=torch.float64)
        visits = torch.rand(n_states, generator=generator, dtype=torch.float64) + 0.5
        error = torch.randn(n_states, generator=generator, dtype=torch.float64)
        cases.append(Case(f"{n_states} states with {n_actions} actions", (logits.softmax(-1), visits, error)))
    return cases


NOISE_HESSIAN = Exercise(
    id="08.noise_hessian",
    reference=_noise_hessian,
    cases=_policies,
    hint="AD's term at a state is Â ∇² log π. What does a baseline that is too high by δ add to Â, and what is "
    "∇² log π of a softmax, in its logits?",
    praise="So a wrong value is a wrong Hessian, as large as the policy's Fisher information allows.",
    mistakes=(
        Mistake(
            "sign",
            "Two minus signs meet: Â loses δ, and ∇² log π is negative. What is their product?",
            (lambda p, d, e: -_noise_hessian(p, d, e),),
        ),
        Mistake(
            "diagonal alone",
            "Raise all logits of a state by the same amount: the policy stays. Does your matrix know that?",
            (lambda p, d, e: (d * e)[:, None, None] * torch.diag_embed(p),),
        ),
        Mistake(
            "visits forgotten",
            "A state that nobody visits adds nothing. Where does `visits` come in?",
            (lambda p, d, e: _noise_hessian(p, torch.ones_like(d), e),),
        ),
        Mistake(
            "size of the error",
            "Take δ and −δ in turn: the mean over both should be no error. Is it with yours?",
            (lambda p, d, e: _noise_hessian(p, d, e.abs()), lambda p, d, e: _noise_hessian(p, d, e**2)),
        ),
    ),
)

WHAT_HELPS = Question(
    id="08.what_helps",
    answer="b",
    why="Then every trajectory has another wrong value, and their mean is right: 0.961 instead of 0.721 at |τ| = 128.",
    hints={
        "a": "All trajectories of a call share one wrong V̂. What does their mean converge to?",
        "c": "Trials tell you how accurate one estimate is. Do they make it more accurate?",
        "d": "The wrong part is α times the wrong Hessian. What does a larger α do to it?",
    },
)

WHICH_ONE = Question(
    id="08.which_one",
    answer="c",
    why="LVC's error at 256 is 78% bias² and stays; Loaded DiCE's is variance and halves with each doubling.",
    hints={
        "a": "At 256 the two have nearly the same error. Which part of each is still falling?",
        "b": "DiCE is unbiased too. By how much does its variance exceed the others' at 256?",
        "d": "AD's line is flat from 16 on. What would make it rise?",
    },
)

EXERCISES = (INTERVAL, NOISE_HESSIAN, WHAT_HELPS, WHICH_ONE)
