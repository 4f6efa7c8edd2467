"""Sampled trajectories of tabular MDPs: the only hot loop. And all of them, where they can be counted."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab._tensors import broadcast_shapes, split_last
from gmrl_lab._validate import bad, check_broadcast, check_finite, check_like, check_whole
from gmrl_lab.categorical import Alias, InverseCDF
from gmrl_lab.exact import check_theta
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.seeding import Generators, check_generator, fill_uniform

DEFAULT_MEMORY_BUDGET = 256 * 2**20
"""Bytes of working memory that `sample` may use beside its result."""

# glibc hands freed memory back to the kernel and pays a page fault for each page to get it again, up to half the time
# of a rollout. Freeing one block of just under 32 MB, never touched, raises both of its thresholds (mallopt(3)).
torch.empty((1 << 25) - (1 << 13), dtype=torch.uint8)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Trajectories and the policy that made them.

    Args:
        states: s_0 … s_T, integers `(..., n, T + 1)`.
        actions: a_0 … a_{T−1}, integers `(..., n, T)`.
        behaviour_log_prob: log μ(a_t|s_t) of the policy that acted, `(..., n, T)`, without gradient.

    Rewards are not stored: they are looked up in the MDP, so that they may depend on meta-parameters.

    Raises:
        ValueError: if the shapes do not belong together, states or actions are no integers (torch.int64), or a
            log-probability is not finite: an action that was taken had a positive probability.

    Taught in lesson 01.
    """

    states: Tensor
    actions: Tensor
    behaviour_log_prob: Tensor

    def __post_init__(self) -> None:
        if self.actions.ndim < 2:
            raise bad("actions", f"shape {tuple(self.actions.shape)}", "shape (..., n, T)")
        steps = tuple(self.actions.shape)
        for name, tensor, shape in (
            ("states", self.states, (*steps[:-1], steps[-1] + 1)),
            ("behaviour_log_prob", self.behaviour_log_prob, steps),
        ):
            if tuple(tensor.shape) != shape:
                raise bad(name, f"shape {tuple(tensor.shape)}", f"shape {shape}, to fit the actions")
        for name, tensor in (("states", self.states), ("actions", self.actions)):
            if tensor.dtype != torch.long:
                raise bad(name, tensor.dtype, "torch.int64")
        check_finite("behaviour_log_prob", self.behaviour_log_prob)

    @property
    def n_trajectories(self) -> int:
        """Number n of trajectories in one estimate."""
        return int(self.actions.shape[-2])

    @property
    def horizon(self) -> int:
        """Number of steps T."""
        return int(self.actions.shape[-1])


def sample(
    mdp: TabularMDP,
    theta: Tensor,
    n_trajectories: int,
    horizon: int = 20,
    *,
    generator: Generators,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
) -> Trajectories:
    """Roll out the softmax policy of `theta` from the start state.

    Each trajectory uses one row of uniform numbers, for the start and then for action and next state in turn: on the
    CPU the result does not depend on `memory_budget`, and a small change of `theta` changes few trajectories.

    Args:
        mdp: batch of MDPs.
        theta: policy logits `(..., S, A)`; no gradient flows.
        n_trajectories: n, per batch element.
        horizon: T, steps per trajectory. Episodes do not stop early: an absorbing state goes on with its reward.
        generator: one `torch.Generator`, or one for each element of the leading dimension.
        memory_budget: bytes of working memory; more trajectories are sampled in chunks.

    Returns:
        `Trajectories` with the broadcast batch dimensions of `mdp` and `theta`.

    Raises:
        ValueError: for n or horizon below 1, bad logits, a generator elsewhere, a budget below one trajectory.

    Taught in lesson 01.
    """
    theta = theta.detach()
    states, actions = paths(mdp, theta, n_trajectories, horizon, generator, memory_budget)
    return Trajectories(states, actions, log_prob(theta, states, actions))


def paths(
    mdp: TabularMDP,
    theta: Tensor,
    n_trajectories: int,
    horizon: int,
    generator: Generators,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
) -> tuple[Tensor, Tensor]:
    """States and actions of `sample`, without their log-probabilities."""
    check_whole("n_trajectories", n_trajectories, 1)
    check_whole("horizon", horizon, 1)
    batch = check_theta(mdp, theta)
    check_generator(generator, mdp.device, batch[0] if batch else None)
    tables = _Tables.of(mdp, theta.detach(), batch)
    total = math.prod(batch) * n_trajectories
    per_trajectory = 8 * (4 * horizon + 4 + mdp.n_states + mdp.n_actions)
    if memory_budget < per_trajectory:
        raise bad("memory_budget", memory_budget, f"at least the {per_trajectory} bytes of one trajectory")
    chunk = min(total, memory_budget // per_trajectory)
    states = torch.empty(total, horizon + 1, dtype=torch.long, device=mdp.device)
    actions = torch.empty(total, horizon, dtype=torch.long, device=mdp.device)
    rows_each = total // batch[0] if batch else total
    for first in range(0, total, chunk):
        part = slice(first, min(first + chunk, total))
        buffer = torch.empty(part.stop - first, 2 * horizon + 1, dtype=tables.dtype, device=mdp.device)
        uniform = fill_uniform(buffer, first, rows_each, generator)
        element = torch.arange(part.start, part.stop, device=mdp.device) // n_trajectories
        tables.roll(uniform, element, states[part], actions[part])
    shape = (*batch, n_trajectories)
    return states.view(*shape, horizon + 1), actions.view(*shape, horizon)


def check_stored(trajectories: Trajectories, mdp: TabularMDP, theta: Tensor) -> None:
    """Raise a ValueError unless stored trajectories can be ones of this MDP, in its dtype and on its device."""
    for name, index, size in (
        ("trajectories.states", trajectories.states, mdp.n_states),
        ("trajectories.actions", trajectories.actions, mdp.n_actions),
    ):
        outside = (index < 0) | (index >= size)
        if bool(outside.any()):
            raise bad(name, int(index[outside][0]), f"whole numbers from 0 to {size - 1}, as the MDP")
    check_like("trajectories.behaviour_log_prob", trajectories.behaviour_log_prob, "the MDP", mdp.transitions)
    batch = check_broadcast("theta", theta.shape[:-2], "the MDP", mdp.batch_shape)
    check_broadcast("trajectories", trajectories.actions.shape[:-2], "the MDP and its policy", batch)


def log_prob(theta: Tensor, states: Tensor, actions: Tensor) -> Tensor:
    """log π_θ(a_t|s_t) along trajectories, `(..., n, T)`, differentiable in `theta`."""
    return lookup(theta.log_softmax(-1), states, actions)


def lookup(table: Tensor, states: Tensor, actions: Tensor) -> Tensor:
    """table[s_t, a_t] along trajectories: a table `(..., S, A)` gives `(..., n, T)`, differentiable."""
    return lookup_pairs(table, pairs(states, actions, table.shape[-1]))


def pairs(states: Tensor, actions: Tensor, n_actions: int) -> Tensor:
    """The numbers s_t·A + a_t, `(..., n, T)`, for several look-ups along the same trajectories."""
    return torch.add(actions, states[..., : actions.shape[-1]], alpha=n_actions)


def lookup_pairs(table: Tensor, numbers: Tensor) -> Tensor:
    """`lookup` by the numbers of `pairs`."""
    flat, index = table.flatten(-2), numbers.flatten(-2)
    batch = broadcast_shapes(flat.shape[:-1], index.shape[:-1])
    taken = flat.expand(*batch, -1).gather(-1, index.expand(*batch, -1))
    return split_last(taken, numbers.shape[-2:])


def enumerate_samples(
    mdp: TabularMDP, theta: Tensor, horizon: int, n_trajectories: int = 1
) -> tuple[Trajectories, Tensor]:
    """Every possible sample of n trajectories of a tiny MDP, and its probability.

    The order of trajectories in a sample does not matter to any estimator, so each multiset stands once, with the
    multinomial probability of all its orders. Then E[f(sample)] = Σ probability · f(sample) exactly: sampling,
    with all its biases, without any randomness.

    Args:
        mdp: one MDP, no batch.
        theta: policy logits `(S, A)`.
        horizon, n_trajectories: T and n; at most 200,000 samples.

    Returns:
        `Trajectories` of shape `(M, n, T)` for M samples, and probabilities `(M,)`, detached, which sum to 1.

    Raises:
        ValueError: for a batch, or more than 200,000 samples.

    Taught in lesson 02.
    """
    check_whole("horizon", horizon, 1)
    check_whole("n_trajectories", n_trajectories, 1)
    check_theta(mdp, theta)
    if mdp.batch_shape or theta.ndim != 2:
        raise bad("mdp", f"batch {tuple(mdp.batch_shape)}, theta {tuple(theta.shape)}", "one MDP and logits (S, A)")
    states, actions, probability = _all_paths(mdp, theta.detach(), horizon)
    n_paths = len(probability)
    n_samples = math.comb(n_paths + n_trajectories - 1, n_trajectories)
    if n_samples > 200_000:
        raise bad("n_trajectories", f"{n_samples} samples of {n_paths} trajectories", "at most 200000 samples")
    multisets = list(itertools.combinations_with_replacement(range(n_paths), n_trajectories))
    orders = [math.factorial(n_trajectories) / math.prod(math.factorial(s.count(i)) for i in set(s)) for s in multisets]
    index = torch.tensor(multisets, device=mdp.device)
    weight = torch.tensor(orders, dtype=mdp.dtype, device=mdp.device) * probability[index].prod(-1)
    states, actions = states[index], actions[index]
    return Trajectories(states, actions, log_prob(theta.detach(), states, actions)), weight


def _all_paths(mdp: TabularMDP, theta: Tensor, horizon: int) -> tuple[Tensor, Tensor, Tensor]:
    """All trajectories of positive probability: states (N, T + 1), actions (N, T), probabilities (N,)."""
    policy = theta.softmax(-1)
    states = mdp.start_distribution.nonzero()
    actions = states[:, :0]
    probability = mdp.start_distribution[states[:, 0]]
    for _ in range(horizon):
        here = states[:, -1]
        joint = probability[:, None, None] * policy[here].unsqueeze(-1) * mdp.transitions[here]
        path, action, following = joint.nonzero(as_tuple=True)
        if len(path) > 200_000:
            raise bad("horizon", f"{horizon}, more than {len(path)} trajectories", "at most 200000 trajectories")
        states = torch.cat([states[path], following.unsqueeze(-1)], -1)
        actions = torch.cat([actions[path], action.unsqueeze(-1)], -1)
        probability = joint[path, action, following]
    return states, actions, probability.detach()


@dataclass(frozen=True, eq=False)
class _Tables:
    """What the hot loop reads: search tables, and which model each batch element uses."""

    start: InverseCDF
    policy: InverseCDF
    transitions: Alias
    model: Tensor
    n_states: int

    @classmethod
    def of(cls, mdp: TabularMDP, theta: Tensor, batch: torch.Size) -> "_Tables":
        models = mdp.transitions.shape[:-3]
        policy = InverseCDF.of(theta.softmax(-1).expand(*batch, -1, -1))
        return cls(
            InverseCDF.of(mdp.start_distribution.expand(*batch, -1)),
            policy,
            mdp.transition_sampler.spread(mdp.n_actions, policy.width),  # then a pair stands at the same place in both
            torch.arange(math.prod(models), device=mdp.device).view(models).expand(batch).reshape(-1),
            mdp.n_states,
        )

    @property
    def dtype(self) -> torch.dtype:
        """Of the uniform numbers: float64 where the device has it."""
        return self.transitions.threshold.dtype

    @torch.inference_mode()
    def roll(self, uniform: Tensor, element: Tensor, states: Tensor, actions: Tensor) -> None:
        """Write trajectories into `states` (N, T + 1) and `actions` (N, T); `element` is each one's batch element."""
        draws, moves = self._by_time(uniform)
        slots, rests = self.transitions.split(moves)
        width, rows = self.policy.width, self.n_states * self.policy.width
        first, from_model = (element * rows).int(), ((element - self.model[element]) * rows).int()
        ahead = self._rows_ahead() if self.transitions.width == 1 else None
        begin = self.start.draw((element * self.start.width).int(), uniform[:, 0])
        row, pairs = torch.add(first, begin, alpha=width), []
        for draw, slot, rest in zip(draws.unbind(), slots.unbind(), rests.unbind(), strict=True):
            pair = self.policy.place(row, draw)
            if ahead is None:
                row = torch.add(first, self.transitions.draw(pair - from_model, slot, rest), alpha=width)
            else:
                row = ahead.index_select(0, pair)
            pairs.append(pair)
        pairs.append(row)
        taken = torch.stack(pairs).t().contiguous().sub_(first.unsqueeze(-1))
        actions.copy_(taken[:, :-1] & (width - 1))  # a row is a power of two
        states.copy_(taken.bitwise_right_shift_(width.bit_length() - 1))

    def _rows_ahead(self) -> Tensor:
        """For each pair of each batch element the row that it leads to, where no move is left to chance."""
        width, rows = self.policy.width, self.n_states * self.policy.width
        led = self.transitions.own.view(-1, rows)[self.model] * width
        return (led + rows * torch.arange(len(led), dtype=led.dtype, device=led.device).unsqueeze(-1)).flatten()

    def _by_time(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of the actions and of the moves, time first: a step then reads whole lines of memory."""
        if self.transitions.width > 1:
            turned = uniform.t().contiguous()
            return turned[1::2], turned[2::2]
        odd = torch.arange(1, uniform.shape[1], 2, device=uniform.device)
        draws = uniform.t().index_select(0, odd)  # a third of the time of a strided copy
        return draws, draws  # where there is one outcome, nobody reads the number of a move
