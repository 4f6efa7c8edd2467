"""Randomness: only through explicit generators, split so that one role's draws never move another's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_whole

Generators = torch.Generator | Sequence[torch.Generator]
"""One generator for a whole batch, or one for each element of the leading dimension."""


@dataclass(frozen=True, eq=False)
class Streams:
    """The two streams that a random oracle reads: trajectories, and noise on the value baseline."""

    rollout: Generators
    noise: Generators

    @classmethod
    def of(cls, generator: "Streams | Generators | None", user: str) -> "Streams":
        """Both streams from one generator; raises a ValueError that names the `user` if there is none."""
        if generator is None:
            raise bad("generator", None, f"a torch.Generator (or one per trial): {user} draws random numbers")
        return generator if isinstance(generator, Streams) else cls(generator, generator)


def generators(seed: int, n_trials: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """One independent generator per trial; trial i is the same whatever `n_trials` is.

    Seeds come from `numpy.random.SeedSequence((seed, i))`, so that they are independent for any two pairs.

    Raises:
        ValueError: for a negative seed or fewer than one trial.

    Taught in lesson 02.
    """
    check_whole("seed", seed, 0)
    check_whole("n_trials", n_trials, 1)
    words = [np.random.SeedSequence((seed, trial)).generate_state(1, np.uint64)[0] for trial in range(n_trials)]
    return [torch.Generator(device).manual_seed(int(word) >> 1) for word in words]


def spawn_roles(generator: Generators | None, roles: tuple[str, ...]) -> dict[str, Streams | None]:
    """Independent streams for each role, drawn in the order of `roles` and then the noise, used or not.

    Every role gets its own seeds at once, so that making one role exact leaves the draws of the others as they were.
    """
    if generator is None:
        return dict.fromkeys(roles)
    parents = [generator] if isinstance(generator, torch.Generator) else list(generator)
    families = [_children(parent, len(roles) + 1) for parent in parents]
    noises = [_children(family[-1], len(roles)) for family in families]

    def pack(children: list[torch.Generator]) -> Generators:
        return children[0] if isinstance(generator, torch.Generator) else children

    return {
        role: Streams(pack([family[i] for family in families]), pack([noise[i] for noise in noises]))
        for i, role in enumerate(roles)
    }


def clone(streams: Streams | None) -> Streams | None:
    """Streams that will draw the same numbers as `streams`, independently of it."""

    def copy(generator: Generators) -> Generators:
        return (
            generator.clone_state() if isinstance(generator, torch.Generator) else [g.clone_state() for g in generator]
        )

    return None if streams is None else Streams(copy(streams.rollout), copy(streams.noise))


def check_generator(generator: Generators, device: torch.device, leading: int | None) -> None:
    """Raise a ValueError for a generator on another device, or a list that does not fit the leading dimension."""
    each = list(generator) if isinstance(generator, Sequence) else [generator]
    if not all(isinstance(one, torch.Generator) for one in each):
        raise bad("generator", repr(generator), "a torch.Generator, or a list with one for each leading element")
    if isinstance(generator, Sequence) and len(each) != leading:
        one_each = f"a list of {leading}, one for each element of the leading dimension"
        single = "a single generator, since there is no leading dimension; or n_trials set to the list's length"
        raise bad("generator", f"a list of {len(each)}", single if leading is None else one_each)
    for one in each:
        if one.device.type != device.type:
            raise bad("generator", f"one on {one.device}", f"one on {device}, as the MDP")


def fill_uniform(buffer: Tensor, first_row: int, rows_per_generator: int, generator: Generators) -> Tensor:
    """Fill rows of U[0, 1): row r belongs to generator r // rows_per_generator, counted from `first_row`."""
    if isinstance(generator, torch.Generator):
        return buffer.uniform_(generator=generator)
    row = 0
    while row < len(buffer):
        owner, used = divmod(first_row + row, rows_per_generator)
        end = min(len(buffer), row + rows_per_generator - used)
        buffer[row:end].uniform_(generator=generator[owner])
        row = end
    return buffer


def normal(shape: tuple[int, ...], generator: Generators, like: Tensor) -> Tensor:
    """Standard normal numbers of `shape`, with the dtype and device of `like`."""
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    return torch.stack([normal(shape[1:], one, like) for one in generator])


def _children(parent: torch.Generator, n: int) -> list[torch.Generator]:
    seeds = torch.randint(2**63 - 1, (n,), generator=parent, device=parent.device).tolist()
    return [torch.Generator(parent.device).manual_seed(seed) for seed in seeds]
