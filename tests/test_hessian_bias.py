"""What lesson 05 says in numbers: the two doors, noise on the baseline, variance, one step, and the lost hundredth."""

import pytest
import torch
from helpers import double, rejects
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact

MDPS = gl.random_mdp(seed=list(range(10)))
THETA = torch.zeros(20, 5, dtype=torch.float64)
VALUE = exact.value(MDPS, THETA)
QUIET = gl.Baseline(noise=0.0)
ALPHA = 10.0


def size(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)


def test_two_doors_by_hand() -> None:
    """J = p q at p = q = 3/4: true (−9/128, 9/256; …), AD −27/256 or 0, LVC without the corner."""
    second, end = [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    doors = gl.TabularMDP(
        double([[second, end], [end, end], [end, end]]), double([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), 0.5
    )
    odds = double([[3.0, 1.0], [3.0, 1.0], [1.0, 1.0]]).log()

    def at_doors(hessian: Tensor) -> list[float]:
        return [hessian[0, 0].item(), hessian[0, 2].item(), hessian[2, 2].item()]

    def expected(estimator, baseline: gl.Baseline | None) -> list[float]:
        oracle = gl.Expected(estimator, horizon=2, baseline=baseline)
        return at_doors(gl.estimated_hessian(doors, odds, oracle))

    truth = [-9 / 128, 9 / 256, -9 / 128]
    assert at_doors(exact.hessian(doors, odds)) == pytest.approx(truth, abs=1e-14)
    assert expected(gl.AD(), None) == pytest.approx([-27 / 256, 0, -27 / 256], abs=1e-14)
    assert expected(gl.AD(), QUIET) == pytest.approx([0, 0, 0], abs=1e-14)
    for baseline in (None, QUIET):
        assert expected(gl.LVC(), baseline) == pytest.approx([-9 / 128, 0, -9 / 128], abs=1e-14)
        assert expected(gl.LoadedDiCE(), baseline) == pytest.approx(truth, abs=1e-14)


def ad_hessians(baseline: gl.Baseline, n: int, n_trials: int) -> Tensor:
    oracle = gl.Sampled(gl.AD(), n, baseline=baseline)
    mdp = gl.random_mdp(seed=0)
    return gl.estimated_hessian(mdp, THETA, oracle, n_trials, gl.generators(0, n_trials))


def test_noise_fixed_redrawn_and_per_trajectory() -> None:
    """Of AD's Hessian on MDP 0: the mean is H₂ of the noise (fixed) or 0, the variance has a floor only if redrawn.

    The means are compared by `rejects`, false alarm 1e-6 each, which does reject the other kind's mean. The variances
    at n = 64 against n = 16 with 200 trials: a ratio of 1/4 without a floor, of nearly 1 with one. Each trace has a
    standard error below 15% (tr Σ is a sum over states), so that a limit at 0.6 is 5 standard errors from either.
    """
    value = VALUE[0]
    fixed = gl.Baseline(seed=0)
    table = fixed.values(gl.Problem(gl.random_mdp(seed=0), THETA), None).squeeze(-2)
    spurious = exact.hessian_parts(gl.random_mdp(seed=0), THETA, 20, table, table).curvature
    kinds = {"fixed": fixed, "redrawn": gl.Baseline(), "per": gl.Baseline(per="trajectory"), "none": QUIET}
    few = {name: ad_hessians(baseline, 16, 200) for name, baseline in kinds.items()}
    assert not rejects(few["fixed"], spurious)
    assert rejects(few["fixed"], torch.zeros_like(spurious))
    for name in ("redrawn", "per", "none"):
        assert not rejects(few[name], torch.zeros_like(spurious))
        assert rejects(few[name], spurious)
    ratio = {
        name: (gl.covariance_trace(ad_hessians(baseline, 64, 200)) / gl.covariance_trace(few[name])).item()
        for name, baseline in kinds.items()
    }
    assert max(ratio["fixed"], ratio["per"], ratio["none"]) < 0.6 < ratio["redrawn"]
    one_state = torch.eye(20, dtype=torch.float64) * value.norm() / 20
    mdp = gl.random_mdp(seed=0)
    blocks = exact.hessian_parts(mdp, THETA, 20, value + one_state, value + one_state).curvature
    floor = blocks.square().sum()
    assert gl.covariance_trace(ad_hessians(gl.Baseline(), 64, 200)) / floor == pytest.approx(1.0, abs=0.35)


def test_what_unbiased_costs() -> None:
    """Variance of the Hessian at 16 trajectories, mean of ten MDPs relative to ‖H‖²: LVC, Loaded DiCE, DiCE.

    Measured 0.55, 3.5 and 93, with standard errors below 10%: limits a factor of 1.5 away are never met by chance.
    """
    scale = size(exact.hessian(MDPS, THETA, 20, VALUE)) ** 2
    variance = []
    for estimator in (gl.LVC(), gl.LoadedDiCE(), gl.DiCE()):
        oracle = gl.Sampled(estimator, 16, baseline=QUIET)
        trials = gl.estimated_hessian(MDPS, THETA, oracle, 10, gl.generators(0, 10))
        variance.append((gl.covariance_trace(trials, event_dims=2) / scale).mean().item())
    for got, wanted in zip(variance, (0.55, 3.5, 93.0), strict=True):
        assert wanted / 1.5 < got < wanted * 1.5


@pytest.mark.parametrize("task", [gl.LIRPG(MDPS, THETA), gl.MGRL(MDPS, THETA)], ids=["LIRPG", "MGRL"])
def test_one_step_hides_it_and_more_do_not(task: gl.Task) -> None:
    """Expected AD and LVC are exact at K = 1; their bias is there at K = 2 and larger at K = 5."""
    phi = gl.MGRL.phi(0.6, 0.95) if isinstance(task, gl.MGRL) else THETA
    for estimator in (gl.AD(), gl.LVC()):
        gaps = []
        for n_inner_steps in (1, 2, 5):
            truth = gl.meta_gradient(task, phi, n_inner_steps, ALPHA, hessian=gl.Exact(horizon=20))
            oracle = gl.Expected(estimator, baseline=QUIET)
            found = gl.meta_gradient(task, phi, n_inner_steps, ALPHA, hessian=oracle)
            gaps.append((size(found - truth) / size(truth)).mean().item())
        assert gaps[0] < 1e-10
        assert 0.03 < gaps[1] < gaps[2]


@pytest.mark.parametrize(("gae_lambda", "low", "high"), [(1.0, 0.0, 0.001), (0.9, 0.02, 0.05), (0.0, 0.24, 0.41)])
def test_a_detached_baseline_is_felt_at_one_step(gae_lambda: float, low: float, high: float) -> None:
    task = gl.LIRPG(MDPS, THETA)
    truth = gl.meta_gradient(task, THETA, 1, ALPHA, hessian=gl.Exact(horizon=20))
    for attached in (True, False):
        oracle = gl.Expected(gl.AD(), gae_lambda=gae_lambda, baseline=QUIET, grad_baseline=attached)
        gap = size(gl.meta_gradient(task, THETA, 1, ALPHA, hessian=oracle) - truth) / size(truth)
        assert gap.max() < 1e-10 if attached else low < gap.min() <= gap.max() < high


def test_from_half_a_hessian_to_a_hundredth() -> None:
    """The five stairs of the lesson, and what the prose says of each, on ten MDPs."""
    parts = exact.hessian_parts(MDPS, THETA)
    missing, whole = parts.across + parts.across.mT, parts.total
    v = exact.gradient(MDPS, THETA + ALPHA * exact.gradient(MDPS, THETA)).flatten(1).unsqueeze(-1)
    error, m = ALPHA * missing @ v, v + ALPHA * whole @ v
    lost = 1 - gl.accuracy((m - error).squeeze(-1), m.squeeze(-1), event_dims=1)
    stairs = [
        size(missing) / size(whole),
        size(missing @ v) / size(whole @ v),
        size(error) / size(m),
        (1 - (1 - lost) ** 2).sqrt(),
        lost,
    ]
    assert [stair.mean().item() for stair in stairs] == pytest.approx([0.525, 0.395, 0.156, 0.140, 0.0101], rel=0.01)
    assert (size(v) / size(m)).mean().item() == pytest.approx(0.66, abs=0.01)
    assert (1 - size(m - error) / size(m)).mean().item() == pytest.approx(0.056, abs=0.005)
    assert ((parts.score * missing).sum((1, 2)) / size(parts.score) / size(missing)).abs().max() < 0.12


@pytest.mark.parametrize(("n_inner_steps", "wanted"), [(1, 0.990), (2, 0.967), (5, 0.764)])
def test_more_steps_make_the_correlation_notice(n_inner_steps: int, wanted: float) -> None:
    task = gl.MAML(MDPS)
    truth = gl.meta_gradient(task, THETA, n_inner_steps, ALPHA, hessian=gl.Exact(horizon=20))
    found = gl.meta_gradient(task, THETA, n_inner_steps, ALPHA, hessian=gl.Expected(gl.LVC(), baseline=QUIET))
    assert gl.accuracy(found, truth, event_dims=2).mean().item() == pytest.approx(wanted, abs=0.001)
