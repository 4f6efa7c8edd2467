"""Bad input is refused with a ValueError that names the argument, the value and what is allowed; edge cases work."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ESTIMATORS, double, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.oracles import Oracle
from gmrl_lab.tasks.base import TabularTask

NAN, INF = math.nan, math.inf
P = double([[[0.5, 0.5], [0.0, 1.0]], [[0.25, 0.75], [1.0, 0.0]]])
R = double([[1.0, 2.0], [3.0, 4.0]])
ZERO = torch.zeros_like(R)
MDP = gl.TabularMDP(P, R, 0.9)
THREE = MDP.replace(rewards=R.expand(3, 2, 2))
STATES, ACTIONS = torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long)
LOG_PROB = torch.zeros(2, 3, dtype=torch.float64)


@dataclass
class Bad:
    """A call, and what its message must say: which argument, which value, what is allowed."""

    call: Callable[[], object]
    argument: str
    value: str
    allowed: str


def put(table: Tensor, index: tuple[int, ...], value: float) -> Tensor:
    new = table.clone()
    new[index] = value
    return new


def stored(states: Tensor = STATES, actions: Tensor = ACTIONS, log_prob: Tensor = LOG_PROB) -> gl.Trajectories:
    return gl.Trajectories(states, actions, log_prob)


def off_policy(trajectories: gl.Trajectories, mdp: gl.TabularMDP = MDP, theta: Tensor = ZERO) -> Tensor:
    sampled = gl.Sampled(gl.LVC(), 2, 3, baseline=None, trajectories=trajectories)
    return sampled.surrogate(gl.Problem(mdp, theta))


def draw(**changes: Any) -> gl.Trajectories:
    settings: dict[str, Any] = {"mdp": MDP, "theta": ZERO, "n_trajectories": 2, "horizon": 3, "generator": seeded()}
    return gl.sample(**{**settings, **changes})


def meta(**changes: Any) -> Tensor:
    settings: dict[str, Any] = {"task": gl.MAML(MDP), "phi": ZERO}
    return gl.meta_gradient(**{**settings, **changes})


def expected(**changes: Any) -> Tensor:
    settings: dict[str, Any] = {"mdp": MDP, "theta": ZERO}
    return gl.LVC().expected_surrogate(**{**settings, **changes})


def steps(**changes: Any) -> gl.Steps:
    names = ("log_prob", "reward", "value", "next_value")
    return gl.Steps(**{**dict.fromkeys(names, LOG_PROB), "discount": 0.9, **changes})


@dataclass(frozen=True, eq=False)
class Breaking(TabularTask):
    """An inner update that becomes `bad` at θ = 1, which the first step of size 0.5 · 2 reaches."""

    bad: float = NAN

    def theta_0(self, phi: Tensor) -> Tensor:
        return phi

    def inner(self, phi: Tensor, theta: Tensor) -> gl.Problem:
        return gl.Problem(self.mdp, theta)

    outer = inner

    def inner_update(self, phi: Tensor, theta: Tensor, oracle: Oracle, generator: object = None) -> Tensor:
        return torch.where(theta.detach() < 1, 2.0 + 0 * theta, self.bad * theta)


SAMPLED = gl.Sampled(gl.LVC(), 2)
FINITE = "finite numbers"

MODEL = {
    "row sum": Bad(
        lambda: gl.TabularMDP(put(P, (0, 1, 1), 0.9), R, 0.9), "transitions", "0.9 at (0, 1)", "1 within 1e-09"
    ),
    "row sum, just outside": Bad(
        lambda: gl.TabularMDP(put(P, (0, 0, 0), 0.5 + 2e-9), R, 0.9), "transitions", "1.000000002", "1 within 1e-09"
    ),
    "row sum, float32": Bad(
        lambda: gl.TabularMDP(put(P, (0, 0, 0), 0.5 + 2e-5).float(), R.float(), 0.9),
        "transitions",
        "row sum of 1.00002",
        "1 within 1e-05",
    ),
    "negative probability": Bad(
        lambda: gl.TabularMDP(double([[[1.5, -0.5]], [[0.0, 1.0]]]), R[:, :1], 0.9),
        "transitions",
        "a probability of -0.5",
        "probabilities >= 0",
    ),
    "NaN probability": Bad(
        lambda: gl.TabularMDP(put(P, (0, 0, 0), NAN), R, 0.9), "transitions", "nan at index (0, 0, 0)", FINITE
    ),
    "transitions not square": Bad(
        lambda: gl.TabularMDP(P[:, :, :1], R, 0.9), "transitions", "shape (2, 2, 1)", "(..., S, A, S)"
    ),
    "transitions too flat": Bad(lambda: gl.TabularMDP(P[0], R, 0.9), "transitions", "shape (2, 2)", "(..., S, A, S)"),
    "no states": Bad(lambda: gl.TabularMDP(P[:0, :, :0], R[:0], 0.9), "transitions", "shape (0, 2, 0)", "S, A >= 1"),
    "integer transitions": Bad(
        lambda: gl.TabularMDP(torch.ones(1, 1, 1, dtype=torch.long), R[:1, :1], 0.9),
        "transitions",
        "torch.int64",
        "torch.float64 or torch.float32",
    ),
    "half precision": Bad(
        lambda: MDP.to(torch.float16), "transitions", "torch.float16", "torch.float64 or torch.float32"
    ),
    "NaN reward": Bad(
        lambda: gl.TabularMDP(P, put(R, (1, 0), NAN), 0.9), "rewards", "nan at index (1, 0) (1 entries", FINITE
    ),
    "infinite reward": Bad(
        lambda: gl.TabularMDP(P, put(R, (1, 0), -INF), 0.9), "rewards", "-inf at index (1, 0)", FINITE
    ),
    "opposite infinities": Bad(
        lambda: gl.TabularMDP(P, put(put(R, (0, 0), INF), (1, 1), -INF), 0.9),
        "rewards",
        "inf at index (0, 0) (2 entries",
        FINITE,
    ),
    "rewards shape": Bad(lambda: gl.TabularMDP(P, R[:1], 0.9), "rewards", "shape (1, 2)", "shape (..., 2, 2)"),
    "rewards dtype": Bad(lambda: gl.TabularMDP(P, R.float(), 0.9), "rewards", "torch.float32", "torch.float64"),
    "rewards device": Bad(lambda: gl.TabularMDP(P, R.to("meta"), 0.9), "rewards", "on meta", "on cpu, as transitions"),
    "rewards batch": Bad(
        lambda: gl.TabularMDP(P.expand(3, 2, 2, 2), R.expand(4, 2, 2), 0.9), "rewards", "(4,)", "broadcast with (3,)"
    ),
    "discount 1": Bad(lambda: gl.TabularMDP(P, R, 1.0), "discount", "1.0", "the interval [0, 1)"),
    "discount negative": Bad(lambda: gl.TabularMDP(P, R, -0.1), "discount", "-0.1", "the interval [0, 1)"),
    "discount NaN": Bad(lambda: gl.TabularMDP(P, R, NAN), "discount", "nan", "the interval [0, 1)"),
    "discount in a batch": Bad(
        lambda: gl.TabularMDP(P, R, double([0.5, 1.5])), "discount", "1.5", "the interval [0, 1)"
    ),
    "discount dtype": Bad(lambda: gl.TabularMDP(P, R, torch.tensor(0.5)), "discount", "torch.float32", "torch.float64"),
    "discount device": Bad(lambda: gl.TabularMDP(P, R, double(0.5).to("meta")), "discount", "on meta", "on cpu"),
    "discount batch": Bad(
        lambda: THREE.replace(discount=double([0.5, 0.5])), "discount", "(2,)", "broadcast with (3,)"
    ),
    "start state too large": Bad(lambda: gl.TabularMDP(P, R, 0.9, 2), "start_state", "2", "whole numbers from 0 to 1"),
    "start state negative": Bad(lambda: gl.TabularMDP(P, R, 0.9, -1), "start_state", "-1", "whole numbers from 0 to 1"),
    "start state in a batch": Bad(
        lambda: gl.TabularMDP(P, R, 0.9, torch.tensor([0, 5])), "start_state", "[0, 5]", "whole numbers from 0 to 1"
    ),
    "start distribution": Bad(
        lambda: gl.TabularMDP(P, R, 0.9, double([0.5, 0.6])),
        "start_state",
        "[0.5, 0.6]",
        "a distribution that sums to 1",
    ),
    "start distribution negative": Bad(
        lambda: gl.TabularMDP(P, R, 0.9, double([1.5, -0.5])), "start_state", "[1.5, -0.5]", "sums to 1"
    ),
    "start distribution NaN": Bad(
        lambda: gl.TabularMDP(P, R, 0.9, double([NAN, 1.0])), "start_state", "nan at index (0,)", FINITE
    ),
    "start distribution shape": Bad(
        lambda: gl.TabularMDP(P, R, 0.9, double([1.0])), "start_state", "shape (1,)", "(..., 2)"
    ),
    "start distribution dtype": Bad(
        lambda: gl.TabularMDP(P, R, 0.9, torch.tensor([0.5, 0.5])), "start_state", "torch.float32", "torch.float64"
    ),
    "start state device": Bad(
        lambda: gl.TabularMDP(P, R, 0.9, torch.tensor(0, device="meta")), "start_state", "meta", "cpu"
    ),
    "start state batch": Bad(lambda: THREE.replace(start_state=torch.tensor([0, 1])), "start_state", "(2,)", "(3,)"),
    "unknown field": Bad(
        lambda: MDP.replace(reward=R), "replace", "['reward']", "transitions, rewards, discount, start_state"
    ),
    "no random states": Bad(lambda: gl.random_mdp(0, 2), "n_states", "0", "a whole number >= 1"),
    "no random actions": Bad(lambda: gl.random_mdp(2, 0), "n_actions", "0", "a whole number >= 1"),
    "half a state": Bad(lambda: gl.random_mdp(2.5, 2), "n_states", "2.5", "a whole number >= 1"),  # type: ignore[arg-type]
    "concentration": Bad(lambda: gl.random_mdp(2, 2, concentration=0.0), "concentration", "0.0", "a finite number > 0"),
    "concentration NaN": Bad(
        lambda: gl.random_mdp(2, 2, concentration=NAN), "concentration", "nan", "a finite number > 0"
    ),
    "negative seed": Bad(lambda: gl.random_mdp(2, 2, seed=[1, -1]), "seed", "-1", "a whole number >= 0"),
    "no seeds": Bad(lambda: gl.random_mdp(2, 2, seed=[]), "seed", "[]", "a non-empty sequence"),
}

POLICY = {
    "NaN logits": Bad(lambda: gl.exact.value(MDP, put(ZERO, (0, 1), NAN)), "theta", "nan at index (0, 1)", FINITE),
    "infinite logits": Bad(lambda: draw(theta=put(ZERO, (0, 1), INF)), "theta", "inf at index (0, 1)", FINITE),
    "infinite logits, expected": Bad(
        lambda: expected(theta=put(ZERO, (0, 1), -INF)), "theta", "-inf at index (0, 1)", FINITE
    ),
    "infinite logits, enumerated": Bad(lambda: gl.enumerate_samples(MDP, ZERO / 0, 1), "theta", "nan at index", FINITE),
    "logits shape": Bad(lambda: gl.exact.hessian(MDP, ZERO[:, :1]), "theta", "shape (2, 1)", "shape (..., 2, 2)"),
    "logits flat": Bad(lambda: gl.exact.gradient(MDP, ZERO[0]), "theta", "shape (2,)", "shape (..., 2, 2)"),
    "logits dtype": Bad(
        lambda: gl.exact.objective(MDP, ZERO.float()), "theta", "torch.float32 on cpu", "torch.float64 on cpu"
    ),
    "logits device": Bad(lambda: gl.exact.occupancy(MDP, ZERO.to("meta")), "theta", "on meta", "on cpu, as the MDP"),
    "logits batch": Bad(
        lambda: gl.exact.value(THREE, ZERO.expand(2, 2, 2)), "theta", "(2,)", "broadcast with (3,) of the MDP"
    ),
    "logits batch, sampled": Bad(
        lambda: draw(mdp=THREE, theta=ZERO.expand(2, 2, 2)), "theta", "(2,)", "(3,) of the MDP"
    ),
    "exact horizon": Bad(lambda: gl.exact.value(MDP, ZERO, horizon=0), "horizon", "0", "a whole number >= 1"),
    "occupancy horizon": Bad(lambda: gl.exact.occupancy(MDP, ZERO, horizon=-1), "horizon", "-1", "a whole number >= 1"),
    "terminal shape": Bad(lambda: gl.exact.value(MDP, ZERO, 3, R[0, :1]), "terminal", "shape (1,)", "shape (..., 2)"),
    "terminal NaN": Bad(
        lambda: gl.exact.value(MDP, ZERO, 3, double([NAN, 0.0])), "terminal", "nan at index (0,)", FINITE
    ),
    "terminal dtype": Bad(
        lambda: gl.exact.value(MDP, ZERO, 3, ZERO[0].float()), "terminal", "torch.float32", "torch.float64"
    ),
    "initial theta": Bad(lambda: gl.LIRPG(MDP, ZERO[:1]), "initial_theta", "shape (1, 2)", "shape (..., 2, 2)"),
    "initial theta NaN": Bad(
        lambda: gl.LIRPG(MDP, ZERO / 0), "initial_theta", "nan at index (0, 0) (4 entries", FINITE
    ),
    "initial theta batch": Bad(lambda: gl.LIRPG(THREE, ZERO.expand(2, 2, 2)), "initial_theta", "(2,)", "(3,)"),
}

SAMPLING = {
    "n": Bad(lambda: draw(n_trajectories=0), "n_trajectories", "0", "a whole number >= 1"),
    "n fraction": Bad(lambda: draw(n_trajectories=2.0), "n_trajectories", "2.0", "a whole number >= 1"),
    "n true": Bad(lambda: draw(n_trajectories=True), "n_trajectories", "True", "a whole number >= 1"),
    "horizon": Bad(lambda: draw(horizon=0), "horizon", "0", "a whole number >= 1"),
    "memory budget": Bad(
        lambda: draw(memory_budget=100), "memory_budget", "100", "at least the 160 bytes of one trajectory"
    ),
    "generator None": Bad(lambda: draw(generator=None), "generator", "None", "a torch.Generator"),
    "generator seed": Bad(lambda: draw(generator=3), "generator", "3", "a torch.Generator"),
    "generators of seeds": Bad(
        lambda: draw(mdp=THREE, generator=[1, 2, 3]), "generator", "[1, 2, 3]", "a torch.Generator"
    ),
    "generators too few": Bad(
        lambda: draw(mdp=THREE, generator=gl.generators(0, 2)), "generator", "a list of 2", "a list of 3, one for each"
    ),
    "generators without a batch": Bad(
        lambda: draw(generator=gl.generators(0, 2)),
        "generator",
        "a list of 2",
        "a single generator, since there is no leading dimension",
    ),
    "no trials": Bad(lambda: gl.generators(0, 0), "n_trials", "0", "a whole number >= 1"),
    "generators seed": Bad(lambda: gl.generators(-1, 2), "seed", "-1", "a whole number >= 0"),
    "enumerated horizon": Bad(lambda: gl.enumerate_samples(MDP, ZERO, 0), "horizon", "0", "a whole number >= 1"),
    "enumerated n": Bad(lambda: gl.enumerate_samples(MDP, ZERO, 1, 0), "n_trajectories", "0", "a whole number >= 1"),
    "enumerated batch": Bad(
        lambda: gl.enumerate_samples(THREE, ZERO, 1), "mdp", "batch (3,)", "one MDP and logits (S, A)"
    ),
    "enumerated logits": Bad(
        lambda: gl.enumerate_samples(MDP, THREE.rewards, 1), "mdp", "theta (3, 2, 2)", "one MDP and logits"
    ),
    "too many trajectories": Bad(
        lambda: gl.enumerate_samples(MDP, ZERO, 12), "horizon", "12, more than", "at most 200000"
    ),
    "too many samples": Bad(
        lambda: gl.enumerate_samples(MDP, ZERO, 3, 10), "n_trajectories", "samples of", "at most 200000"
    ),
}

STORED = {
    "actions flat": Bad(lambda: stored(actions=ACTIONS[0]), "actions", "shape (3,)", "shape (..., n, T)"),
    "states too short": Bad(
        lambda: stored(states=STATES[:, :3]), "states", "shape (2, 3)", "shape (2, 4), to fit the actions"
    ),
    "log-probabilities": Bad(
        lambda: stored(log_prob=LOG_PROB[:1]), "behaviour_log_prob", "shape (1, 3)", "shape (2, 3)"
    ),
    "states dtype": Bad(lambda: stored(states=STATES.double()), "states", "torch.float64", "torch.int64"),
    "actions dtype": Bad(lambda: stored(actions=ACTIONS.int()), "actions", "torch.int32", "torch.int64"),
    "impossible action": Bad(
        lambda: stored(log_prob=put(LOG_PROB, (1, 2), -INF)), "behaviour_log_prob", "-inf at index (1, 2)", FINITE
    ),
    "NaN log-probability": Bad(
        lambda: stored(log_prob=put(LOG_PROB, (0, 0), NAN)), "behaviour_log_prob", "nan", FINITE
    ),
    "another n": Bad(
        lambda: gl.Sampled(gl.LVC(), 5, 3, trajectories=stored()),
        "trajectories",
        "n = 2, horizon = 3",
        "n_trajectories = 5, horizon = 3",
    ),
    "another horizon": Bad(
        lambda: gl.Sampled(gl.LVC(), 2, trajectories=stored()),
        "trajectories",
        "n = 2, horizon = 3",
        "n_trajectories = 2, horizon = 20",
    ),
    "state outside": Bad(
        lambda: off_policy(stored(states=STATES + 2)),
        "trajectories.states",
        "2",
        "whole numbers from 0 to 1, as the MDP",
    ),
    "last state outside": Bad(
        lambda: off_policy(stored(states=torch.nn.functional.pad(STATES[:, 1:], (0, 1), value=9))),
        "trajectories.states",
        "9",
        "whole numbers from 0 to 1",
    ),
    "negative state": Bad(lambda: off_policy(stored(states=STATES - 1)), "trajectories.states", "-1", "from 0 to 1"),
    "action outside": Bad(
        lambda: off_policy(stored(actions=ACTIONS + 2)),
        "trajectories.actions",
        "2",
        "whole numbers from 0 to 1, as the MDP",
    ),
    "stored dtype": Bad(
        lambda: off_policy(stored(log_prob=LOG_PROB.float())),
        "trajectories.behaviour_log_prob",
        "torch.float32",
        "torch.float64",
    ),
    "stored batch": Bad(
        lambda: off_policy(stored(STATES.expand(2, 2, 4), ACTIONS.expand(2, 2, 3), LOG_PROB.expand(2, 2, 3)), THREE),
        "trajectories",
        "(2,)",
        "broadcast with (3,) of the MDP and its policy",
    ),
    "steps shape": Bad(lambda: steps(reward=LOG_PROB[:, :1]), "reward", "shape (2, 1)", "(..., n, T) = (..., (2, 3))"),
    "steps with an impossible action": Bad(
        lambda: steps(behaviour_log_prob=LOG_PROB - INF),
        "behaviour_log_prob",
        "-inf at index (0, 0) (6 entries",
        FINITE,
    ),
    "steps GAE": Bad(lambda: steps(gae_lambda=1.01), "gae_lambda", "1.01", "the interval [0, 1]"),
}

ORACLES = {
    "trace": Bad(lambda: gl.LoadedDiCE(1.5), "lambda_", "1.5", "the interval [0, 1]"),
    "trace negative": Bad(lambda: gl.LoadedDiCE(-0.1), "lambda_", "-0.1", "the interval [0, 1]"),
    "trace NaN": Bad(lambda: gl.LoadedDiCE(NAN), "lambda_", "nan", "the interval [0, 1]"),
    "sampled n": Bad(lambda: gl.Sampled(gl.LVC(), 0), "n_trajectories", "0", "a whole number >= 1"),
    "sampled horizon": Bad(lambda: gl.Sampled(gl.LVC(), 1, 0), "horizon", "0", "a whole number >= 1"),
    "sampled GAE": Bad(lambda: gl.Sampled(gl.LVC(), 1, gae_lambda=2.0), "gae_lambda", "2.0", "the interval [0, 1]"),
    "clip": Bad(lambda: gl.Sampled(gl.LVC(), 1, clip=0.0), "clip", "0.0", "a finite number > 0"),
    "expected horizon": Bad(lambda: gl.Expected(gl.LVC(), 0), "horizon", "0", "a whole number >= 1"),
    "expected GAE": Bad(lambda: gl.Expected(gl.LVC(), gae_lambda=-0.5), "gae_lambda", "-0.5", "the interval [0, 1]"),
    "not expected": Bad(
        lambda: gl.Expected(object()),
        "estimator",
        "<object object",
        "an estimator with a method expected_surrogate",  # type: ignore[arg-type]
    ),
    "oracle horizon": Bad(lambda: gl.Exact(0), "horizon", "0", "a whole number >= 1"),
    "noise": Bad(lambda: gl.Baseline(-0.5), "noise", "-0.5", "a finite number >= 0"),
    "noise infinite": Bad(lambda: gl.Baseline(INF), "noise", "inf", "a finite number >= 0"),
    "noise NaN": Bad(lambda: gl.Baseline(NAN), "noise", "nan", "a finite number >= 0"),
    "per": Bad(lambda: gl.Baseline(per="step"), "per", "'step'", "one of 'call', 'trajectory'"),
    "noise seed": Bad(lambda: gl.Baseline(seed=-1), "seed", "-1", "a whole number >= 0"),
    "curvature": Bad(lambda: gl.Perturbed(gl.Exact(), NAN), "curvature", "nan", FINITE),
    "curvature shape": Bad(
        lambda: meta(hessian=gl.Perturbed(gl.Exact(), R[0])), "curvature", "shape (2,)", "shape (..., 2, 2)"
    ),
    "curvature dtype": Bad(
        lambda: meta(hessian=gl.Perturbed(gl.Exact(), R.float())), "curvature", "torch.float32", "torch.float64"
    ),
    "uncovered": Bad(
        lambda: expected(behaviour=double([[0.5, 0.5], [0.0, 1.0]])),
        "behaviour",
        "0 at (1, 0), where the target policy is not 0",
        "a policy that covers the target",
    ),
    "behaviour rows": Bad(lambda: expected(behaviour=ZERO + 0.4), "behaviour", "a row sum of 0.8", "1 within 1e-09"),
    "behaviour logits": Bad(lambda: expected(behaviour=-R), "behaviour", "-1.0", "the interval [0, 1]"),
    "behaviour shape": Bad(lambda: expected(behaviour=R[0]), "behaviour", "shape (2,)", "shape (..., 2, 2)"),
    "behaviour NaN": Bad(lambda: expected(behaviour=ZERO / 0), "behaviour", "nan at index (0, 0)", FINITE),
    "behaviour batch": Bad(
        lambda: expected(mdp=THREE, behaviour=(ZERO + 0.5).expand(2, 2, 2)), "behaviour", "(2,)", "broadcast with (3,)"
    ),
    "baseline shape": Bad(lambda: expected(baseline=R[0, :1]), "baseline", "shape (1,)", "shape (..., 2)"),
    "baseline dtype": Bad(lambda: expected(baseline=R[0].float()), "baseline", "torch.float32", "torch.float64"),
    "expected surrogate's horizon": Bad(lambda: expected(horizon=0), "horizon", "0", "a whole number >= 1"),
    "expected surrogate's GAE": Bad(lambda: expected(gae_lambda=1.1), "gae_lambda", "1.1", "the interval [0, 1]"),
    "noise without a generator": Bad(
        lambda: gl.Baseline().values(gl.Problem(MDP, ZERO), None),
        "generator",
        "None",
        "Baseline noise draws random numbers",
    ),
    "sampled without a generator": Bad(
        lambda: SAMPLED.surrogate(gl.Problem(MDP, ZERO)), "generator", "None", "Sampled draws random numbers"
    ),
    "expected noise without a generator": Bad(
        lambda: gl.Expected(gl.LVC()).surrogate(gl.Problem(MDP, ZERO)),
        "generator",
        "None",
        "Expected with value noise draws",
    ),
}

META = {
    "K": Bad(lambda: meta(n_inner_steps=-1), "n_inner_steps", "-1", "a whole number >= 0"),
    "alpha zero": Bad(lambda: meta(inner_lr=0.0), "inner_lr", "0.0", "a finite number > 0"),
    "alpha negative": Bad(lambda: meta(inner_lr=-1.0), "inner_lr", "-1.0", "a finite number > 0"),
    "alpha NaN": Bad(lambda: meta(inner_lr=NAN), "inner_lr", "nan", "a finite number > 0"),
    "trials": Bad(lambda: meta(n_trials=0), "n_trials", "0", "a whole number >= 1"),
    "phi shape": Bad(lambda: meta(phi=ZERO[0]), "phi", "shape (2,)", "shape (..., 2, 2)"),
    "phi NaN": Bad(lambda: meta(phi=put(ZERO, (1, 1), NAN)), "phi", "nan at index (1, 1)", FINITE),
    "phi infinite": Bad(lambda: meta(phi=put(ZERO, (1, 1), INF)), "phi", "inf at index (1, 1)", FINITE),
    "phi dtype": Bad(lambda: meta(phi=ZERO.float()), "phi", "torch.float32 on cpu", "torch.float64 on cpu"),
    "phi device": Bad(lambda: meta(phi=ZERO.to("meta")), "phi", "on meta", "on cpu"),
    "phi batch": Bad(lambda: meta(task=gl.MAML(THREE), phi=ZERO.expand(2, 2, 2)), "phi", "(2,)", "(3,) of the task"),
    "no generator": Bad(lambda: meta(outer=SAMPLED), "generator", "None", "for the random outer"),
    "a seed as generator": Bad(lambda: meta(outer=SAMPLED, generator=0), "generator", "0", "a torch.Generator"),
    "generators for other trials": Bad(
        lambda: meta(outer=SAMPLED, n_trials=3, generator=gl.generators(0, 2)),
        "generator",
        "a list of 2",
        "a list of 3",
    ),
    "generators without trials": Bad(
        lambda: meta(outer=SAMPLED, generator=gl.generators(0, 2)), "generator", "a list of 2", "a single generator"
    ),
    "shared samples": Bad(
        lambda: meta(inner=SAMPLED, hessian=replace(SAMPLED, n_trajectories=3), generator=seeded(), share_samples=True),
        "share_samples",
        "(n, horizon) = [(2, 20), (3, 20)]",
        "equal sizes for inner and hessian",
    ),
    "overflow in the loop": Bad(
        lambda: meta(task=gl.MAML(MDP.replace(rewards=1e300 * R)), inner_lr=1e10, n_inner_steps=2),
        "theta after inner step k = 0 with inner_lr α = 1e+10",
        "at index (0, 0) (4 entries not finite)",
        FINITE,
    ),
    "overflow in the loop, one trial of many": Bad(
        lambda: meta(
            task=gl.MAML(MDP.replace(rewards=torch.stack([R, 1e300 * R]))), inner_lr=1e10, n_trials=2, n_inner_steps=2
        ),
        "theta after inner step k = 0 with inner_lr α = 1e+10",
        "index (0, 1, 0, 0)",
        FINITE,
    ),
    "NaN in the second step": Bad(
        lambda: meta(task=Breaking(MDP), inner_lr=0.5, n_inner_steps=3),
        "theta after inner step k = 1 with inner_lr α = 0.5",
        "nan at index (0, 0) (4 entries",
        FINITE,
    ),
    "infinity in the product": Bad(
        lambda: gl.meta_gradient_by_product(Breaking(MDP, INF), ZERO, inner_lr=0.5, n_inner_steps=3),
        "theta after inner step k = 1 with inner_lr α = 0.5",
        "inf at index (0, 0)",
        FINITE,
    ),
    "rewards that overflow with phi": Bad(
        lambda: meta(task=gl.LIRPG(MDP.replace(rewards=R * 4e307), ZERO), phi=ZERO + 1e308),
        "rewards",
        "inf at index",
        FINITE,
    ),
    "product's K": Bad(
        lambda: gl.meta_gradient_by_product(gl.MAML(MDP), ZERO, -1), "n_inner_steps", "-1", "whole number >= 0"
    ),
    "product's alpha": Bad(lambda: gl.meta_gradient_by_product(gl.MAML(MDP), ZERO, 1, 0.0), "inner_lr", "0.0", "> 0"),
    "product's phi": Bad(
        lambda: gl.meta_gradient_by_product(gl.MAML(MDP), ZERO / 0), "phi", "nan at index (0, 0)", FINITE
    ),
}

METRICS = {
    "kind": Bad(lambda: gl.accuracy(R, R, kind="spearman"), "kind", "'spearman'", "one of 'pearson', 'cosine'"),
    "accuracy's size": Bad(lambda: gl.accuracy(R, R[0, :1], event_dims=1), "exact", "shape (1,)", "shape (..., 2)"),
    "transposed": Bad(lambda: gl.bias(torch.zeros(4, 3, 2), torch.zeros(2, 3)), "exact", "shape (2, 3)", "(..., 3, 2)"),
    "accuracy's batch": Bad(
        lambda: gl.accuracy(R.expand(3, 2, 2), R.expand(2, 2, 2), event_dims=2), "exact", "(2,)", "broadcast with (3,)"
    ),
    "accuracy's dtype": Bad(lambda: gl.accuracy(R, R.float()), "exact", "torch.float32", "torch.float64"),
    "accuracy NaN": Bad(lambda: gl.accuracy(R / 0 * 0, R), "estimate", "nan at index (0, 0)", FINITE),
    "one trial, bias": Bad(lambda: gl.bias(R[:1], R[0]), "estimates", "1 trials", "at least two trials"),
    "one trial, trace": Bad(lambda: gl.covariance_trace(R[:1]), "estimates", "1 trials", "at least two trials"),
    "one trial, deviations": Bad(lambda: gl.sum_of_std(R[:1]), "estimates", "1 trials", "at least two trials"),
    "one trial, split": Bad(lambda: gl.mse_split(R[:1], R[0]), "estimates", "1 trials", "at least two trials"),
    "no trials": Bad(lambda: gl.bias(double(1.0), double(1.0)), "estimates", "0 trials", "at least two trials"),
    "trials in the vector": Bad(lambda: gl.bias(R, R[0], event_dims=2), "event_dims", "2", "at most 1"),
    "negative dimensions": Bad(lambda: gl.covariance_trace(R, event_dims=-1), "event_dims", "-1", "from 0 to 2"),
    "trials in the truth": Bad(
        lambda: gl.bias(torch.zeros(5, 3, 2), torch.zeros(5, 3, 2)), "exact", "shape (5, 3, 2)", "shape (3, 2), as the"
    ),
    "infinite estimate": Bad(lambda: gl.bias(put(R, (1, 0), INF), R[0]), "estimates", "inf at index (1, 0)", FINITE),
    "infinite truth": Bad(lambda: gl.mse_split(R, R[0] * INF), "exact", "inf at index (0,)", FINITE),
}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name) for group in (MODEL, POLICY, SAMPLING, STORED, ORACLES, META, METRICS)
     for name, case in group.items()],
)  # fmt: skip
def test_message_names_argument_value_and_what_is_allowed(case: Bad) -> None:
    with pytest.raises(ValueError) as caught:
        case.call()
    message = str(caught.value)
    argument, found, rest = message.partition(": got ")
    value, separator, allowed = rest.partition(", allowed is ")
    assert found, message
    assert separator, message
    assert argument == case.argument
    assert case.value in value
    assert case.allowed in allowed


def test_a_generator_on_another_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(torch.Generator):
        device = torch.device("meta")

    with pytest.raises(ValueError, match=r"generator: got one on meta, allowed is one on cpu, as the MDP"):
        draw(generator=Elsewhere())
    with pytest.raises(ValueError, match=r"generator: got one on meta, allowed is one on cpu, as the MDP"):
        meta(outer=SAMPLED, n_trials=2, generator=[seeded(), Elsewhere()])


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if e != gl.AD()])
def test_every_estimator_with_ratios_needs_a_covering_behaviour(estimator: gl.LVC) -> None:
    """Zero where the target is not; AD has no ratios and does not mind, nor does anyone where both are zero."""
    uncovered = double([[0.5, 0.5], [0.0, 1.0]])
    with pytest.raises(ValueError, match="covers the target"):
        estimator.expected_surrogate(MDP, ZERO, behaviour=uncovered)
    gl.AD().expected_surrogate(MDP, ZERO, behaviour=uncovered)
    both_zero = double([[0.0, 0.0], [-1e4, 0.0]])
    assert torch.isfinite(estimator.expected_surrogate(MDP, both_zero, behaviour=uncovered))


# --- what lies just inside ----------------------------------------------------------------------------------------


def test_row_sums_just_inside_pass() -> None:
    gl.TabularMDP(put(P, (0, 0, 0), 0.5 + 0.5e-9), R, 0.9)
    gl.TabularMDP(put(P, (0, 0, 0), 0.5 + 0.5e-5).float(), R.float(), 0.9)
    gl.TabularMDP(P, R, 0.9, double([0.5, 0.5 + 0.5e-9]))


def test_large_finite_numbers_are_no_infinities() -> None:
    """Their sum overflows, they do not."""
    assert gl.TabularMDP(P, torch.full_like(R, 1e308), 0.0).rewards.max() == 1e308


def test_numpy_integers_are_whole_numbers() -> None:
    assert draw(n_trajectories=np.int64(3), horizon=np.int32(2)).actions.shape == (3, 2)
    assert gl.Sampled(gl.LVC(), np.int64(4)).n_trajectories == 4
    assert meta(n_inner_steps=np.int64(2), n_trials=np.int64(2)).shape == (2, 2, 2)
    assert gl.random_mdp(np.int64(3), 2, seed=np.int64(1)).n_states == 3


def test_least_memory_budget_passes() -> None:
    assert draw(memory_budget=160).n_trajectories == 2


# --- edge cases that work -----------------------------------------------------------------------------------------

EDGES: dict[str, tuple[gl.TabularMDP, Tensor]] = {
    "absorbing": (MDP.replace(transitions=put(put(P, (1, 0, 0), 0.0), (1, 0, 1), 1.0)), ZERO),
    "one action": (gl.random_mdp(3, 1, concentration=1.0), torch.zeros(3, 1, dtype=torch.float64)),
    "one state": (gl.random_mdp(1, 3), torch.zeros(1, 3, dtype=torch.float64)),
    "one of each": (gl.random_mdp(1, 1), torch.zeros(1, 1, dtype=torch.float64)),
    "deterministic": (MDP, double([[50.0, -50.0], [-50.0, 50.0]])),
    "no future": (MDP.replace(discount=0.0), ZERO),
    "batch": (gl.random_mdp(3, 2, seed=[0, 1, 2, 3]), torch.zeros(3, 2, dtype=torch.float64)),
    "float32": (gl.random_mdp(3, 2, dtype=torch.float32), torch.zeros(3, 2)),
    "float32 batch, deterministic": (
        gl.random_mdp(3, 2, seed=[0, 1], dtype=torch.float32), torch.tensor([50.0, -50.0]).expand(3, 2)
    ),
}  # fmt: skip


def fine(x: Tensor, mdp: gl.TabularMDP, *shape: int) -> bool:
    """Finite, of the MDP's dtype and of the right shape."""
    return x.shape == (*mdp.batch_shape, *shape) and x.dtype == mdp.dtype and bool(torch.isfinite(x).all())


@pytest.mark.parametrize(("mdp", "theta"), EDGES.values(), ids=EDGES)
def test_exact_edges(mdp: gl.TabularMDP, theta: Tensor) -> None:
    s, a = mdp.n_states, mdp.n_actions
    for horizon in (None, 1, 4):
        assert fine(gl.exact.value(mdp, theta, horizon), mdp, s)
        assert fine(gl.exact.action_value(mdp, theta, horizon), mdp, s, a)
        assert fine(gl.exact.occupancy(mdp, theta, horizon), mdp, s)
        assert fine(gl.exact.gradient(mdp, theta, horizon), mdp, s, a)
        assert fine(gl.exact.hessian(mdp, theta, horizon), mdp, s * a, s * a)


@pytest.mark.parametrize(("mdp", "theta"), EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_meta_gradient_edges(estimator: gl.LVC, mdp: gl.TabularMDP, theta: Tensor) -> None:
    """n = 1, T = 1, and more; K = 0, 1, 2; MAML and LIRPG; sampled and expected."""
    s, a = mdp.n_states, mdp.n_actions
    for n, horizon, k in ((1, 1, 1), (3, 4, 2), (2, 3, 0)):
        sampled, mean = gl.Sampled(estimator, n, horizon), gl.Expected(estimator, horizon)
        for task, phi in ((gl.MAML(mdp), theta), (gl.LIRPG(mdp, theta), torch.zeros_like(mdp.rewards))):
            found = gl.meta_gradient(task, phi, k, 1.0, sampled, mean, sampled, generator=seeded())
            assert fine(found, mdp, s, a)
            if k == 0 and isinstance(task, gl.LIRPG):
                assert (found == 0).all()


def test_no_inner_step_leaves_the_policy_gradient() -> None:
    wanted = gl.exact.gradient(MDP, R)
    assert torch.allclose(meta(phi=R, n_inner_steps=0), wanted, rtol=1e-12)
    assert torch.allclose(gl.meta_gradient_by_product(gl.MAML(MDP), R, 0), wanted, rtol=1e-12)  # type: ignore[arg-type]


def test_one_action_leaves_nothing_to_learn() -> None:
    mdp, theta = EDGES["one action"]
    assert gl.exact.gradient(mdp, theta).abs().max() < 1e-14
    assert gl.meta_gradient(gl.MAML(mdp), theta, 2).abs().max() < 1e-14


def test_no_future_sees_the_next_reward_alone() -> None:
    mdp, theta = EDGES["no future"]
    assert gl.exact.value(mdp, theta).equal(R.mean(-1))
    assert gl.exact.action_value(mdp, theta).equal(R)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": gl.random_mdp(2, 2)}, "task: got TabularMDP.*a task, such as gl.MAML"),
        ({"phi": [[0.0, 0.0]]}, "phi: got list, allowed is a torch.Tensor"),
        ({"inner": "S"}, "inner: got 'S', allowed is an oracle"),
    ],
)
def test_another_kind_of_thing(changes: dict[str, object], message: str) -> None:
    call = {"task": gl.MAML(gl.random_mdp(2, 2)), "phi": torch.zeros(2, 2, dtype=torch.float64)}
    with pytest.raises(ValueError, match=message):
        gl.meta_gradient(**{**call, **changes})


def test_a_list_follows_the_tensors_dtype() -> None:
    P = torch.full((2, 2, 2), 0.5, dtype=torch.float32)
    assert gl.TabularMDP(P, [[0, 1], [1, 0]], 0.5).rewards.dtype == torch.float32
