"""What each surrogate says about one sample: against plain loops, across ends of episodes, and each other."""

import math

import pytest
import torch
from helpers import (
    ESTIMATORS,
    WITH_BASELINE,
    close,
    derivatives,
    differ,
    double,
    finite_differences,
    normal,
    seeded,
    steps_of,
    tiny_mdp,
)
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.rollout import log_prob

# --- against loops, with episodes that end in the middle ---------------------------------------------------------
# Three trajectories of six steps. The first ends after steps 1 (termination) and 3 (truncation), the second never,
# the third after its first (truncation) and its last step (termination).
N, T = 3, 6
ENDED = torch.zeros(N, T, dtype=torch.bool)
ENDED[[0, 0, 2, 2], [1, 3, 0, 5]] = True
EPISODES = [(0, 0, 2), (0, 2, 4), (0, 4, 6), (1, 0, 6), (2, 0, 1), (2, 1, 6)]
STATES = torch.randint(3, (N, T + 1), generator=seeded(1))
ACTIONS = torch.randint(2, (N, T), generator=seeded(2))
THETA, BEHAVIOUR = normal(3, 2, seed=3), normal(3, 2, seed=4).log_softmax(-1)
REWARD, VALUE = normal(N, T, seed=5), normal(N, T + 1, seed=6)
NEXT_VALUE = VALUE[:, 1:].clone()
NEXT_VALUE[[0, 2], [1, 5]] = 0.0
NEXT_VALUE[[0, 2], [3, 0]] = double([0.7, -1.3])  # of the last observation, not of the next episode's first


def steps(theta: Tensor, off_policy: bool = False, gae_lambda: float = 0.9, **changes) -> gl.Steps:
    fields = {
        "log_prob": log_prob(theta, STATES, ACTIONS),
        "reward": REWARD,
        "value": VALUE[:, :-1],
        "next_value": NEXT_VALUE,
        "discount": 0.8,
        "behaviour_log_prob": BEHAVIOUR[STATES[:, :-1], ACTIONS] if off_policy else None,
        "ended": ENDED,
        "gae_lambda": gae_lambda,
    }
    return gl.Steps(**{**fields, **changes})


def cut(whole: gl.Steps, row: int, first: int, last: int) -> gl.Steps:
    """One episode as a sample of its own."""

    def part(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[row : row + 1, first:last]

    return gl.Steps(
        log_prob=part(whole.log_prob),
        reward=part(whole.reward),
        value=part(whole.value),
        next_value=part(whole.next_value),
        discount=whole.discount,
        behaviour_log_prob=part(whole.behaviour_log_prob),
        gae_lambda=whole.gae_lambda,
        weight=part(whole.weight),
    )


def by_loops(estimator: gl.Estimator, data: gl.Steps) -> Tensor:
    """The surrogate of one episode, term by term as it is defined."""
    length, discount = data.log_prob.shape[-1], data.discount
    reward, value, next_value = data.reward[0], data.value[0], data.next_value[0]
    log_pi = data.log_prob[0]
    log_mu = log_pi.detach() if data.behaviour_log_prob is None else data.behaviour_log_prob[0]
    ratio = (log_pi - log_mu).exp()
    total = torch.zeros((), dtype=torch.float64)
    for t in range(length):
        advantage = sum(
            (discount * data.gae_lambda) ** (later - t) * (reward[later] + discount * next_value[later] - value[later])
            for later in range(t, length)
        )
        if isinstance(estimator, gl.DiCE):
            before, now = (ratio[:i].prod() for i in (t, t + 1))
            control = {"none": 0.0, "first order": 1 - ratio[t], "any order": before - now}[estimator.baseline]
            term = now * reward[t] + control * value[t]
        elif estimator == gl.AD():
            term = advantage * log_pi[t]
        elif estimator == gl.LVC():
            term = advantage * ratio[t]
        elif estimator == gl.TayPO2():
            term = advantage * (ratio[t] - 1) * (1 + sum(ratio[i] - 1 for i in range(t)))
        else:
            past = sum(estimator.lambda_ ** (t - i) * (log_pi[i] - log_mu[i]) for i in range(t))
            past = torch.as_tensor(past, dtype=torch.float64)
            term = advantage * ((past + log_pi[t] - log_mu[t]).exp() - past.exp())
        total = total + term * (discount**t if data.weight is None else data.weight[0, t])
    return total


@pytest.mark.parametrize("gae_lambda", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, gl.DiCE("first order"), gl.DiCE("any order")], ids=str)
def test_surrogate_is_the_sum_over_episodes_by_loops(estimator, off_policy: bool, gae_lambda: float) -> None:
    """In value, gradient and Hessian, with terminations and truncations in the middle of the steps."""

    def loops(theta: Tensor) -> Tensor:
        whole = steps(theta, off_policy, gae_lambda)
        return sum(by_loops(estimator, cut(whole, *episode)) for episode in EPISODES) / N

    found = derivatives(lambda theta: estimator.surrogate(steps(theta, off_policy, gae_lambda)), THETA)
    for got, wanted in zip(found, derivatives(loops, THETA), strict=True):
        assert close(got, wanted, 1e-12)


@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_each_episode_stands_alone(estimator, off_policy: bool) -> None:
    """Steps cut at the ends, one sample for each episode, give the same surrogate, gradient and Hessian."""

    def apart(theta: Tensor) -> Tensor:
        whole = steps(theta, off_policy)
        return sum(estimator.surrogate(cut(whole, *episode)) for episode in EPISODES) / N

    found = derivatives(lambda theta: estimator.surrogate(steps(theta, off_policy)), THETA)
    for got, wanted in zip(found, derivatives(apart, THETA), strict=True):
        assert close(got, wanted, 1e-13)
    unbroken = derivatives(lambda theta: estimator.surrogate(steps(theta, off_policy, ended=None)), THETA)
    assert differ(unbroken[1], found[1])


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_given_weight_takes_the_place_of_the_discount_to_the_t(estimator) -> None:
    """Any weight, and γᵗ given by hand; inside an advantage the discount stays."""
    weight = normal(N, T, seed=7).exp()

    def loops(theta: Tensor) -> Tensor:
        whole = steps(theta, True, weight=weight)
        return sum(by_loops(estimator, cut(whole, *episode)) for episode in EPISODES) / N

    found = derivatives(lambda theta: estimator.surrogate(steps(theta, True, weight=weight)), THETA)
    for got, wanted in zip(found, derivatives(loops, THETA), strict=True):
        assert close(got, wanted, 1e-12)
    age = double([[0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 3, 4]])
    by_hand = estimator.surrogate(steps(THETA, True, weight=0.8**age))
    assert close(by_hand, estimator.surrogate(steps(THETA, True)), 1e-13)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_batch_elements_have_their_own_discount_and_lambda(estimator) -> None:
    """And the surrogate is differentiable in both, in the reward and in the value (finite differences)."""
    discount, gae_lambda = double([0.3, 0.8]), double([0.9, 0.2])

    def surrogate(discount: Tensor, gae_lambda: Tensor) -> Tensor:
        return estimator.surrogate(steps(THETA, True, gae_lambda, discount=discount))

    together = surrogate(discount, gae_lambda)
    for i in range(2):
        alone = estimator.surrogate(steps(THETA, True, gae_lambda[i].item(), discount=discount[i].item()))
        assert close(together[i], alone, 1e-13)
    at = [discount.clone().requires_grad_(), gae_lambda.clone().requires_grad_()]
    slopes = torch.autograd.grad(surrogate(*at).sum(), at, allow_unused=True)
    assert close(slopes[0], finite_differences(lambda x: surrogate(x, gae_lambda), discount, 0).squeeze(-1), 1e-8)
    if estimator == gl.DiCE():
        assert slopes[1] is None
    else:
        assert close(slopes[1], finite_differences(lambda x: surrogate(discount, x), gae_lambda, 0).squeeze(-1), 1e-8)


def test_dice_ignores_values_and_lambda() -> None:
    other = steps(THETA, True, 0.3, value=VALUE[:, :-1] + 1, next_value=NEXT_VALUE - 1)
    assert torch.equal(gl.DiCE().surrogate(other), gl.DiCE().surrogate(steps(THETA, True)))


def test_values_of_the_surrogates_on_policy() -> None:
    """Ratios are 1: DiCE's value is the return, LVC's the sum of advantages, the differences vanish."""
    data = steps(THETA)
    assert abs(gl.DiCE().surrogate(data) - (data.weights * data.reward).sum() / N) < 1e-14
    assert abs(gl.LVC().surrogate(data) - (data.weights * data.advantage).sum() / N) < 1e-14
    for estimator in (gl.LoadedDiCE(), gl.LoadedDiCE(0.5), gl.TayPO2()):
        assert estimator.surrogate(data) == 0


# --- identities, sample by sample ---------------------------------------------------------------------------------
MDP = tiny_mdp()
LOGITS, BASELINE = normal(2, 2, seed=10), normal(2, seed=11)
PATHS, _ = gl.enumerate_samples(MDP, LOGITS, 3)
"""All 64 trajectories of three steps."""


def per_sample(
    estimator: gl.Estimator,
    baseline: Tensor = BASELINE,
    gae_lambda: float = 1.0,
    logits: Tensor = LOGITS,
    off_policy: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, gradient and Hessian of each of the 64 surrogates."""

    def surrogate(theta: Tensor) -> Tensor:
        return estimator.surrogate(steps_of(MDP, theta, PATHS, baseline, gae_lambda, off_policy))

    return derivatives(surrogate, logits.expand(64, 2, 2))


OTHER = normal(2, 2, seed=12)
"""Target logits for the off-policy cases; the trajectories are those of LOGITS."""


@pytest.mark.parametrize("gae_lambda", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("estimator", WITH_BASELINE, ids=str)
def test_first_order_gradients_are_the_same_on_policy(estimator, gae_lambda: float) -> None:
    """Σ_t γᵗ Â_t ∇ log π_t, whatever the surrogate, the baseline and λ; DiCE's only without a baseline at λ = 1."""
    gradient = per_sample(estimator, gae_lambda=gae_lambda)[1]
    assert close(gradient, per_sample(gl.AD(), gae_lambda=gae_lambda)[1], 1e-13)
    assert differ(gradient, per_sample(gl.DiCE())[1])


def test_first_order_gradients_differ_off_policy() -> None:
    """So that the test above does not compare a thing with itself."""
    gradients = [per_sample(e, logits=OTHER, off_policy=True)[1] for e in (gl.AD(), gl.LVC(), gl.LoadedDiCE())]
    assert differ(gradients[0], gradients[1])
    assert differ(gradients[1], gradients[2])


@pytest.mark.parametrize("gae_lambda", [1.0, 0.7])
def test_taypo2_is_loaded_dice_to_second_order_on_policy(gae_lambda: float) -> None:
    taypo, loaded = (per_sample(e, gae_lambda=gae_lambda) for e in (gl.TayPO2(), gl.LoadedDiCE()))
    assert close(taypo[1], loaded[1], 1e-13)
    assert close(taypo[2], loaded[2], 1e-13)
    away = [per_sample(e, logits=OTHER, off_policy=True)[2] for e in (gl.TayPO2(), gl.LoadedDiCE())]
    assert differ(*away)


@pytest.mark.parametrize("off_policy", [False, True])
def test_loaded_dice_at_zero_is_lvc_up_to_a_constant(off_policy: bool) -> None:
    """Σ γᵗ Â_t (ρ_t − 1), on-policy and off-policy, in gradient and Hessian."""
    zero, lvc = (per_sample(e, logits=OTHER, off_policy=off_policy) for e in (gl.LoadedDiCE(0.0), gl.LVC()))
    assert close(zero[1], lvc[1], 1e-13)
    assert close(zero[2], lvc[2], 1e-13)
    assert differ(zero[0], lvc[0])


@pytest.mark.parametrize("off_policy", [False, True])
def test_loaded_dice_without_baseline_is_dice_up_to_a_constant(off_policy: bool) -> None:
    """Σ_t γᵗ (ρ_{0:t} − ρ_{0:t−1}) Σ_{l≥t} γ^{l−t} r_l = Σ_l γˡ r_l (ρ_{0:l} − 1)."""
    zero = 0 * BASELINE
    loaded, dice = (per_sample(e, zero, logits=OTHER, off_policy=off_policy) for e in (gl.LoadedDiCE(), gl.DiCE()))
    assert close(loaded[1], dice[1], 1e-13)
    assert close(loaded[2], dice[2], 1e-13)
    assert differ(per_sample(gl.LoadedDiCE(), BASELINE)[2], dice[2])


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_gradients_and_hessians_sum_to_zero_over_the_actions_of_a_state(estimator) -> None:
    """A softmax does not see a constant added to the logits of a state."""
    _, gradient, hessian = per_sample(estimator, gae_lambda=0.9, logits=OTHER, off_policy=True)
    assert gradient.unflatten(-1, (2, 2)).sum(-1).abs().max() < 1e-13
    assert hessian.unflatten(-1, (2, 2)).sum(-1).abs().max() < 1e-13


def test_hessian_parts_sample_by_sample() -> None:
    """AD has H₂ = Σ γᵗÂ_t ∇² log π_t, LVC H₁ + H₂ with H₁ = Σ γᵗÂ_t g_t g_tᵀ, Loaded DiCE H₁ + H₂ + H₁₂ + H₁₂ᵀ.

    H₁₂ = Σ γᵗÂ_t g_t (Σ_{i<t} g_i)ᵀ, and at λ its past is Σ_{i<t} λ^{t−i} g_i.
    """
    policy = LOGITS.softmax(-1)
    states, actions = PATHS.states[:, 0, :-1], PATHS.actions[:, 0]
    score = torch.zeros(64, 3, 4, dtype=torch.float64)
    curvature = torch.zeros(64, 3, 4, 4, dtype=torch.float64)
    for m in range(64):
        for t in range(3):
            s, block = int(states[m, t]), slice(2 * int(states[m, t]), 2 * int(states[m, t]) + 2)
            score[m, t, block] = torch.eye(2, dtype=torch.float64)[actions[m, t]] - policy[s]
            curvature[m, t, block, block] = torch.outer(policy[s], policy[s]) - policy[s].diag()
    weight = double([1.0, 0.8, 0.64]) * steps_of(MDP, LOGITS, PATHS, BASELINE).advantage[:, 0]
    h_1 = torch.einsum("mt,mta,mtb->mab", weight, score, score)
    h_2 = torch.einsum("mt,mtab->mab", weight, curvature)
    assert close(per_sample(gl.AD())[2], h_2, 1e-13)
    assert close(per_sample(gl.LVC())[2], h_1 + h_2, 1e-13)
    for dial in (1.0, 0.5, 0.0):
        past = torch.stack([sum((dial ** (t - i) * score[:, i] for i in range(t)), 0 * score[:, 0]) for t in range(3)])
        h_12 = torch.einsum("mt,mta,tmb->mab", weight, score, past)
        assert close(per_sample(gl.LoadedDiCE(dial))[2], h_1 + h_2 + h_12 + h_12.transpose(-1, -2), 1e-13)


def test_clip_caps_each_ratio_and_keeps_its_gradient() -> None:
    """min(π/μ, c) in value; its derivative is the capped ratio times ∇ log π. Below the cap nothing changes."""
    problem = gl.Problem(MDP, OTHER.clone().requires_grad_())
    ratios = []
    for clip in (None, 1.1):
        oracle = gl.Sampled(gl.LVC(), 1, horizon=3, baseline=None, trajectories=PATHS, clip=clip)
        ratios.append(oracle.steps(gl.Problem(MDP, problem.logits.expand(64, 2, 2)), PATHS).ratio)
    free, capped = ratios
    assert 0 < int((free > 1.1).sum()) < free.numel()
    assert close(capped.detach(), free.detach().clamp(max=1.1), 1e-14)
    slopes = [torch.autograd.grad((r / r.detach()).sum(), problem.logits, retain_graph=True)[0] for r in ratios]
    assert close(slopes[1], slopes[0], 1e-12)


def test_ratio_is_one_on_policy_to_the_last_bit() -> None:
    """No epsilon inside a logarithm: logits of ±300 give the ratio 1 and a finite gradient."""
    logits = double([[300.0, -300.0], [-300.0, 300.0], [0.0, 0.0]]).requires_grad_()
    data = steps(logits)
    assert torch.equal(data.ratio, torch.ones_like(data.ratio))
    (gradient,) = torch.autograd.grad(gl.LVC().surrogate(data), logits)
    assert math.isfinite(gradient.sum().item())


def test_dice_asks_for_no_baseline_and_so_for_no_generator() -> None:
    """Its noise is not drawn: stored trajectories need no generator, and the expectation none either."""
    mdp, theta = tiny_mdp(), normal(2, 2)
    stored = gl.sample(mdp, theta, 4, 3, generator=seeded())
    noisy = gl.Sampled(gl.DiCE(), 4, 3, trajectories=stored)
    assert not noisy.is_random
    assert not gl.Expected(gl.DiCE(), 3).is_random
    problem = gl.Problem(mdp, theta)
    quiet = gl.Sampled(gl.DiCE(), 4, 3, baseline=None, trajectories=stored)
    assert torch.equal(noisy.surrogate(problem), quiet.surrogate(problem))
    assert gl.Sampled(gl.LVC(), 4, 3, trajectories=stored).is_random
