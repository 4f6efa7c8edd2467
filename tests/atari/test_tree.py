"""A layered graph against all its windows, one by one: on an invented game, and on a real one that is played through.

The invented game has states that look alike, states that are reached by two ways, rewards, and returns that end.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from frequencies import count, fits
from helpers import close, double, rejects, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.atari.checkpoint import digest, load_checkpoint
from gmrl_lab.atari.emulator import EmulatorSource
from gmrl_lab.atari.grow import grow
from gmrl_lab.atari.layers import Layer, LayeredFlow
from gmrl_lab.atari.network import Network
from gmrl_lab.atari.quality import meta_gradient_quality, open_source
from gmrl_lab.atari.recursion import ESTIMATORS, REFERENCE, expected_meta_gradients, meta_gradients
from gmrl_lab.atari.training import Training, train
from gmrl_lab.atari.tree import GameTree
from gmrl_lab.atari.windows import Windows
from gmrl_lab.learners.optimisers import Parameters

N_ACTIONS, LR, K = 3, 0.7, 3
PHI = double([0.9, 1.0])


@pytest.fixture(scope="module")
def tree() -> GameTree:
    """Three steps from two start states, 2, 3, 4 and 5 states that look like five; one move in six ends the return."""
    generator, sizes, look = seeded(4), (2, 3, 4, 5), Network("linear", (5,), N_ACTIONS)

    def layer(n: int, after: int | None) -> Layer:
        n_actions = 0 if after is None else N_ACTIONS
        children = torch.randint(0, 10, (n + 1, n_actions), generator=generator) % ((after or 0) + 1)
        rewards = torch.rand(n + 1, n_actions, generator=generator, dtype=torch.float64) * 3
        values = torch.randn(n + 1, generator=generator, dtype=torch.float64)
        values[-1], children[-1], rewards[-1] = 0, after or 0, 0
        return Layer(values, torch.randint(5, (n + 1,), generator=generator), children, rewards)

    layers = [layer(n, after) for n, after in zip(sizes, (*sizes[1:], None), strict=True)]
    weight = torch.randn(N_ACTIONS, 5, generator=generator, dtype=torch.float64)
    parameters = {"policy.weight": weight, "policy.bias": torch.zeros(N_ACTIONS, dtype=torch.float64)}
    return GameTree(
        look, parameters, 0.9, torch.eye(5, dtype=torch.uint8), layers, torch.tensor([0, 1]), {"game": "toy"}
    )


def paths(tree: GameTree) -> Windows:
    """Every window of a tree, walked step by step."""
    rows = []
    for start, actions in product(tree.starts.tolist(), product(range(tree.network.n_actions), repeat=tree.horizon)):
        state, seen, rewards, alive = start, [], [], []
        values = [tree.layers[0].values[state]]
        for layer, after, action in zip(tree.layers[:-1], tree.layers[1:], actions, strict=True):
            alive.append(float(state < layer.n_states))
            seen.append(int(layer.seen[state]))
            rewards.append(layer.rewards[state, action])
            state = int(layer.children[state, action])
            values.append(after.values[state])
        rows.append((seen, actions, rewards, values, alive))
    seen, actions, *others = (torch.tensor(column) for column in zip(*rows, strict=True))
    return Windows(tree.observations, seen, actions, *(x.to(tree.layers[0].values.dtype) for x in others))


def summed(windows: Windows, network: Network, n_starts: int, parameters: Parameters, phi: Tensor) -> dict[str, Tensor]:
    """Each estimator's surrogate, window by window, weighted by the probability of the window, held fixed."""
    steps = windows.steps(network, parameters, *phi.unbind())
    # After the end all actions count, and their probabilities sum to one.
    probability = steps.log_prob.detach().sum(-1).exp() / n_starts
    assert probability.sum().item() == pytest.approx(1, abs=1e-12)
    weighted = replace(steps, weight=steps.weights * (len(probability) * probability).unsqueeze(-1))
    return {name: estimator.surrogate(weighted) for name, estimator in ESTIMATORS.items()}


def derivatives(value: Tensor, parameters: Parameters, phi: Tensor) -> Tensor:
    """Value, gradient in θ, and second derivatives along one direction: of the gradient, and mixed with φ."""
    leaves = list(parameters.values())
    slopes = torch.autograd.grad(value, leaves, create_graph=True)
    along = sum((x * torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view(x.shape)).sum() for x in slopes)
    second = torch.autograd.grad(along, [*leaves, phi])
    return torch.cat([x.detach().flatten() for x in (value, *slopes, *second)])


def leaves(parameters: Parameters) -> Parameters:
    return {name: x.detach().clone().requires_grad_() for name, x in parameters.items()}


def agree(source: GameTree, windows: Windows, relative: float) -> Iterator[bool]:
    """For each estimator, whether graph and windows have the same value and derivatives."""
    for name in ESTIMATORS:
        found = []
        for expected in (
            lambda theta, phi: source.expected(ESTIMATORS, theta, phi),
            lambda theta, phi: summed(windows, source.network, len(source.starts), theta, phi),
        ):
            theta, phi = leaves(source.parameters), PHI.clone().requires_grad_()
            found.append(derivatives(expected(theta, phi)[name], theta, phi))
        yield close(found[0], found[1], relative)


def test_expectations_on_the_graph_are_sums_over_all_windows(tree: GameTree) -> None:
    assert all(agree(tree, paths(tree), 1e-12))


def test_the_estimators_are_told_apart(tree: GameTree) -> None:
    """Power: their second derivatives differ on this game, and one window left out is noticed."""
    found = []
    for name in ESTIMATORS:
        theta, phi = leaves(tree.parameters), PHI.clone().requires_grad_()
        found.append(derivatives(tree.expected(ESTIMATORS, theta, phi)[name], theta, phi)[-20:])
    assert not any(close(found[i], found[j], 1e-2) for i, j in ((0, 1), (0, 2), (1, 2)))
    all_windows = paths(tree)
    broken = replace(all_windows, rewards=all_windows.rewards.clone().index_fill_(0, torch.tensor([7]), 0.0))
    assert not all(agree(tree, broken, 1e-12))


def adapted(tree: GameTree, phi: Tensor, n_inner: int) -> Tensor:
    """J after exact inner steps at φ, by the graph of all of them."""
    parameters = leaves(tree.parameters)
    for _ in range(n_inner):
        inner = tree.expected({REFERENCE: ESTIMATORS[REFERENCE]}, parameters, phi)[REFERENCE]
        slopes = torch.autograd.grad(inner, list(parameters.values()), create_graph=True)
        parameters = {name: x + LR * g for (name, x), g in zip(parameters.items(), slopes, strict=True)}
    return tree.objective(parameters, PHI[0])


def test_the_backward_recursion_has_the_same_derivatives(tree: GameTree) -> None:
    """Loaded DiCE's value is J less J of the policy that acts; its derivatives are those of J."""
    theta, phi = leaves(tree.parameters), PHI.clone().requires_grad_()
    by_recursion = derivatives(tree.objective(theta, phi[0]), theta, phi)
    by_estimator = derivatives(tree.expected(ESTIMATORS, theta, phi)[REFERENCE], theta, phi)
    assert close(by_estimator[1:-1], by_recursion[1:-1], 1e-12)
    assert by_estimator[0].abs() < 1e-14


def test_the_truth_is_the_derivative_through_all_inner_steps(tree: GameTree) -> None:
    """By automatic differentiation of the whole loop to 1e-12; by finite differences, in λ from below, to 1e-5."""
    found, step = expected_meta_gradients(tree, K, LR), 1e-4
    for k in (1, K):
        phi = PHI.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(adapted(tree, phi, k), phi)
        assert close(found[REFERENCE][k - 1], wanted, 1e-12)
        for j, (points, weights) in enumerate([((1, -1), (0.5, -0.5)), ((0, -1, -2), (1.5, -2, 0.5))]):
            values = [adapted(tree, PHI + step * x * torch.eye(2).double()[j], k).detach() for x in points]
            slope = sum(w * x for w, x in zip(weights, values, strict=True)) / step
            assert close(found[REFERENCE][k - 1, j], slope, 1e-5)


def test_only_the_first_meta_gradient_needs_no_second_derivative(tree: GameTree) -> None:
    found = expected_meta_gradients(tree, K, LR)
    for name in ("AD", "LVC"):
        assert close(found[name][0], found[REFERENCE][0], 1e-12)
        assert not any(close(found[name][k], found[REFERENCE][k], 1e-2) for k in range(1, K))


def test_walks_are_drawn_with_their_probabilities(tree: GameTree) -> None:
    """54 windows, 20,000 walks; false alarm 1e-6. Power: the walks of another policy are noticed."""
    windows = paths(tree)
    steps = windows.steps(tree.network, tree.parameters, *PHI)
    probability = (steps.log_prob.sum(-1).exp() / 2).view(2, -1)
    for parameters, fit in ((tree.parameters, True), ({n: 1.1 * x for n, x in tree.parameters.items()}, False)):
        drawn = tree.draw(parameters, 20_000, seeded(1))
        start = (drawn.values[:, :1] == windows.values[27, 0]).long()  # the first 27 windows have the first start
        times = count(torch.cat([start, drawn.actions], 1), 2, 3, 3, 3).view(2, -1)
        assert fits(times, probability / probability.sum(-1, keepdim=True)) == fit
    lookup = {tuple(key): i for i, key in enumerate(torch.cat([windows.values[:, :1], windows.actions], 1).tolist())}
    keys = torch.cat([drawn.values[:, :1], drawn.actions], 1)[:200].tolist()
    which = torch.tensor([lookup[tuple(key)] for key in keys])
    for name in ("seen", "rewards", "values", "alive"):
        assert torch.equal(getattr(drawn, name)[:200], getattr(windows, name)[which])


def test_sampled_meta_gradients_tend_to_the_expected_ones(tree: GameTree) -> None:
    """100 of 256 windows at K = 1 and K = 2, each estimator against its own limit; false alarm 1e-6 each.

    Power: AD does not tend to the truth at K = 2, while at K = 1 it is the same as Loaded DiCE.
    """
    drawn = [meta_gradients(tree, 256, 2, LR, each) for each in gl.generators(3, 100)]
    samples = {name: torch.stack([each[name] for each in drawn]) for name in ESTIMATORS}
    limits = expected_meta_gradients(tree, 2, LR)
    assert not any(rejects(samples[name], limits[name]) for name in ESTIMATORS)
    assert rejects(samples["AD"][:, 1], limits[REFERENCE][1])
    assert torch.allclose(samples["AD"][:, 0], samples[REFERENCE][:, 0], rtol=1e-9)


def test_an_estimator_without_a_closed_form_is_named(tree: GameTree) -> None:
    class Other:
        def expected_surrogate(self) -> None: ...

    logits = torch.zeros(5, N_ACTIONS, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"estimator: got .*Other.*, allowed is one with a closed form"):
        LayeredFlow(tree.layers, tree.starts, logits, *PHI).expectation(Other())  # type: ignore[arg-type]


def test_a_file_gives_back_the_same_tree(tree: GameTree, tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    tree.save(path)
    again = open_source(str(path))
    assert isinstance(again, GameTree)
    assert (again.made, again.discount, again.network) == (tree.made, tree.discount, tree.network)
    for ours, theirs in zip(again.layers, tree.layers, strict=True):
        assert all(torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(vars(ours).values(), vars(theirs).values()))
    found, wanted = (expected_meta_gradients(each, 2, LR) for each in (again, tree))
    assert all(torch.equal(found[name], wanted[name]) for name in ESTIMATORS)
    assert [file.name for file in tmp_path.iterdir()] == ["toy.npz"]
    table = meta_gradient_quality(path, (8,), n_inner=2, inner_lr=LR, n_trials=3, progress=False)
    assert table.groupby("n_windows").size().to_dict() == {8: 6, np.inf: 6}
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(
        ValueError, match=r"source: got .*toy.npz .*, allowed is a tree that `GameTree.save` has written"
    ):
        GameTree.load(path)


# --- a real game --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def assault() -> EmulatorSource:
    """A small network with random weights, far from uniform, in Assault."""
    network = Network("small", (4, 42, 42), 7)
    parameters = network.init(seeded(0))
    parameters["policy.weight"] = 100 * parameters["policy.weight"]
    return EmulatorSource("Assault", 42, network, parameters, 0.9, 1.0, n_starts=2)


def played(source: EmulatorSource, horizon: int) -> Windows:
    """All windows as the emulator plays them, no state met twice."""
    seen, rewards, alive, actions = [], [], [], list(product(range(7), repeat=horizon))
    for start, acts in product(source.starts, actions):
        source.emulator.restore(start)
        frames, gains, living = [source.emulator.frames], [], [1.0]
        for action in acts:
            reward, ended, _ = source.emulator.step(action)
            gains.append(reward * living[-1])
            living.append(living[-1] * (not ended))
            frames.append(source.emulator.frames)
        seen, rewards, alive = [*seen, *frames], [*rewards, gains], [*alive, living]
    observations, living = torch.from_numpy(np.stack(seen)), torch.tensor(alive)
    values = source.value(observations).view(living.shape) * living
    index = torch.arange(len(observations)).view(living.shape)[:, :-1]
    numbers = (torch.tensor(rewards).clamp(-1, 1), values, living[:, :-1])
    return Windows(observations, index, torch.tensor(2 * actions), *(x.double() for x in numbers))


def test_the_graph_is_the_game_and_merging_changes_nothing(assault: EmulatorSource) -> None:
    """Each of the 98 windows of two steps shows the same frames, rewards and values; so do all expectations."""
    tree, wanted = grow(assault, horizon=2, progress=False), played(assault, 2)
    assert tree.n_states[0] == 2
    assert sum(tree.n_states) < 2 * (1 + 7 + 49) / 2, "equal states are merged"
    found = paths(tree)
    assert torch.equal(found.observations[found.seen], wanted.observations[wanted.seen])
    assert torch.equal(found.actions, wanted.actions)
    for name in ("rewards", "values", "alive"):
        assert close(getattr(found, name).double(), getattr(wanted, name), 1e-6), name
    exact = tree.to(torch.float64)
    assert all(agree(exact, replace(wanted, values=found.values.double()), 1e-10))


def test_single_precision_costs_the_truth_little(assault: EmulatorSource) -> None:
    tree = grow(assault, horizon=2, progress=False)
    single, double_ = (expected_meta_gradients(each, 3, 0.3) for each in (tree, tree.to(torch.float64)))
    assert all(close(single[name].double(), double_[name], 1e-4) for name in ESTIMATORS)


def test_in_every_start_state_the_next_action_matters(assault: EmulatorSource) -> None:
    tree = grow(assault, horizon=1, progress=False)
    assert all(len(children.unique()) > 1 for children in tree.layers[0].children[:-1])
    assert 0 < tree.made["share_of_states"] <= 1


def test_a_graph_that_is_too_large_says_so(assault: EmulatorSource) -> None:
    with pytest.raises(ValueError, match=r"got \d+ states of Assault after 1 steps, allowed is at most 3 \(`limit`\)"):
        grow(assault, limit=3, progress=False)


def test_a_checkpoint_becomes_a_tree(tmp_path: Path) -> None:
    """It names the checkpoint; and the checkpoint alone has no exact reference."""
    run = Training.at("Assault", "reduced", 0, variant="a2c", n_envs=4, total_steps=20)
    train(run, folder=tmp_path, device="cpu", progress=False)
    path = tmp_path / "checkpoint.pt"
    tree = grow(EmulatorSource.load(path, n_starts=1), horizon=1, progress=False)
    wanted = {"game": "Assault", "variant": "a2c", "seed": 0, "steps": 20, "n_starts": 1, "checkpoint": digest(path)}
    assert {name: tree.made[name] for name in wanted} == wanted
    trained = load_checkpoint(path)["learner"]["parameters"]
    assert all(torch.equal(x, trained[name]) for name, x in tree.parameters.items())
    with pytest.raises(ValueError, match="reference: got 'exact' for a checkpoint, allowed is 'LoadedDiCE', or"):
        meta_gradient_quality(path)
