"""All ways to sample at once: the numbers that `meta_gradient` gives one way at a time."""

import pytest
import torch
from helpers import batch_of_mdps, close, differ, normal
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.meta import EXACT
from gmrl_lab.permutations import PARTS, SAMPLED_PARTS, permutations

S, A = 3, 2
SAMPLED = gl.Sampled(gl.LVC(), 4, horizon=5)
TASKS = {
    "MAML": lambda mdp: gl.MAML(mdp),
    "LIRPG": lambda mdp: gl.LIRPG(mdp, normal(S, A, seed=7)),
}


def one_by_one(task: gl.Task, phi: Tensor, k: int, lr: float, oracle: gl.Sampled, parts: str, n_trials: int) -> Tensor:
    inner, hessian, outer = (oracle if letter == "S" else EXACT for letter in parts)
    return gl.meta_gradient(task, phi, k, lr, inner, hessian, outer, n_trials=n_trials, generator=trials(n_trials))


def trials(n: int) -> list[torch.Generator]:
    return gl.generators(3, n)


@pytest.mark.parametrize("n_inner_steps", [0, 1, 2, 3])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("name", TASKS)
def test_equal_to_one_way_at_a_time(name: str, batched: bool, n_inner_steps: int) -> None:
    mdp = batch_of_mdps() if batched else gl.random_mdp(S, A, concentration=0.5)
    task, phi = TASKS[name](mdp), normal(S, A, seed=1)
    call = (task, phi, n_inner_steps, 0.5, SAMPLED)
    found = permutations(*call, PARTS, n_trials=3, generator=trials(3))
    assert list(found) == list(PARTS)
    for parts, x in found.items():
        alone = one_by_one(*call, parts, 3)
        assert x.shape == ((3, 4, S, A) if batched else (3, S, A))
        assert not x.requires_grad
        assert close(x, alone, 1e-10), parts


@pytest.mark.parametrize(
    "estimator", [gl.AD(), gl.DiCE(), gl.LoadedDiCE(), gl.TayPO2()], ids=lambda e: type(e).__name__
)
def test_equal_for_every_estimator(estimator: object) -> None:
    oracle = gl.Sampled(estimator, 4, horizon=5, baseline=gl.Baseline(1.0, per="trajectory"), gae_lambda=0.9)
    call = (gl.MAML(batch_of_mdps()), normal(2, 1, S, A, seed=1), 2, 0.5, oracle)
    for parts, x in permutations(*call, n_trials=2, generator=trials(2)).items():
        assert close(x, one_by_one(*call, parts, 2), 1e-10), parts


def test_the_parts_differ() -> None:
    """The comparison above would see a mistake: no two ways to sample give the same numbers."""
    call = (gl.MAML(batch_of_mdps()), normal(S, A, seed=1), 2, 0.5, SAMPLED)
    found = list(permutations(*call, PARTS, n_trials=3, generator=trials(3)).values())
    assert all(differ(a, b) for i, a in enumerate(found) for b in found[:i])


def test_common_random_numbers_whatever_else_is_asked_for() -> None:
    call = (gl.MAML(batch_of_mdps()), normal(S, A, seed=1), 2, 0.5, SAMPLED)
    together = permutations(*call, n_trials=3, generator=trials(3))
    assert tuple(together) == SAMPLED_PARTS
    for parts in SAMPLED_PARTS:
        alone = permutations(*call, (parts,), n_trials=3, generator=trials(3))
        assert list(alone) == [parts]
        assert torch.equal(alone[parts], together[parts])
    backwards = permutations(*call, SAMPLED_PARTS[::-1], n_trials=3, generator=trials(3))
    assert list(backwards) == list(SAMPLED_PARTS[::-1])
    assert all(torch.equal(backwards[parts], together[parts]) for parts in SAMPLED_PARTS)


def test_a_trial_alone_is_the_trial_in_a_batch() -> None:
    call = (gl.MAML(batch_of_mdps()), normal(S, A, seed=1), 2, 0.5, SAMPLED)
    together = permutations(*call, n_trials=3, generator=trials(3))
    alone = permutations(*call, n_trials=1, generator=trials(3)[1:2])
    assert all(close(alone[parts][0], together[parts][1], 1e-12) for parts in SAMPLED_PARTS)


@pytest.mark.parametrize("parts", [("SEX",), ("SE",), ("see",), ("SEE", "SSSS"), (), ("",)])
def test_unknown_parts(parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"parts: got .*allowed is some of EEE, EES"):
        permutations(gl.MAML(batch_of_mdps()), normal(S, A), 1, 0.5, SAMPLED, parts, n_trials=1, generator=trials(1))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"n_inner_steps": -1}, "n_inner_steps: got -1"),
        ({"inner_lr": 0.0}, "inner_lr: got 0.0"),
        ({"inner_lr": float("nan")}, "inner_lr: got nan"),
        ({"phi": normal(S, A + 1)}, "phi: got "),
        ({"n_trials": 0}, "n_trials: got 0"),
        ({"generator": None}, "generator: got None"),
        ({"generator": trials(2)}, "generator: got "),
    ],
)
def test_bad_input_is_named_as_in_meta_gradient(wrong: dict[str, object], match: str) -> None:
    right = {"phi": normal(S, A), "n_inner_steps": 1, "inner_lr": 0.5, "n_trials": 3, "generator": trials(3)}
    with pytest.raises(ValueError, match=match):
        permutations(gl.MAML(batch_of_mdps()), oracle=SAMPLED, **{**right, **wrong})


def test_parameters_that_run_away_are_named() -> None:
    with pytest.raises(ValueError, match=r"theta after inner step k = 0 with inner_lr α = 1e\+308"):
        permutations(
            gl.MAML(batch_of_mdps()),
            normal(S, A),
            1,
            1e308,
            gl.Sampled(gl.LVC(), 4, horizon=5, baseline=gl.Baseline(1e3)),
            n_trials=1,
            generator=trials(1),
        )
