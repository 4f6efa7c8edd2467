"""The K-sample target and its estimator by every sample of a tiny MDP; truncated windows by the proposition's terms."""

import pytest
import torch
from helpers import batch_of_mdps, close, differ, finite_differences, normal, rejects, seeded, tiny_mdp
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.meta import product_terms
from gmrl_lab.targets import CONTROLS, every_estimate, k_sample_gradient, k_sample_objective, truncated_gradient

MDP = tiny_mdp()
PHI = 0.3 * normal(2, 2, seed=1)
TASKS = {
    "MAML": gl.MAML(MDP),
    "LIRPG": gl.LIRPG(MDP, PHI),
    "MGRL": gl.MGRL(MDP, PHI),
    "LOLA": gl.LOLA(gl.IPD(0.9), 0.3 * normal(5, seed=2)),
}
PHIS = {"MAML": PHI, "LIRPG": PHI, "MGRL": gl.MGRL.phi(0.7, 0.9), "LOLA": 0.3 * normal(5, seed=3)}
EACH = pytest.mark.parametrize("name", TASKS)
ALPHA = 2.0
EXPECTED = gl.Exact(2, bootstrap=False)
"""The inner objective whose gradient the samples below estimate without bias."""


def samples(n: int, estimator=gl.AD(), **stored) -> gl.Sampled:  # noqa: B008
    return gl.Sampled(estimator, n, 2, baseline=None, **stored)


def target(name: str, n: int, n_inner_steps: int = 1) -> Tensor:
    leaf = PHIS[name].clone().requires_grad_()
    objective = k_sample_objective(TASKS[name], leaf, n_inner_steps, ALPHA, inner=samples(n))
    return torch.autograd.grad(objective, leaf)[0]


def expected_target(name: str, n_inner_steps: int = 1) -> Tensor:
    return gl.meta_gradient(TASKS[name], PHIS[name], n_inner_steps, ALPHA, inner=EXPECTED, hessian=EXPECTED)


def mean_estimate(name: str, n: int, n_inner_steps: int = 1, estimator=gl.AD(), **settings) -> Tensor:  # noqa: B008
    """The exact mean over all sequences of samples."""
    estimates, probability = every_estimate(
        TASKS[name], PHIS[name], n_inner_steps, ALPHA, inner=samples(n, estimator), **settings
    )
    return torch.einsum("m,m...->...", probability, estimates)


def size_of_error(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).norm() / wanted.norm()).item()


# --- the objective ----------------------------------------------------------------------------------------------------
@EACH
@pytest.mark.parametrize("n_inner_steps", [1, 2])
def test_k_sample_gradient(name: str, n_inner_steps: int) -> None:
    """Autodiff of the listed objective against its finite differences."""

    def objective(phi: Tensor) -> Tensor:
        return k_sample_objective(TASKS[name], phi, n_inner_steps, ALPHA, inner=samples(1)).detach()

    numeric = finite_differences(objective, PHIS[name], PHIS[name].ndim)
    assert close(target(name, 1, n_inner_steps).flatten(), numeric, 1e-7)


def test_objective_by_hand() -> None:
    """One step: Σ_τ p(τ) J(θ⁰ + α ĝ(τ)), with the library's list of samples and its sampled oracle alone."""
    every, probability = gl.enumerate_samples(MDP, PHI, 2, 2)
    logits = PHI.expand(len(probability), 2, 2).clone().requires_grad_()
    surrogate = samples(2, trajectories=every).surrogate(gl.Problem(MDP, logits))
    (step,) = torch.autograd.grad(surrogate.sum(), logits)
    wanted = (probability * gl.exact.objective(MDP, PHI + ALPHA * step)).sum()
    assert close(k_sample_objective(TASKS["MAML"], PHI, 1, ALPHA, inner=samples(2)), wanted, 1e-13)


def test_two_steps_by_hand() -> None:
    """K = 2, n = 1, one first sample after another, each with its own second policy."""
    every, first = gl.enumerate_samples(MDP, PHI, 2, 1)
    logits = PHI.expand(len(first), 2, 2).clone().requires_grad_()
    (step,) = torch.autograd.grad(samples(1, trajectories=every).surrogate(gl.Problem(MDP, logits)).sum(), logits)
    second = [k_sample_objective(TASKS["MAML"], theta, 1, ALPHA, inner=samples(1)) for theta in PHI + ALPHA * step]
    wanted = (first * torch.stack(second)).sum()
    assert close(k_sample_objective(TASKS["MAML"], PHI, 2, ALPHA, inner=samples(1)), wanted, 1e-13)


@pytest.mark.parametrize("estimator", [gl.LVC(), gl.DiCE()], ids=str)
def test_other_estimators_give_its_value_but_not_its_derivative(estimator) -> None:
    leaf = PHI.clone().requires_grad_()
    plain, other = (
        k_sample_objective(TASKS["MAML"], leaf, 1, ALPHA, inner=samples(2, e)) for e in (gl.AD(), estimator)
    )
    assert close(other.detach(), plain.detach(), 1e-13)
    assert differ(torch.autograd.grad(other, leaf)[0], target("MAML", 2))


def test_a_slot_machine_by_hand() -> None:
    """One pull, the left arm pays 1, logit difference 0, a step of 4 on it: lesson 07's first numbers."""
    stay, pay = torch.ones(1, 2, 1, dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    task = gl.MAML(gl.TabularMDP(transitions=stay, rewards=pay, discount=0.0))
    phi, pull = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True), gl.Sampled(gl.AD(), 1, 1, baseline=None)
    sigma_2 = torch.tensor(2.0).double().sigmoid()
    objective = k_sample_objective(task, phi, 1, 2.0, inner=pull)
    assert close(objective.detach(), (sigma_2 + 0.5) / 2, 1e-14)
    (left, right) = torch.autograd.grad(objective, phi)[0][0]
    assert close(left, (sigma_2 - 0.5) / 4 + 1 / 8, 1e-14)
    assert close(left, -right, 1e-14)
    estimates, probability = every_estimate(task, phi.detach(), 1, 2.0, inner=pull, score=0.0)
    assert close((probability * estimates[:, 0, 0]).sum(), torch.tensor(1 / 8).double(), 1e-14)


# --- its estimates ----------------------------------------------------------------------------------------------------
@EACH
@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize(("n_inner_steps", "n"), [(1, 1), (1, 2), (1, 3), (2, 1)])
def test_full_score_is_unbiased_for_the_k_sample_target(name: str, n_inner_steps: int, n: int, control: str) -> None:
    assert close(mean_estimate(name, n, n_inner_steps, control=control), target(name, n, n_inner_steps), 1e-11)


def test_full_score_is_unbiased_over_two_steps_of_two_trajectories() -> None:
    assert close(mean_estimate("MAML", 2, 2, control="end"), target("MAML", 2, 2), 1e-11)


def test_anything_else_is_not() -> None:
    """No score, half of it, or a Hessian that is right for the *other* target: each misses this one."""
    wanted = target("MAML", 2)
    wrong = [{"score": score, "estimator": one} for one in (gl.LVC(), gl.DiCE()) for score in (0.0, 1.0)]
    for settings in ({"score": 0.0}, {"score": 0.5}, *wrong):
        assert differ(mean_estimate("MAML", 2, **settings), wanted), settings


def test_curvature_and_score_count_the_same_thing_twice() -> None:
    """DiCE without the score is nearer than DiCE with it, and so is LVC: their Hessian *is* the score, linearised."""
    wanted = target("MAML", 3)
    for estimator in (gl.LVC(), gl.DiCE()):
        alone, both = (
            size_of_error(mean_estimate("MAML", 3, estimator=estimator, score=c), wanted) for c in (0.0, 1.0)
        )
        assert 5 * alone < both


def test_the_score_is_the_curvature_that_autodiff_forgets() -> None:
    """E[score part] = α (H − H₂) v + O(α²): off by a share that falls with α, a tenth of it for a tenth of α."""
    shares = []
    for alpha in (0.1, 0.01):
        path, both = (
            torch.einsum("m,mij->ij", chance, every)
            for every, chance in (
                every_estimate(TASKS["MAML"], PHI, 1, alpha, inner=samples(1), score=c, control="end") for c in (0, 1)
            )
        )
        with_h, with_h2 = (
            gl.meta_gradient(TASKS["MAML"], PHI, 1, alpha, inner=EXPECTED, hessian=curvature)
            for curvature in (EXPECTED, gl.Expected(gl.AD(), 2, baseline=None))
        )
        shares.append(size_of_error(both - path, with_h - with_h2))
    assert shares[0] < 0.2
    assert shares[1] < shares[0] / 8


def test_the_coefficient_moves_the_mean_along_a_line() -> None:
    at = [mean_estimate("MAML", 2, score=score) for score in (0.0, 0.5, 1.0)]
    assert close(at[0] + at[2], 2 * at[1], 1e-12)


def test_one_step_from_a_fixed_start_needs_no_score() -> None:
    """Where θ⁰ and the first policy are free of φ, so are the first samples: autodiff through them is right."""
    for name in ("LIRPG", "MGRL"):
        assert close(mean_estimate(name, 2, score=0.0), target(name, 2), 1e-11)
        assert differ(mean_estimate(name, 1, 2, score=0.0), target(name, 1, 2))
    assert differ(mean_estimate("LOLA", 1, score=0.0), target("LOLA", 1))  # φ plays too


def test_every_estimate_is_what_sampling_gives() -> None:
    """Mean and covariance of 4,000 sampled estimates, K = 2; false alarm 1e-6 each. Another coefficient is rejected."""
    task, settings = TASKS["MAML"], {"inner": samples(2), "control": "start"}
    estimates, probability = every_estimate(task, PHI, 2, ALPHA, score=0.5, **settings)
    assert close(probability.sum(), torch.ones_like(probability.sum()), 1e-12)
    mean = torch.einsum("m,mij->ij", probability, estimates)
    square = torch.einsum("m,mij->ij", probability, (estimates - mean).square())
    found, other = (
        k_sample_gradient(task, PHI, 2, ALPHA, score=c, n_trials=4000, generator=seeded(1), **settings)
        for c in (0.5, 0.0)
    )
    assert not rejects(found, mean)
    assert not rejects((found - mean).square(), square)
    assert rejects(other, mean)
    assert rejects((other - mean).square(), square)


@pytest.mark.parametrize("name", ["MAML", "LIRPG"])
def test_references_are_the_outer_values_at_both_ends_of_the_expected_path(name: str) -> None:
    """What a reference takes away is b · Σ ∇ log p, sample by sample, so two of them are in the ratio of their b."""
    task, phi, n_inner_steps = TASKS[name], PHIS[name], 2
    none, start, end = (
        every_estimate(task, phi, n_inner_steps, ALPHA, inner=samples(1), control=control)[0] for control in CONTROLS
    )
    theta = theta_0 = task.theta_0(phi).clone()
    for _ in range(n_inner_steps):
        theta = theta + ALPHA * gl.exact.gradient(task.inner(phi, theta).mdp, theta, 2)
    values = [gl.exact.objective(MDP, point) for point in (theta_0, theta)]
    assert close((none - start) * values[1], (none - end) * values[0], 1e-10)
    assert differ(none - start, none - end)


def test_sampled_outer_return_has_the_same_mean() -> None:
    """DiCE's value is the return of its trajectories: 40,000 trials against the T-step target, false alarm 1e-6."""
    task = TASKS["MAML"]
    leaf = PHI.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(
        k_sample_objective(task, leaf, 1, ALPHA, inner=samples(1), outer=gl.Exact(4, bootstrap=False)), leaf
    )
    outer = gl.Sampled(gl.DiCE(), 8, 4, baseline=None)
    settings = {"inner": samples(1), "outer": outer, "n_trials": 40_000, "generator": seeded(2)}
    assert not rejects(k_sample_gradient(task, PHI, 1, ALPHA, **settings), wanted)
    assert rejects(k_sample_gradient(task, PHI, 1, ALPHA, score=0.0, **settings), wanted)


# --- how they move with n ---------------------------------------------------------------------------------------------
def test_how_variances_move_with_n() -> None:
    """From 16 to 256 trajectories, 2,000 trials; a variance of so many is known to a fifth.

    The score's grows sixteenfold, or levels off if the reference is where the path ends; LVC's falls sixteenfold.
    """

    def growth(estimator, score: float, control: str) -> float:
        settings = {"score": score, "control": control, "n_trials": 2000, "generator": seeded(5)}
        few, many = (
            gl.covariance_trace(
                k_sample_gradient(TASKS["MAML"], PHI, 1, ALPHA, inner=samples(n, estimator), **settings)
            ).item()
            for n in (16, 256)
        )
        return many / few

    assert 10 < growth(gl.AD(), 1.0, "none") < 24
    assert 4 < growth(gl.AD(), 1.0, "start") < 24
    assert 0.6 < growth(gl.AD(), 1.0, "end") < 2
    assert 1 / 24 < growth(gl.LVC(), 0.0, "none") < 1 / 10


@pytest.mark.parametrize("name", ["MAML", "LIRPG"])
def test_the_two_targets_meet_like_one_over_n(name: str) -> None:
    """‖∇J^{K-sample} − ∇J^K‖ at n = 4, and by 400,000 trajectories at n = 64: a tenth of it or less."""
    expected = expected_target(name)
    settings = {"inner": samples(64), "control": "end", "n_trials": 6000, "generator": seeded(4)}
    many = gl.bias(k_sample_gradient(TASKS[name], PHIS[name], 1, ALPHA, **settings), expected)
    assert many.squared_norm - 3 * many.standard_error < (target(name, 4) - expected).square().sum() / 50


@pytest.mark.parametrize("name", ["MAML", "LIRPG", "LOLA"])
def test_the_gap_of_the_targets_is_one_over_n_for_small_steps(name: str) -> None:
    """At α = 0.005: n · ‖gap‖ at n = 1, 2, 3 is the same within a twentieth."""
    expected = gl.meta_gradient(TASKS[name], PHIS[name], 1, 0.005, inner=EXPECTED, hessian=EXPECTED)
    gaps = []
    for n in (1, 2, 3):
        leaf = PHIS[name].clone().requires_grad_()
        (found,) = torch.autograd.grad(k_sample_objective(TASKS[name], leaf, 1, 0.005, inner=samples(n)), leaf)
        gaps.append(n * (found - expected).norm().item())
    assert max(gaps) < 1.05 * min(gaps)


def test_dice_is_biased_for_both_targets_like_one_over_n() -> None:
    """At α = 0.005: n times its distance from either is the same within a twentieth at n = 1, 2, 3."""
    task, phi = gl.MAML(gl.random_mdp(2, 2, concentration=1.0, seed=0)), normal(2, 2)
    expected = gl.meta_gradient(task, phi, 1, 0.005, inner=EXPECTED, hessian=EXPECTED)
    distances = []
    for n in (1, 2, 3):
        leaf = phi.clone().requires_grad_()
        k_sample = torch.autograd.grad(k_sample_objective(task, leaf, 1, 0.005, inner=samples(n)), leaf)[0]
        every, chance = every_estimate(task, phi, 1, 0.005, inner=samples(n, gl.DiCE()), score=0.0)
        mean = torch.einsum("m,mij->ij", chance, every)
        distances.append([n * (mean - target).norm().item() for target in (k_sample, expected)])
    for from_one in zip(*distances, strict=True):
        assert 1e-8 < max(from_one) < 1.05 * min(from_one)


def test_dice_is_nearer_to_one_target_or_the_other() -> None:
    """Its bias is of the order of the gap: which target is nearer depends on MDP and policy."""
    nearer = []
    for seed, scale in ((3, 0.0), (2, 1.0)):
        mdp, phi = gl.random_mdp(2, 2, concentration=1.0, seed=seed), scale * normal(2, 2, seed=seed)
        leaf = phi.clone().requires_grad_()
        k_sample = torch.autograd.grad(k_sample_objective(gl.MAML(mdp), leaf, 1, 0.5, inner=samples(4)), leaf)[0]
        expected = gl.meta_gradient(gl.MAML(mdp), phi, 1, 0.5, inner=EXPECTED, hessian=EXPECTED)
        every, chance = every_estimate(gl.MAML(mdp), phi, 1, 0.5, inner=samples(4, gl.DiCE()), score=0.0)
        mean = torch.einsum("m,mij->ij", chance, every)
        nearer.append(bool((mean - k_sample).norm() < (mean - expected).norm()))
    assert nearer == [True, False]


def test_batches_and_trials() -> None:
    mdp = batch_of_mdps()
    phi = normal(4, 3, 2, seed=2)
    inner = gl.Sampled(gl.AD(), 3, 4, baseline=None)
    found = k_sample_gradient(gl.MAML(mdp), phi, 2, 0.5, inner=inner, n_trials=5, generator=gl.generators(0, 5))
    assert found.shape == (5, 4, 3, 2)
    alone = k_sample_gradient(gl.MAML(mdp), phi, 2, 0.5, inner=inner, n_trials=2, generator=gl.generators(0, 2))
    assert close(found[:2], alone, 1e-12)


def test_no_step_is_the_outer_gradient() -> None:
    estimates, probability = every_estimate(TASKS["MAML"], PHI, 0, ALPHA, inner=samples(2))
    assert probability.tolist() == [1.0]
    assert close(estimates[0], gl.exact.gradient(MDP, PHI), 1e-12)


# --- truncated windows ------------------------------------------------------------------------------------------------
BATCH = batch_of_mdps()
LIFE = {"LIRPG": gl.LIRPG(BATCH, normal(4, 3, 2, seed=1)), "MAML": gl.MAML(BATCH), "MGRL": gl.MGRL(BATCH, normal(3, 2))}
LIFE_PHI = {"LIRPG": normal(4, 3, 2, seed=2), "MAML": normal(4, 3, 2, seed=2), "MGRL": gl.MGRL.phi(0.7, 0.9)}


@pytest.mark.parametrize("window", range(6))
@pytest.mark.parametrize("name", LIFE)
def test_a_window_keeps_the_last_terms(name: str, window: int) -> None:
    terms = product_terms(LIFE[name], LIFE_PHI[name], 5, 1.0)
    kept = terms.direct + sum(terms.indirect[5 - window :], torch.zeros_like(terms.direct))
    kept = kept + (terms.start if window == 5 else 0)
    found = truncated_gradient(LIFE[name], LIFE_PHI[name], 5, 1.0, window)
    assert (found - kept).abs().max() < 1e-11


def test_the_whole_life_is_the_meta_gradient_and_a_short_window_is_not() -> None:
    task, phi = LIFE["LIRPG"], LIFE_PHI["LIRPG"]
    whole = gl.meta_gradient(task, phi, 5, 1.0)
    assert close(truncated_gradient(task, phi, 5, 1.0, 5), whole, 1e-12)
    assert differ(truncated_gradient(task, phi, 5, 1.0, 2), whole)
    assert truncated_gradient(LIFE["MAML"], phi, 5, 1.0, 4).abs().max() == 0  # the window does not reach φ = θ⁰


def test_a_window_sees_its_share_of_the_length() -> None:
    """LIRPG for 30 steps of size 1 on the paper's MDP: 3 and 10 steps see about a tenth and a third."""
    task, phi = gl.LIRPG(gl.random_mdp(), torch.zeros(20, 5).double()), torch.zeros(20, 5).double()
    whole = gl.meta_gradient(task, phi, 30, 1.0)
    for window in (3, 10):
        part = truncated_gradient(task, phi, 30, 1.0, window)
        assert size_of_error(part, whole) == pytest.approx(1 - window / 30, abs=0.04)
        assert gl.accuracy(part, whole, kind="cosine") > 0.95


def test_a_window_early_in_life_has_another_direction() -> None:
    """Judged where it ends, after 5 steps or after 30: only the later one points where the whole life does."""
    task, phi = gl.LIRPG(gl.random_mdp(), torch.zeros(20, 5).double()), torch.zeros(20, 5).double()
    whole = gl.meta_gradient(task, phi, 30, 1.0)
    early, late = (gl.accuracy(truncated_gradient(task, phi, t, 1.0, 5), whole, kind="cosine") for t in (5, 30))
    assert early < 0.7 < 0.95 < late


def test_bad_input() -> None:
    task = TASKS["MAML"]
    with pytest.raises(ValueError, match="inner: got Sampled"):
        k_sample_gradient(task, PHI, inner=gl.Sampled(gl.AD(), 2), generator=seeded())
    with pytest.raises(ValueError, match="inner: got Exact"):
        k_sample_gradient(task, PHI, inner=gl.Exact(), generator=seeded())
    with pytest.raises(ValueError, match="outer: got Sampled"):
        k_sample_gradient(task, PHI, inner=samples(2), outer=gl.Sampled(gl.LVC(), 2), generator=seeded())
    every, _ = gl.enumerate_samples(MDP, PHI, 2, 1)
    with pytest.raises(ValueError, match="without stored trajectories"):
        k_sample_gradient(task, PHI, inner=samples(1, trajectories=every), n_trials=16, generator=seeded())
    with pytest.raises(ValueError, match="control: got 'middle', allowed is one of 'none', 'start', 'end'"):
        every_estimate(task, PHI, inner=samples(1), control="middle")
    with pytest.raises(ValueError, match="n_inner_steps: got 330 samples in each of 2 steps"):
        k_sample_objective(task, PHI, 2, ALPHA, inner=samples(4))
    with pytest.raises(ValueError, match="n_inner_steps: got -1"):
        every_estimate(task, PHI, -1, inner=samples(1))
    with pytest.raises(ValueError, match="mdp: got batch"):
        every_estimate(gl.MAML(batch_of_mdps()), normal(4, 3, 2), inner=samples(1))
    lpg = gl.LPG(MDP, PHI)
    with pytest.raises(ValueError, match="task: got LPG"):
        k_sample_gradient(lpg, lpg.initial_phi(seeded()), inner=samples(1), generator=seeded())
    with pytest.raises(ValueError, match="window: got 4, allowed is a whole number from 0 to n_inner_steps = 3"):
        truncated_gradient(task, PHI, 3, 1.0, 4)
    with pytest.raises(ValueError, match="window: got -1"):
        truncated_gradient(task, PHI, 3, 1.0, -1)
    with pytest.raises(ValueError, match="generator: got None"):
        k_sample_gradient(task, PHI, inner=samples(2), generator=None)
