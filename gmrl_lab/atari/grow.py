"""Grow the graph of a game's next T steps: every action from every state that can be reached, each state once."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import torch

from gmrl_lab._validate import bad, check_whole, lab_extra
from gmrl_lab.atari.emulator import EmulatorSource, Snapshot
from gmrl_lab.atari.layers import Layer
from gmrl_lab.atari.tree import GameTree
from gmrl_lab.atari.windows import HORIZON

Moves = list[tuple[int, float]]
"""For each action the row in the next layer, −1 if the return is over, and the reward."""
LIMIT = 50_000
"""States of one layer: each takes a millisecond for each action, and 11 kB of memory."""


def grow(
    source: EmulatorSource,
    horizon: int = HORIZON,
    limit: int = LIMIT,
    progress: bool = True,
) -> GameTree:
    """The graph of all windows from a source's start states.

    Two states after equally many steps are one if emulator and frames are equal in them, byte for byte.
    States after five steps, for each start state: 17 in Qbert, where 7,776 windows differ in their actions, 200 in
    BeamRider, 2,400 in Assault. In Alien there are over 600 after four steps, in Asteroids over 1,400 after three.

    Args:
        source: a game, and the policy and the critic of a checkpoint.
        horizon: T.
        limit: states of a layer.
        progress: show a bar.

    Raises:
        ValueError: for numbers out of range, or a game whose graph is larger than `limit`.

    Taught in lesson 14.
    """
    check_whole("horizon", horizon, 1)
    states, layers = _States(), []
    seen: dict[bytes, int] = {}
    starts = [states.row(start) for start in source.starts]
    for t in range(horizon):
        after = _States()
        moves = list(_moves(source, states, after, f"step {t + 1} of {horizon}", progress))
        if len(after) > limit:
            words = f"at most {limit} (`limit`), which suits Qbert, BeamRider and Assault: take fewer start states, or "
            words += "reference='LoadedDiCE' on the checkpoint itself"
            raise bad("source", f"{len(after)} states of {source.made['game']} after {t + 1} steps", words)
        layers.append(_layer(source, states, seen, moves, source.network.n_actions, len(after)))
        states = after
    layers.append(_layer(source, states, seen, [], 0, 0))
    shape = (len(seen), *source.network.observation_shape)
    observations = torch.from_numpy(np.frombuffer(b"".join(seen), np.uint8).reshape(shape).copy())
    return GameTree(
        source.network, source.parameters, source.discount, observations, layers, torch.tensor(starts), source.made
    )


class _States:
    """The states of a layer in the order of their discovery."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self._rows: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.snapshots)

    def row(self, snapshot: Snapshot) -> int:
        """Its row, a new one if no equal state is there."""
        key = blake2b(snapshot.state.serialize() + snapshot.frames.tobytes()).digest()
        if key not in self._rows:
            self._rows[key] = len(self.snapshots)
            self.snapshots.append(snapshot)
        return self._rows[key]


def _moves(source: EmulatorSource, states: _States, after: _States, title: str, progress: bool) -> Iterator[Moves]:
    """Every action from each state."""
    with lab_extra():
        from tqdm.auto import tqdm

    for snapshot in tqdm(states.snapshots, desc=title, disable=not progress):
        moves = []
        for action in range(source.network.n_actions):
            source.emulator.restore(snapshot)
            reward, ended, _ = source.emulator.step(action)
            moves.append((-1 if ended else after.row(source.emulator.keep()), reward))
        yield moves


def _layer(
    source: EmulatorSource, states: _States, seen: dict[bytes, int], moves: list[Moves], n_actions: int, n_after: int
) -> Layer:
    """Tensors, with the row of what is over; frames that were not seen before are numbered in `seen`."""
    frames = [snapshot.frames for snapshot in states.snapshots]
    rows = [seen.setdefault(each.tobytes(), len(seen)) for each in frames] if n_actions else [0] * len(frames)
    values = source.value(torch.from_numpy(np.stack(frames))) if frames else torch.zeros(0)
    table = torch.tensor([*moves, [(-1, 0.0)] * n_actions]).view(len(frames) + 1, n_actions, 2)
    children = table[..., 0].long()
    return Layer(
        values=torch.cat([values, torch.zeros(1)]),
        seen=torch.tensor([*rows, 0]),
        children=torch.where(children < 0, n_after, children),
        rewards=table[..., 1].clamp(-source.reward_clip, source.reward_clip),
    )
