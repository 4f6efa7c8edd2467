"""The Hessian that an oracle reports: against closed forms, each trial against itself alone, and its symmetry."""

import pytest
import torch
from helpers import batch_of_mdps, close, differ, normal

import gmrl_lab as gl
from gmrl_lab import exact

MDP = batch_of_mdps()
THETA = normal(4, 3, 2, seed=1)
SAMPLED = gl.Sampled(gl.LoadedDiCE(), 3, horizon=5)


def test_exact_oracle_gives_the_exact_hessian() -> None:
    assert close(gl.estimated_hessian(MDP, THETA, gl.Exact()), exact.hessian(MDP, THETA), 1e-12)
    three = gl.estimated_hessian(MDP, THETA, gl.Exact(horizon=3, bootstrap=False), n_trials=2)
    assert close(three, exact.hessian(MDP, THETA, 3).expand(2, 4, 6, 6), 1e-12)


def test_expected_oracle_keeps_its_part() -> None:
    value = exact.value(MDP, THETA)
    parts = exact.hessian_parts(MDP, THETA, 5, value, value)
    quiet = gl.Baseline(noise=0.0)
    assert close(gl.estimated_hessian(MDP, THETA, gl.Expected(gl.LVC(), 5, baseline=quiet)), parts.score, 1e-12)
    assert differ(parts.score, parts.total)


def test_each_trial_is_the_one_that_its_generator_gives_alone() -> None:
    theta = THETA[0]
    one = gl.random_mdp(3, 2, seed=0)
    together = gl.estimated_hessian(one, theta, SAMPLED, 4, gl.generators(7, 4))
    assert together.shape == (4, 6, 6)
    assert not together.requires_grad
    alone = gl.estimated_hessian(one, theta, SAMPLED, 1, gl.generators(7, 4)[2:3])
    assert close(together[2], alone[0], 1e-12)
    assert differ(together[1], together[2])
    assert close(together, together.mT, 1e-12)


def test_mean_over_all_samples_is_the_expected_one() -> None:
    """Every sample of two trajectories, weighted by its probability."""
    mdp, theta = gl.random_mdp(2, 2, concentration=1.0, seed=3), normal(2, 2, seed=1)
    quiet = gl.Baseline(noise=0.0)
    paths, probability = gl.enumerate_samples(mdp, theta, 2, 2)
    stored = gl.Sampled(gl.LVC(), 2, horizon=2, baseline=quiet, trajectories=paths)
    found = gl.estimated_hessian(mdp, theta, stored, len(probability))
    wanted = gl.estimated_hessian(mdp, theta, gl.Expected(gl.LVC(), 2, baseline=quiet))
    assert close((probability[:, None, None] * found).sum(0), wanted, 1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"theta": torch.zeros(4, 2, 2, dtype=torch.float64)}, r"theta: got shape \(4, 2, 2\)"),
        ({"n_trials": 0}, "n_trials: got 0, allowed is a whole number >= 1"),
        ({"oracle": SAMPLED}, "generator: got None, allowed is gl.generators"),
        ({"oracle": SAMPLED, "n_trials": 2, "generator": gl.generators(0, 3)}, "generator: got a list of 3"),
    ],
)
def test_bad_input(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gl.estimated_hessian(**{"mdp": MDP, "theta": THETA, "oracle": gl.Exact(), **arguments})
