"""LPG: an update that is the gradient of nothing, exact by listing every trajectory of a tiny MDP."""

import pytest
import torch
from helpers import close, differ, double, finite_differences, normal, rejects, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import lstm
from gmrl_lab.field import score_sum, weighted_trajectories
from gmrl_lab.meta import product_terms

MDP = gl.random_mdp(2, 2, concentration=1.0, seed=3)
THETA_0 = 0.5 * normal(2, 2, seed=1)
TASK = gl.LPG(MDP, THETA_0)
PHI = torch.stack([TASK.initial_phi(seeded(seed)) for seed in (0, 1)])
EXACT = gl.Exact()


def field(phi: Tensor, theta: Tensor, oracle=EXACT, generator=None) -> Tensor:
    return TASK.inner_update(phi, theta, oracle, generator)


def meta_objective(phi: Tensor, n_inner_steps: int, inner_lr: float) -> Tensor:
    theta = THETA_0
    for _ in range(n_inner_steps):
        theta = theta + inner_lr * field(phi, theta)
    return gl.exact.objective(MDP, theta)


@pytest.mark.parametrize("n_inner_steps", range(6))
def test_product_agrees_with_autodiff(n_inner_steps: int) -> None:
    product = gl.meta_gradient_by_product(TASK, PHI, n_inner_steps, 2.0)
    assert product.shape == PHI.shape == (2, lstm.n_weights(4))
    assert close(gl.meta_gradient(TASK, PHI, n_inner_steps, 2.0), product, 1e-10)


@pytest.mark.parametrize("n_inner_steps", [1, 3])
def test_meta_gradient_agrees_with_finite_differences(n_inner_steps: int) -> None:
    found = gl.meta_gradient(TASK, PHI[0], n_inner_steps, 2.0)
    numeric = finite_differences(lambda phi: meta_objective(phi, n_inner_steps, 2.0), PHI[0], n_dims=1)
    assert close(found, numeric, 1e-6)


def test_its_hessian_is_not_symmetric_and_is_the_derivative_of_the_field() -> None:
    """H_ab = ∂g_b/∂θ_a, by finite differences; a gradient's would equal its transpose."""
    terms = product_terms(TASK, PHI[0], 1, 1.0)
    hessian = terms.factors[0] - torch.eye(4)
    numeric = finite_differences(lambda theta: field(PHI[0], theta).flatten(), THETA_0)
    assert close(hessian.T, numeric, 1e-6)
    assert (hessian - hessian.T).norm() > 0.05 * hessian.norm()


def test_field_by_hand() -> None:
    """Σ_τ p(τ) Σ_t y_t ∇ log π_t, one trajectory after another, with the library's LSTM for y."""
    samples, probability = gl.enumerate_samples(MDP, THETA_0, 3)
    total = torch.zeros(2, 2, dtype=torch.float64)
    policy = THETA_0.softmax(-1)
    for states, actions, p in zip(samples.states[:, 0], samples.actions[:, 0], probability, strict=True):
        steps = [(MDP.rewards[s, a], policy[s, a], MDP.discount) for s, a in zip(states, actions, strict=False)]
        targets = torch_lstm(PHI[0], torch.tensor(steps, dtype=torch.float64))
        for s, a, y in zip(states, actions, targets, strict=False):
            score = -policy[s].clone()
            score[a] += 1
            total[s] += p * y * score
    assert close(field(PHI[0], THETA_0), total, 1e-12)


def torch_lstm(weights: Tensor, inputs: Tensor) -> Tensor:
    """The same LSTM by PyTorch's own, read backwards: `(T, 3)` → `(T,)`."""
    h = 4
    own = torch.nn.LSTM(3, h, dtype=torch.float64)
    w, u, bias, read, shift = weights.split([12 * h, 4 * h * h, 4 * h, h, 1])
    order = [slice(0, h), slice(h, 2 * h), slice(3 * h, 4 * h), slice(2 * h, 3 * h)]  # PyTorch: i, f, new, o

    def ordered(x: Tensor) -> Tensor:
        return torch.cat([x[part] for part in order])

    state = {"weight_ih_l0": w.view(4 * h, 3), "weight_hh_l0": u.view(4 * h, h), "bias_ih_l0": bias}
    own.load_state_dict({k: ordered(v) for k, v in state.items()} | {"bias_hh_l0": torch.zeros(4 * h)})
    with torch.no_grad():
        outputs, _ = own(inputs.flip(0))
    return (outputs @ read + shift).flip(0)


def test_lstm_agrees_with_pytorch_and_reads_from_the_end() -> None:
    inputs = normal(2, 5, 7, 3)
    found = lstm.targets(PHI, inputs, 4)
    assert found.shape == (2, 5, 7)
    for batch in range(2):
        for n in range(5):
            assert close(found[batch, n], torch_lstm(PHI[batch], inputs[batch, n]), 1e-12)
    changed = inputs.clone()
    changed[..., 3, :] += 1
    moved = (lstm.targets(PHI, changed, 4) - found).abs()
    assert moved[..., 4:].max() == 0
    assert moved[..., :4].min() > 0


def test_score_sum_is_the_gradient_of_weighted_log_probabilities() -> None:
    theta = normal(3, 4, 2, seed=5).requires_grad_()
    mdp = gl.random_mdp(4, 2, concentration=0.5)
    seen = gl.sample(mdp, theta, 6, 5, generator=seeded())
    target = normal(3, 6, 5, seed=6)
    logs = theta.log_softmax(-1).flatten(-2).gather(-1, (seen.states[..., :-1] * 2 + seen.actions).flatten(-2))
    (wanted,) = torch.autograd.grad((logs * target.flatten(-2)).sum(), theta)
    assert close(score_sum(theta, seen, target), wanted, 1e-12)


@pytest.mark.parametrize("estimator", [gl.AD(), gl.DiCE()], ids=str)
@pytest.mark.parametrize("n", [1, 2])
def test_sampled_field_has_the_exact_mean(estimator, n: int) -> None:
    """Value for both; the derivative in θ for DiCE alone: AD holds the trajectories fixed, as `Expected(AD)` says."""
    samples, probability = gl.enumerate_samples(MDP, THETA_0, 3, n)
    theta = THETA_0.expand(len(probability), 2, 2).clone().requires_grad_()
    phi = PHI[0].clone().requires_grad_()
    found = field(phi, theta, gl.Sampled(estimator, n, 3, trajectories=samples))
    direction = normal(2, 2, seed=7)
    weighted = (probability[:, None, None] * found * direction).sum()
    by_theta, by_phi = torch.autograd.grad(weighted, (theta, phi))

    def derivatives(oracle) -> tuple[Tensor, ...]:
        leaves = THETA_0.clone().requires_grad_(), PHI[0].clone().requires_grad_()
        update = field(leaves[1], leaves[0], oracle)
        return update.detach(), *torch.autograd.grad((update * direction).sum(), leaves)

    exact, expected = derivatives(EXACT), derivatives(gl.Expected(estimator, 3, baseline=None))
    assert close(torch.einsum("m,msa->sa", probability, found.detach()), exact[0], 1e-12)
    assert close(by_theta.sum(0), expected[1], 1e-11)
    assert close(by_phi, exact[2], 1e-11)
    assert close(expected[1], exact[1], 1e-12) == (estimator == gl.DiCE())
    assert differ(expected[1], exact[1]) == (estimator == gl.AD())


def test_a_constant_target_moves_nothing_yet_autodiff_sees_curvature() -> None:
    """With y = 1: g = 0 and H = 0 by E[∇ log π] = 0, and AD's H has the block −Σ_t d_t(s) (diag π − π πᵀ) at s."""
    phi = torch.zeros_like(PHI[0])
    phi[-1] = 1

    def derivative(oracle) -> Tensor:
        theta = THETA_0.clone().requires_grad_()
        update = field(phi, theta, oracle)
        assert update.abs().max() < 1e-14
        return torch.stack([torch.autograd.grad(x, theta, retain_graph=True)[0].flatten() for x in update.flatten()])

    policy, visits = THETA_0.softmax(-1), [MDP.start_distribution]
    for _ in range(2):
        visits.append(visits[-1] @ gl.exact.transition_matrix(MDP, policy))
    curvature = torch.diag_embed(policy) - policy.unsqueeze(-1) * policy.unsqueeze(-2)
    assert derivative(EXACT).abs().max() < 1e-14
    assert derivative(gl.Expected(gl.DiCE(), 3)).abs().max() < 1e-14
    found = derivative(gl.Expected(gl.AD(), 3, baseline=None))
    assert close(found, torch.block_diag(*(-sum(visits)[:, None, None] * curvature)), 1e-12)


def test_fresh_samples_have_the_exact_mean_too() -> None:
    """2,000 samples of 64, false alarm 1e-6; that of weights twice as large must be told from it."""
    theta = THETA_0.expand(2000, 2, 2).clone().requires_grad_()
    found = field(PHI[0].expand(2000, -1), theta, gl.Sampled(gl.AD(), 64, 3), seeded(1)).detach()
    assert not rejects(found, field(PHI[0], THETA_0))
    assert rejects(found, field(2 * PHI[0], THETA_0))


def test_a_batch_of_mdps_is_each_alone() -> None:
    """MDPs that differ in all that they have, beside a batch of φ."""
    mdp = gl.random_mdp(2, 2, concentration=1.0, seed=range(3)).replace(
        discount=double([0.5, 0.8, 0.9]), start_state=normal(3, 2, seed=8).softmax(-1)
    )
    together = gl.LPG(mdp, THETA_0)
    phi = PHI.unsqueeze(1)  # (2, 1, n): two φ on three MDPs
    found = gl.meta_gradient(together, phi, 2, 2.0)
    assert found.shape == (2, 3, PHI.shape[-1])
    assert close(gl.meta_gradient_by_product(together, phi, 2, 2.0), found, 1e-10)
    for i in range(3):
        one = gl.random_mdp(2, 2, concentration=1.0, seed=i)
        alone = one.replace(discount=mdp.discount[i], start_state=mdp.start_state[i])
        assert close(found[:, i], gl.meta_gradient(gl.LPG(alone, THETA_0), PHI, 2, 2.0), 1e-12)


def test_larger_mdps_are_sampled() -> None:
    mdp = gl.random_mdp(seed=[0, 1])
    task = gl.LPG(mdp, torch.zeros(20, 5, dtype=torch.float64))
    oracle = gl.Sampled(gl.DiCE(), 8)
    found = gl.meta_gradient(task, PHI[0], 2, 1.0, oracle, oracle, n_trials=3, generator=gl.generators(0, 3))
    assert found.shape == (3, 2, PHI.shape[-1])
    assert found.abs().sum((-1, -2)).min() > 0


def test_meta_gradient_with_sampled_parts_runs_in_a_batch() -> None:
    oracle = gl.Sampled(gl.AD(), 8, 3)
    found = gl.meta_gradient(
        TASK, PHI, 2, 1.0, oracle, oracle, gl.Sampled(gl.LVC(), 8), n_trials=3, generator=gl.generators(0, 3)
    )
    assert found.shape == (3, *PHI.shape)
    assert found.isfinite().all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="hidden: got 0"):
        gl.LPG(MDP, THETA_0, hidden=0)
    with pytest.raises(ValueError, match="horizon: got 0"):
        gl.LPG(MDP, THETA_0, horizon=0)
    with pytest.raises(ValueError, match=r"initial_theta: got shape \(3, 2\)"):
        gl.LPG(MDP, normal(3, 2))
    large = gl.LPG(gl.random_mdp(), torch.zeros(20, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match="horizon: got 20 states, 5 actions, horizon 3, allowed is at most 256"):
        gl.meta_gradient(large, large.initial_phi(seeded()))
    problem = gl.Problem(MDP, THETA_0)
    with pytest.raises(ValueError, match=r"horizon: got 2 states, 2 actions, horizon 20"):
        weighted_trajectories(problem, gl.Expected(gl.AD(), baseline=None), 3)
    with pytest.raises(ValueError, match=r"estimator: got LVC\(\), allowed is gl\.AD\(\) or gl\.DiCE\(\)"):
        weighted_trajectories(problem, gl.Sampled(gl.LVC(), 4), 3)
    with pytest.raises(ValueError, match="oracle: got Perturbed"):
        weighted_trajectories(problem, gl.Perturbed(gl.Exact(), 1.0), 3)
    with pytest.raises(ValueError, match="generator: got None"):
        weighted_trajectories(problem, gl.Sampled(gl.AD(), 4), 3)
