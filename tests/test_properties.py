"""What holds for every MDP and every policy: random sizes, logits and discounts."""

import pytest
import torch
from helpers import ESTIMATORS, WITH_BASELINE, close, derivatives, normal, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gmrl_lab as gl

house = settings(derandomize=True, deadline=None, max_examples=15, database=None)


@st.composite
def problems(draw: st.DrawFn, batch: bool = False) -> tuple[gl.TabularMDP, Tensor]:
    """An MDP with a start distribution, nearly deterministic to nearly uniform, and a policy, flat to greedy."""
    n_states, n_actions = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 10_000))
    mdp = gl.random_mdp(
        n_states,
        n_actions,
        discount=draw(st.sampled_from([0.0, 0.3, 0.8, 0.95])),
        concentration=draw(st.sampled_from([0.001, 0.3, 5.0])),
        seed=range(seed, seed + 3) if batch else seed,
    )
    shape = (3,) if batch else ()
    start = (3 * normal(*shape, n_states, seed=seed + 1)).softmax(-1)
    scale = draw(st.sampled_from([0.0, 1.0, 5.0]))
    rewards = mdp.rewards - draw(st.sampled_from([0.0, 0.5, 1.0]))
    return mdp.replace(start_state=start, rewards=rewards), scale * normal(*shape, n_states, n_actions, seed=seed)


HORIZONS = st.sampled_from([None, 1, 2, 7])


@house
@given(problems(), HORIZONS)
def test_values_solve_the_bellman_equation(problem: tuple[gl.TabularMDP, Tensor], horizon: int | None) -> None:
    mdp, theta = problem
    policy = theta.softmax(-1)
    q = gl.exact.action_value(mdp, theta, horizon)
    v = gl.exact.value(mdp, theta, horizon)
    assert torch.allclose((policy * q).sum(-1), v, atol=1e-10)
    if horizon is None:
        after = v
    else:
        after = gl.exact.value(mdp, theta, horizon - 1) if horizon > 1 else torch.zeros_like(v)
    assert torch.allclose(q, mdp.rewards + mdp.discount * mdp.transitions @ after, atol=1e-10)


@house
@given(problems(), HORIZONS)
def test_objectives_are_bounded(problem: tuple[gl.TabularMDP, Tensor], horizon: int | None) -> None:
    mdp, theta = problem
    gamma = mdp.discount.item()
    steps = 1 / (1 - gamma) if horizon is None else sum(gamma**t for t in range(horizon))
    low, high = mdp.rewards.min().item() * steps, mdp.rewards.max().item() * steps
    assert low - 1e-9 <= gl.exact.objective(mdp, theta, horizon).item() <= high + 1e-9


@house
@given(problems(), HORIZONS)
def test_occupancies_sum_to_the_discounted_time(problem: tuple[gl.TabularMDP, Tensor], horizon: int | None) -> None:
    mdp, theta = problem
    gamma = mdp.discount.item()
    found = gl.exact.occupancy(mdp, theta, horizon)
    assert found.min() >= -1e-12
    assert found.sum().item() == pytest.approx((1 - (gamma**horizon if horizon else 0)) / (1 - gamma), rel=1e-10)
    paid = (found * (theta.softmax(-1) * mdp.rewards).sum(-1)).sum()
    assert paid.item() == pytest.approx(gl.exact.objective(mdp, theta, horizon).item(), abs=1e-10)


@house
@given(problems(), HORIZONS)
def test_gradients_sum_to_zero_at_each_state(problem: tuple[gl.TabularMDP, Tensor], horizon: int | None) -> None:
    mdp, theta = problem
    gradient, hessian = gl.exact.gradient(mdp, theta, horizon), gl.exact.hessian(mdp, theta, horizon)
    assert gradient.sum(-1).abs().max() < 1e-10
    assert hessian.view(-1, mdp.n_states, mdp.n_actions).sum(-1).abs().max() < 1e-9
    assert (hessian - hessian.T).abs().max() < 1e-10


@house
@given(problems(), HORIZONS)
def test_closed_forms_are_the_derivatives(problem: tuple[gl.TabularMDP, Tensor], horizon: int | None) -> None:
    mdp, theta = problem
    _, gradient, hessian = derivatives(lambda x: gl.exact.objective(mdp, x, horizon), theta)
    assert torch.allclose(gl.exact.gradient(mdp, theta, horizon).flatten(), gradient, atol=1e-10)
    assert torch.allclose(gl.exact.hessian(mdp, theta, horizon), hessian, atol=1e-9)


@house
@given(problems(), st.floats(-30, 30))
def test_a_constant_added_to_a_state_changes_nothing(problem: tuple[gl.TabularMDP, Tensor], shift: float) -> None:
    mdp, theta = problem
    moved = theta + shift * normal(mdp.n_states, 1, seed=5)
    for f in (gl.exact.value, gl.exact.occupancy, gl.exact.gradient, gl.exact.hessian):
        assert torch.allclose(f(mdp, moved), f(mdp, theta), atol=1e-9)
    seen = [gl.sample(mdp, x, 20, 5, generator=seeded()) for x in (theta, moved)]
    assert (seen[0].actions == seen[1].actions).double().mean() > 0.95  # rounding may move a draw at an edge


@house
@given(problems(), st.sampled_from([0.1, 3.0, -2.0]), st.sampled_from([-1.0, 10.0]))
def test_rewards_scale_and_shift(problem: tuple[gl.TabularMDP, Tensor], scale: float, shift: float) -> None:
    mdp, theta = problem
    other = mdp.replace(rewards=scale * mdp.rewards + shift)
    value = scale * gl.exact.value(mdp, theta) + shift / (1 - mdp.discount)
    assert torch.allclose(gl.exact.value(other, theta), value, atol=1e-9)
    for f in (gl.exact.gradient, gl.exact.hessian):
        assert torch.allclose(f(other, theta), scale * f(mdp, theta), atol=1e-8)


@house
@given(problems(), st.integers(0, 1000))
def test_names_of_states_and_actions_do_not_matter(problem: tuple[gl.TabularMDP, Tensor], seed: int) -> None:
    mdp, theta = problem
    s = torch.randperm(mdp.n_states, generator=seeded(seed))
    a = torch.randperm(mdp.n_actions, generator=seeded(seed + 1))

    def renamed(table: Tensor) -> Tensor:
        return table[s][:, a]

    other = gl.TabularMDP(
        renamed(mdp.transitions)[..., s], renamed(mdp.rewards), mdp.discount, mdp.start_distribution[s]
    )
    moved = renamed(theta)
    assert torch.allclose(gl.exact.value(other, moved), gl.exact.value(mdp, theta)[s], atol=1e-10)
    assert torch.allclose(gl.exact.gradient(other, moved), renamed(gl.exact.gradient(mdp, theta)), atol=1e-10)
    found, wanted = (gl.meta_gradient(gl.MAML(m), x, 2, 1.0) for m, x in ((other, moved), (mdp, theta)))
    assert torch.allclose(found, renamed(wanted), atol=1e-9)
    for estimator in ESTIMATORS:
        found, wanted = (estimator.expected_surrogate(m, x, horizon=3) for m, x in ((other, moved), (mdp, theta)))
        assert torch.allclose(found, wanted, atol=1e-10)


@house
@given(problems(), st.integers(0, 4), st.sampled_from([0.1, 1.0, 10.0]))
def test_product_and_differentiation_agree(problem: tuple[gl.TabularMDP, Tensor], k: int, alpha: float) -> None:
    """Proposition 3.1 to 1e-10, relative to the largest entry, which long steps can make large."""
    mdp, theta = problem
    phi = 0.3 * normal(mdp.n_states, mdp.n_actions, seed=8)
    for task, start in ((gl.MAML(mdp), theta), (gl.LIRPG(mdp, theta), phi)):
        by_autodiff = gl.meta_gradient(task, start, k, alpha)
        by_product = gl.meta_gradient_by_product(task, start, k, alpha)
        assert isinstance(by_product, Tensor)
        assert (by_autodiff - by_product).abs().max() <= 1e-10 * max(1.0, by_autodiff.abs().max().item())


@settings(house, max_examples=8)
@given(problems(batch=True))
def test_a_batch_equals_each_alone(problem: tuple[gl.TabularMDP, Tensor]) -> None:
    mdp, theta = problem
    for horizon in (None, 3):
        together = [
            f(mdp, theta, horizon) for f in (gl.exact.value, gl.exact.occupancy, gl.exact.gradient, gl.exact.hessian)
        ]
        for i in range(3):
            one = gl.TabularMDP(mdp.transitions[i], mdp.rewards[i], mdp.discount, mdp.start_state[i])
            alone = [
                f(one, theta[i], horizon)
                for f in (gl.exact.value, gl.exact.occupancy, gl.exact.gradient, gl.exact.hessian)
            ]
            assert all(torch.allclose(a[i], b, atol=1e-10) for a, b in zip(together, alone, strict=True))
    sampled = gl.Sampled(gl.LoadedDiCE(), 3, 4)
    roles = {"inner": sampled, "hessian": gl.Expected(gl.LVC(), 4, baseline=None), "outer": sampled}
    together_meta = gl.meta_gradient(gl.MAML(mdp), theta, 2, 1.0, **roles, generator=gl.generators(0, 3))
    for i, generator in enumerate(gl.generators(0, 3)):
        one = gl.TabularMDP(mdp.transitions[i], mdp.rewards[i], mdp.discount, mdp.start_state[i])
        alone_meta = gl.meta_gradient(gl.MAML(one), theta[i], 2, 1.0, **roles, generator=generator)
        assert torch.allclose(together_meta[i], alone_meta, atol=1e-9)


ONE = gl.random_mdp(3, 2, discount=0.5, concentration=0.5)
PARTIAL = {
    "transitions": gl.random_mdp(3, 2, concentration=0.5, seed=[1, 2, 3]).transitions,
    "rewards": normal(3, 3, 2, seed=1),
    "discount": torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64),
    "start_state": torch.tensor([0, 2, 1]),
}


@pytest.mark.parametrize("field", PARTIAL)
@pytest.mark.parametrize("shape", [(), (3,), (4, 1), (4, 3)])
@pytest.mark.parametrize("horizon", [None, 1, 3])
def test_one_batched_field_makes_the_whole_a_batch(field: str, shape: tuple[int, ...], horizon: int | None) -> None:
    """Each result has all leading dimensions, whichever argument brought them, and equals each alone."""
    mdp, theta = ONE.replace(**{field: PARTIAL[field]}), normal(*shape, 3, 2)
    batch = torch.broadcast_shapes((3,), shape)
    functions = [
        lambda m, x: gl.exact.value(m, x, horizon),
        lambda m, x: gl.exact.action_value(m, x, horizon),
        lambda m, x: gl.exact.occupancy(m, x, horizon),
        lambda m, x: gl.exact.objective(m, x, horizon),
        lambda m, x: gl.exact.gradient(m, x, horizon),
        lambda m, x: gl.exact.hessian(m, x, horizon),
        *(lambda m, x, e=e: e.expected_surrogate(m, x, None, None, horizon or 2) for e in ESTIMATORS),
        lambda m, x: gl.meta_gradient(gl.MAML(m), x, 2, 1.0),
        lambda m, x: gl.meta_gradient(gl.LIRPG(m, x), torch.zeros_like(x), 2, 1.0),
    ]
    for f in functions:
        together = f(mdp, theta)
        assert together.shape[: len(batch)] == batch
        spread = theta.expand(*batch, 3, 2)
        for index in [(0,) * len(batch), tuple(n - 1 for n in batch)]:
            alone = f(ONE.replace(**{field: PARTIAL[field][index[-1]]}), spread[index])
            assert torch.allclose(together[index], alone, atol=1e-11)


def test_tasks_pose_the_problems_of_their_algorithms() -> None:
    """MAML: θ⁰ = φ, one MDP. LIRPG: rewards R + φ within, R outside, θ⁰ free of φ."""
    phi, theta = normal(3, 2, seed=1), normal(3, 2, seed=2)
    maml, lirpg = gl.MAML(ONE), gl.LIRPG(ONE, theta)
    assert maml.theta_0(phi) is phi
    assert lirpg.theta_0(phi).equal(theta)
    for task, rewards in ((maml, ONE.rewards), (lirpg, ONE.rewards + phi)):
        inner, outer = task.inner(phi, theta), task.outer(phi, theta)
        assert inner.mdp.rewards.equal(rewards)
        assert outer.mdp.rewards.equal(ONE.rewards)
        for problem in (inner, outer):
            assert problem.logits is theta
            assert problem.mdp.transitions is ONE.transitions


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("horizon", [1, 4])
def test_behaviour_and_baseline_broadcast(estimator: gl.LVC, horizon: int) -> None:
    """Four policies, behaviours or baselines, as many as there are steps, against one of the others."""
    thetas, behaviours, baselines = normal(4, 3, 2), normal(4, 3, 2, seed=1).softmax(-1), normal(4, 3, seed=2)
    for i in (0, 3):
        one = (thetas[i], behaviours[i], baselines[i])
        alone = estimator.expected_surrogate(ONE, *one, horizon, 0.7)
        for place, many in enumerate((thetas, behaviours, baselines)):
            mixed = [*one[:place], many, *one[place + 1 :]]
            together = estimator.expected_surrogate(ONE, *mixed, horizon, 0.7)
            assert together.shape == (4,)
            assert torch.allclose(together[i], alone, atol=1e-12)


@house
@given(problems(), st.integers(1, 5), st.sampled_from([0.0, 0.7, 1.0]))
def test_on_policy_all_estimators_have_one_gradient(
    problem: tuple[gl.TabularMDP, Tensor], horizon: int, gae_lambda: float
) -> None:
    """In expectation and for each sample, whatever the baseline; without one, DiCE joins them."""
    mdp, theta = problem
    baseline = normal(mdp.n_states, seed=3)

    def gradient(estimator: gl.LVC, values: Tensor | None, lambda_: float) -> Tensor:
        leaf = theta.clone().requires_grad_()
        surrogate = estimator.expected_surrogate(mdp, leaf, None, values, horizon, lambda_)
        return torch.autograd.grad(surrogate, leaf)[0]

    def sampled_gradient(estimator: gl.LVC, values: gl.Baseline | None, lambda_: float) -> Tensor:
        leaf = theta.clone().requires_grad_()
        oracle = gl.Sampled(estimator, 4, horizon, lambda_, values)
        return torch.autograd.grad(oracle.surrogate(gl.Problem(mdp, leaf), seeded()), leaf)[0]

    for of, noisy in ((gradient, baseline), (sampled_gradient, gl.Baseline(1.0))):
        first, *others = (of(estimator, noisy, gae_lambda) for estimator in WITH_BASELINE)
        assert all(torch.allclose(other, first, atol=1e-10) for other in others)
    assert torch.allclose(gradient(gl.DiCE(), None, 1.0), gradient(gl.LVC(), None, 1.0), atol=1e-10)
    # and with an exact baseline and no discount on it, it is the policy gradient of the horizon
    exact = gl.exact.gradient(mdp, theta, horizon)
    assert torch.allclose(gradient(gl.DiCE(), None, 1.0), exact, atol=1e-10)


@house
@given(problems())
def test_the_largest_step_of_value_is_along_the_gradient(problem: tuple[gl.TabularMDP, Tensor]) -> None:
    """A small step along the gradient raises the objective by α‖∇J‖² to first order."""
    mdp, theta = problem
    gradient, alpha = gl.exact.gradient(mdp, theta), 1e-6
    gain = gl.exact.objective(mdp, theta + alpha * gradient) - gl.exact.objective(mdp, theta)
    assert torch.allclose(gain / alpha, gradient.square().sum(), rtol=1e-3, atol=1e-7)


@house
@given(problems())
def test_float32_is_close_to_float64(problem: tuple[gl.TabularMDP, Tensor]) -> None:
    mdp, theta = problem
    narrow, logits = mdp.to(torch.float32), theta.float()
    for f in (gl.exact.value, gl.exact.occupancy, gl.exact.gradient):
        found, wanted = f(narrow, logits), f(mdp, theta)
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), wanted, atol=1e-4 * max(1.0, wanted.abs().max().item()))


def test_the_strategies_reach_what_they_should() -> None:
    """Single states and actions, a batch, and policies that are not flat."""
    seen = set()

    @settings(house, max_examples=100)
    @given(problems())
    def collect(problem: tuple[gl.TabularMDP, Tensor]) -> None:
        mdp, theta = problem
        seen.add((mdp.n_states > 1, mdp.n_actions > 1, bool(theta.abs().max() > 1)))
        assert close(mdp.start_distribution.sum(), torch.ones((), dtype=torch.float64), 1e-9)

    collect()
    assert {(True, True, True), (True, True, False)} <= seen
    assert any(not states for states, _, _ in seen)
    assert any(not actions for _, actions, _ in seen)
