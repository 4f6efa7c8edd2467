"""The meta-gradient's quality: the procedure against the exact truth on an MDP, and the emulator against the games'."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import close, rejects

import gmrl_lab as gl
from gmrl_lab.atari.emulator import Emulator, _area_weights
from gmrl_lab.atari.environments import GAMES
from gmrl_lab.atari.quality import _jackknife, _statistics, compare, meta_gradient_quality, open_source
from gmrl_lab.atari.recursion import ESTIMATORS, REFERENCE, expected_meta_gradients, meta_gradients
from gmrl_lab.atari.windows import HORIZON, TabularSource, Windows
from gmrl_lab.learners.optimisers import Parameters

LR, K = 0.5, 3


@pytest.fixture(scope="module")
def source() -> TabularSource:
    """Three states, three actions: few enough for exact sums, and a critic that is wrong."""
    mdp = gl.random_mdp(3, 3, discount=0.8, concentration=0.5, seed=1)
    start = torch.full((3,), 1 / 3, dtype=torch.float64)
    theta = torch.tensor([[0.5, 0.0, -0.5], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.5]], dtype=torch.float64)
    return TabularSource(mdp.replace(start_state=start), theta, torch.tensor([4.0, 1.0, 2.0], dtype=torch.float64))


def adapted(source: TabularSource, phi: torch.Tensor, n_inner: int, lr: float) -> torch.Tensor:
    """J after K exact inner steps, a number for each φ: what the truth is the derivative of."""
    parameters: Parameters = {name: x.clone().requires_grad_() for name, x in source.parameters.items()}
    for _ in range(n_inner):
        value = source.expected({REFERENCE: ESTIMATORS[REFERENCE]}, parameters, phi)[REFERENCE]
        gradients = torch.autograd.grad(value, list(parameters.values()))
        parameters = {
            name: (x + lr * g).detach().requires_grad_()
            for (name, x), g in zip(parameters.items(), gradients, strict=True)
        }
    mdp = source.mdp
    return gl.exact.objective(mdp, source.theta(parameters), HORIZON, source.critic)


def truth(source: TabularSource, n_inner: int, lr: float) -> torch.Tensor:
    return expected_meta_gradients(source, n_inner, lr)[REFERENCE]


def test_the_truth_is_the_derivative_of_the_adapted_objective(source: TabularSource) -> None:
    """By finite differences through all K exact inner steps; in λ from below, 1 being the largest."""
    found, step = truth(source, 3, 2.0), 1e-4
    for k in (1, 3):
        for j, points in enumerate([(1, -1), (0, -1, -2)]):
            values = [
                adapted(source, torch.tensor([0.8, 1.0]).double() + step * x * torch.eye(2).double()[j], k, 2.0)
                for x in points
            ]
            slope = values[0] - values[1] if j == 0 else 1.5 * values[0] - 2 * values[1] + 0.5 * values[2]
            wanted = slope / (2 * step if j == 0 else step)
            assert close(found[k - 1, j], wanted.detach(), 1e-4)


def test_forward_products_equal_automatic_differentiation_through_the_loop(source: TabularSource) -> None:
    """The same windows, once by carrying ∂θ/∂φ, once by one graph through the K steps."""
    found = meta_gradients(source, 600, 3, 1.0, gl.generators(0, 2))  # more windows than are differentiated at a time
    for name, estimator in ESTIMATORS.items():
        generators = gl.generators(0, 2)
        phi = torch.tensor([[0.8, 1.0]] * 2, dtype=torch.float64, requires_grad=True)
        parameters = {key: x.expand(2, *x.shape).clone().requires_grad_() for key, x in source.parameters.items()}
        for k in range(4):
            frozen = {key: x.detach() for key, x in parameters.items()}
            windows = source.draw(frozen, 600, generators)
            if k:
                outer = windows.steps(source.network, parameters, phi.detach()[:, 0], phi.detach()[:, 1])
                (wanted,) = torch.autograd.grad(gl.AD().surrogate(outer).sum(), phi, retain_graph=True)
                assert close(found[name][k - 1], wanted, 1e-9)
            steps = windows.steps(source.network, parameters, *phi.unbind(-1))
            loss = estimator.surrogate(steps).sum()
            slopes = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
            parameters = {key: x + g for (key, x), g in zip(parameters.items(), slopes, strict=True)}


@pytest.fixture(scope="module")
def many(source: TabularSource) -> dict[str, torch.Tensor]:
    return meta_gradients(source, 512, K, LR, gl.generators(5, 120))


def test_the_reference_agrees_with_the_truth(source: TabularSource, many: dict[str, torch.Tensor]) -> None:
    """120 references of 512 windows; false alarm 1e-6."""
    assert not rejects(many["LoadedDiCE"][-1], truth(source, K, LR)[-1])


@pytest.mark.parametrize("name", ["AD", "LVC"])
def test_more_data_does_not_make_the_others_a_reference(
    source: TabularSource, many: dict[str, torch.Tensor], name: str
) -> None:
    """Power: with the same windows, AD and LVC certify their own bias. After one step all three are one."""
    assert rejects(many[name][-1], truth(source, K, LR)[-1])
    assert torch.equal(many[name][0], many["LoadedDiCE"][0])


def test_bias_is_debiased_of_both_samples() -> None:
    """The mean of many estimates of the squared bias is the squared bias; without the references' correction it is not.

    The jackknife errs on the safe side where, as here, the bias is smaller than its noise.
    """
    generator = torch.Generator().manual_seed(0)
    estimates = torch.randn(400, 10, 2, generator=generator, dtype=torch.float64) + 0.3
    references = 2 * torch.randn(400, 20, 2, generator=generator, dtype=torch.float64)
    found = torch.stack([_statistics(a, b) for a, b in zip(estimates, references, strict=True)])[:, :1]
    target = torch.tensor([2 * 0.3**2], dtype=torch.float64)
    assert not rejects(found, target)
    plain = torch.stack([gl.bias(a, b.mean(0)).squared_norm for a, b in zip(estimates, references, strict=True)])
    assert rejects(plain[:, None], target)
    errors = torch.stack([_jackknife(a, b) for a, b in zip(estimates[:60], references[:60], strict=True)])[:, 0]
    assert 0.9 < errors.square().mean().sqrt() / found.std() < 1.8


def test_a_table_has_a_row_for_each_size_estimator_and_step() -> None:
    table = meta_gradient_quality(
        "RandomMDP", (4, 8), n_inner=2, n_trials=6, reference=REFERENCE, n_reference=64, n_references=3, progress=False
    )
    assert len(table) == 2 * 3 * 2
    once = table[table["K"] == 1].drop(columns="estimator").groupby("n_windows")
    assert all(len(rows.drop_duplicates()) == 1 for _, rows in once)  # K = 1 needs no second derivative
    assert table["cosine"].between(-1, 1).all()
    assert (table["variance"] > 0).all()
    with pytest.raises(ValueError, match="n_trials: got 2, allowed is a whole number >= 3"):
        meta_gradient_quality("RandomMDP", n_trials=2)
    with pytest.raises(ValueError, match="inner_lr: got 0"):
        meta_gradient_quality("RandomMDP", inner_lr=0)
    with pytest.raises(ValueError, match="reference: got 'AD', allowed is one of 'exact', 'LoadedDiCE'"):
        meta_gradient_quality("RandomMDP", reference="AD")


def test_compare_finds_a_known_bias() -> None:
    generator = torch.Generator().manual_seed(1)

    def rows(role: str, estimator: str, mean: float, n: int) -> pd.DataFrame:
        drawn = mean + 0.1 * torch.randn(n, 2, generator=generator, dtype=torch.float64)
        own = {"role": role, "n_windows": 4, "estimator": estimator, "K": 1}
        return pd.DataFrame(drawn.numpy(), columns=["discount", "gae_lambda"]).assign(**own)

    trials = [rows("estimate", "AD", 1.5, 40), rows("estimate", "LVC", 1.0, 40), rows("reference", "LoadedDiCE", 1, 20)]
    table = compare(pd.concat(trials)).set_index("estimator")
    low = table["bias_squared"] - 1.96 * table["bias_squared_se"]
    assert low["AD"] > 0 > low["LVC"]
    assert abs(table.loc["AD", "bias_squared"] - 0.5) < 0.15


def test_what_each_estimator_tends_to_is_in_the_table(source: TabularSource) -> None:
    """With infinitely many windows: no bias at K = 1, the Hessian's beyond; and finite samples tend to it."""
    table = meta_gradient_quality("RandomMDP", (4,), n_inner=3, inner_lr=2.0, n_trials=4, progress=False)
    limit = table[table["n_windows"] == np.inf].set_index(["estimator", "K"])
    opened = open_source("RandomMDP")
    assert isinstance(opened, TabularSource)
    exact = expected_meta_gradients(opened, 3, 2.0)
    for (name, k), row in limit.iterrows():
        wanted = (exact[name][k - 1] - exact[REFERENCE][k - 1]).square().sum()
        assert row["bias_squared"] == pytest.approx(wanted.item(), abs=1e-30)
        assert row[["variance", "bias_squared_se", "cosine_se"]].tolist() == [0, 0, 0]
        assert row["bias_squared"] < 1e-25 if name == REFERENCE or k == 1 else row["bias_squared"] > 1e-8
    assert len(table) == 2 * len(limit) == 2 * 9


def test_a_sampled_reference_agrees_with_the_exact_one() -> None:
    """The same trials against either: the squared biases agree within their intervals; false alarm 1e-3 for all six."""
    both = [
        meta_gradient_quality(
            "RandomMDP",
            (16,),
            n_inner=2,
            inner_lr=0.5,
            n_trials=12,
            reference=reference,
            n_references=24,
            progress=False,
        ).query("n_windows == 16")
        for reference in ("exact", REFERENCE)
    ]
    exact, sampled = both
    width = np.hypot(sampled["bias_squared_se"], exact["bias_squared_se"])
    assert ((sampled["bias_squared"] - exact["bias_squared"]).abs() < 4 * width).all()
    assert (sampled["reference_norm"] / exact["reference_norm"] - 1).abs().max() < 0.2
    assert (sampled["variance"] == exact["variance"]).all()


@pytest.mark.parametrize("game", GAMES)
def test_the_emulator_shows_what_the_games_show(game: str) -> None:
    """The same rewards, and frames that differ by one grey level of 255 at most, where rounding ties (under 1%)."""
    from ale_py import AtariVectorEnv

    theirs = AtariVectorEnv(GAMES[game], 1, img_height=42, img_width=42, reward_clipping=False, life_loss_info=True)
    seen, info = theirs.reset(seed=7)
    ours = Emulator(game, 42)
    ours.reset(int(info["episode_frame_number"][0]) - Emulator(game, 42).idle_at_start)
    rng, wrong = np.random.default_rng(0), []
    for _ in range(40):
        difference = np.abs(seen[0].astype(int) - ours.frames)
        assert difference.max() <= 1
        wrong.append((difference > 0).mean())
        action = int(rng.integers(theirs.single_action_space.n))
        seen, reward, ended, *_ = theirs.step(np.array([action]))
        assert ours.step(action)[:2] == (reward[0], ended[0])
    assert np.mean(wrong) < 0.01


def test_a_restored_state_plays_the_same_again() -> None:
    emulator = Emulator("Assault", 42)
    emulator.reset(5)
    for _ in range(30):
        emulator.step(1)
    kept = emulator.keep()
    first = [(emulator.step(a), emulator.frames) for a in (1, 2, 3) * 8]
    emulator.restore(kept)
    again = [(emulator.step(a), emulator.frames) for a in (1, 2, 3) * 8]
    assert all(a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_what_follows_the_end_of_a_window_counts_nothing(source: TabularSource, name: str) -> None:
    """A window that ends after two steps has the derivatives of a window of two steps without a critic at its end."""
    drawn = source.draw(source.parameters, 7, torch.Generator().manual_seed(0))
    alive = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0]).double().expand(7, -1)
    values = drawn.values * torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]).double()
    looks = drawn.seen, drawn.actions
    ended = Windows(drawn.observations, *looks, drawn.rewards * alive, values, alive)
    first = (x[:, :2] for x in (*looks, drawn.rewards))
    short = Windows(drawn.observations, *first, values[:, :3], alive[:, :2])
    found = []
    for windows in (ended, short):
        leaf = {key: x.clone().requires_grad_() for key, x in source.parameters.items()}
        steps = windows.steps(source.network, leaf, torch.tensor(0.8).double(), torch.tensor(1.0).double())
        slopes = torch.autograd.grad(ESTIMATORS[name].surrogate(steps), list(leaf.values()), create_graph=True)
        second = torch.autograd.grad(slopes[0].square().sum(), leaf["policy.weight"])
        found.append(torch.cat([x.detach().flatten() for x in (*slopes, *second)]))
    assert close(found[0], found[1], 1e-12)


@pytest.mark.parametrize("size", [42, 84])
def test_area_weights_sum_to_one_and_reach_every_pixel(size: int) -> None:
    weights = _area_weights(210, size)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(0), size / 210, rtol=1e-6)


def test_random_mdp_is_opened_by_its_name() -> None:
    opened = open_source("RandomMDP")
    assert isinstance(opened, TabularSource)
    assert opened.mdp.n_states == 20
