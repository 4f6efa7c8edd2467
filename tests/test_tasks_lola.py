"""LOLA: the meta-gradient two ways, and which estimators keep the mixed derivative on which it rests."""

import pytest
import torch
from helpers import close, finite_differences, normal, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.games import AS_THE_OTHER_SEES
from gmrl_lab.meta import product_terms

GAMES = {"IPD": gl.IPD(0.96), "any": gl.MatrixGame(normal(2, 2, seed=5), normal(2, 2, seed=6), 0.9)}
THETA_0, PHI = 0.5 * normal(5, seed=1), 0.5 * normal(3, 5, seed=2)
EACH = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
HORIZON = 3


def opponent_gradient(game: gl.MatrixGame, phi: Tensor, theta: Tensor) -> Tensor:
    """∇_θ V²(φ, θ), plainly."""
    leaf = theta.detach().requires_grad_()
    return torch.autograd.grad(game.value(phi, leaf)[1].sum(), leaf)[0]


def meta_objective(game: gl.MatrixGame, phi: Tensor, n_inner_steps: int, inner_lr: float) -> Tensor:
    theta = THETA_0.expand_as(phi)
    for _ in range(n_inner_steps):
        theta = theta + inner_lr * opponent_gradient(game, phi, theta)
    return game.value(phi, theta)[0]


@EACH
@pytest.mark.parametrize("n_inner_steps", range(6))
def test_product_agrees_with_autodiff(game: gl.MatrixGame, n_inner_steps: int) -> None:
    task = gl.LOLA(game, THETA_0)
    product = gl.meta_gradient_by_product(task, PHI, n_inner_steps, 0.3)
    assert product.shape == PHI.shape
    assert close(gl.meta_gradient(task, PHI, n_inner_steps, 0.3), product, 1e-10)


@EACH
@pytest.mark.parametrize("n_inner_steps", [0, 1, 3])
def test_meta_gradient_agrees_with_finite_differences(game: gl.MatrixGame, n_inner_steps: int) -> None:
    found = gl.meta_gradient(gl.LOLA(game, THETA_0), PHI, n_inner_steps, 0.3)
    numeric = finite_differences(lambda phi: meta_objective(game, phi, n_inner_steps, 0.3), PHI, n_dims=1)
    assert close(found, numeric, 1e-6)


def test_direct_and_indirect_terms_are_both_there() -> None:
    """θ⁰ is free of φ; a learner that forgets the second kind is the naive one."""
    terms = product_terms(gl.LOLA(GAMES["IPD"], THETA_0), PHI, 2, 0.3)
    assert terms.start.abs().max() == 0
    assert terms.direct.abs().max() > 0.1
    assert all(term.abs().max() > 0.1 for term in terms.indirect)


def mixed(surrogate: Tensor, phi: Tensor, theta: Tensor) -> Tensor:
    """∇_φ ∇_θ of a surrogate, `(..., 5, 5)`, φ first."""
    (first,) = torch.autograd.grad(surrogate.sum(), theta, create_graph=True)
    rows = [torch.autograd.grad(first[..., i].sum(), phi, retain_graph=True, allow_unused=True)[0] for i in range(5)]
    return torch.stack([torch.zeros_like(phi) if row is None else row for row in rows], -1)


def enumerated(estimator, game: gl.MatrixGame) -> tuple[Tensor, Tensor]:
    """Every trajectory's mixed derivative `(N, 5, 5)` at (φ, θ⁰), and its probability `(N,)`."""
    problem = game.problems(PHI[0], THETA_0)[1]
    samples, probability = gl.enumerate_samples(problem.mdp, problem.logits, HORIZON)
    phi, theta = (x.expand(len(probability), 5).clone().requires_grad_() for x in (PHI[0], THETA_0))
    oracle = gl.Sampled(estimator, 1, HORIZON, baseline=gl.Baseline(0.0), trajectories=samples)
    return mixed(oracle.surrogate(game.problems(phi, theta)[1]), phi, theta), probability


def true_mixed(game: gl.MatrixGame, bootstrap: bool) -> Tensor:
    phi, theta = PHI[0].clone().requires_grad_(), THETA_0.clone().requires_grad_()
    objective = gl.Exact(HORIZON, bootstrap=bootstrap)
    return mixed(objective.surrogate(game.problems(phi, theta)[1]), phi, theta)


@EACH
def test_mixed_derivative_of_autodiff_is_zero(game: gl.MatrixGame) -> None:
    """log π₁ + log π₂ has no mixed derivative, and neither does any sum of it, in any sample (up to rounding)."""
    found, _ = enumerated(gl.AD(), game)
    assert found.abs().max() < 1e-15
    assert true_mixed(game, True).abs().max() > 1e-3


def lvc_mixed(game: gl.MatrixGame, phi: Tensor, theta: Tensor, horizon: int) -> Tensor:
    oracle = gl.Expected(gl.LVC(), horizon, baseline=gl.Baseline(0.0))
    return mixed(oracle.surrogate(game.problems(phi, theta)[1]), phi, theta)


@EACH
def test_lvc_keeps_what_two_actions_at_the_same_time_do_to_each_other(game: gl.MatrixGame) -> None:
    """d(s) p(1 − p) q(1 − q) (Q_CC − Q_CD − Q_DC + Q_DD) in the opponent's state s, and nothing between states."""
    phi, theta = PHI[0].clone().requires_grad_(), THETA_0.clone().requires_grad_()
    problem = game.problems(phi.detach(), theta.detach())[1]
    action_value = gl.exact.action_value(problem.mdp, problem.logits)
    p, q = phi.detach().sigmoid()[list(AS_THE_OTHER_SEES)], theta.detach().sigmoid()
    interaction = action_value @ torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=p.dtype)
    kept = gl.exact.occupancy(problem.mdp, problem.logits) * p * (1 - p) * q * (1 - q) * interaction
    wanted = torch.diag(kept)[list(AS_THE_OTHER_SEES)]
    horizon = 700 if game is GAMES["IPD"] else 250  # what is left out is below 1e-11
    assert close(lvc_mixed(game, phi, theta, horizon), wanted, 1e-9)


@pytest.mark.parametrize("horizon", [2, 3, 10])
@pytest.mark.parametrize("discount", [0.5, 0.96])
def test_lvc_loses_the_mixed_derivative_of_the_prisoners_dilemma(discount: float, horizon: int) -> None:
    """All of it at the uniform policies, where values add up as payoffs do; nearly all of it at 40 random ones."""
    game = gl.IPD(discount)
    scale = torch.tensor([0.0] + 40 * [0.5], dtype=torch.float64).unsqueeze(-1)
    phi, theta = ((scale * normal(41, 5, seed=seed)).requires_grad_() for seed in (1, 2))
    wanted = mixed(gl.Exact(horizon).surrogate(game.problems(phi, theta)[1]), phi, theta)
    off = (lvc_mixed(game, phi, theta, horizon) - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    assert off[0] == pytest.approx(1, abs=1e-12)
    assert 0.75 < off[1:].min() < 0.97 < off[1:].median() < 0.99 < off[1:].max() < 1.02


def test_lvc_keeps_more_where_payoffs_do_not_add_up() -> None:
    found, probability = enumerated(gl.LVC(), GAMES["any"])
    wanted = true_mixed(GAMES["any"], True)
    lost = (torch.einsum("n,nij->ij", probability, found) - wanted).norm() / wanted.norm()
    assert 0.2 < lost < 0.6


@EACH
@pytest.mark.parametrize(("estimator", "bootstrap"), [(gl.DiCE(), False), (gl.LoadedDiCE(), True)], ids=str)
def test_mixed_derivative_of_dice_and_loaded_dice_is_unbiased(game, estimator, bootstrap: bool) -> None:
    found, probability = enumerated(estimator, game)
    assert close(torch.einsum("n,nij->ij", probability, found), true_mixed(game, bootstrap), 1e-10)


def test_sampled_lola_without_a_mixed_derivative_is_the_naive_learner() -> None:
    """With AD in the Hessian's role the sampled meta-gradient is ∇_φ V¹(φ, θ^K) alone, whatever the sample."""
    task = gl.LOLA(GAMES["IPD"], THETA_0)
    forgetful = gl.meta_gradient(task, PHI, 1, 0.3, hessian=gl.Sampled(gl.AD(), 4), generator=seeded())
    assert close(forgetful, product_terms(task, PHI, 1, 0.3).direct, 1e-12)
    assert not close(forgetful, gl.meta_gradient(task, PHI, 1, 0.3), 0.05)
