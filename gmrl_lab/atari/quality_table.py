"""The shipped measurement of the meta-gradient's quality: games at several inner learning rates, in one table.

    from gmrl_lab.atari.quality_table import measure
    measure("quality", {"runs/Qbert-mgrl-lvc-0/checkpoint.pt": 16, "runs/Assault-mgrl-lvc-0/checkpoint.pt": 4})

In the folder: a graph for each game, finished cells, from which an interrupted measurement goes on, and
atari_quality.parquet.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from gmrl_lab.atari.checkpoint import digest, load_checkpoint, read_identity
from gmrl_lab.atari.emulator import POLICY, EmulatorSource
from gmrl_lab.atari.grow import grow
from gmrl_lab.atari.provenance import made_by
from gmrl_lab.atari.quality import meta_gradient_quality
from gmrl_lab.atari.tree import GameTree
from gmrl_lab.learners.optimisers import Adam
from gmrl_lab.sweep import write_table

INNER_LRS = (0.1, 0.3)
"""In Qbert a step at the first is as long as one of training's Adam at its initial rate, 7e-4."""


def measure(
    folder: str | os.PathLike[str],
    checkpoints: Mapping[str, int],
    inner_lrs: Sequence[float] = INNER_LRS,
    n_windows: Sequence[int] = (16, 64, 256),
    n_inner: int = 5,
    n_trials: int = 32,
    seed: int = 0,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """`meta_gradient_quality` of each game at each inner learning rate, against the exact truth, written to a file.

    Args:
        folder: of all files, made if it is not there.
        checkpoints: of training runs, one for each game, and from how many start states to measure.
        inner_lrs: α.
        n_windows, n_inner, n_trials, seed, n_jobs: as for `meta_gradient_quality`.

    Returns:
        Its rows, after columns `game`, `inner_lr` and `step_length`, ‖α ∇J(θ⁰)‖.

    Raises:
        ValueError: for numbers out of range, files that are no checkpoints, or a game whose graph is too large.

    Taught in lesson 14.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    settings = f"inner_lrs={inner_lrs}, n_windows={n_windows}, n_inner={n_inner}, n_trials={n_trials}, seed={seed}"
    command = f"measure(folder, checkpoints, {settings})"
    made = {**made_by(torch.device("cpu")), "command": command, "seed": seed}
    tables, games = [], {}  # `games` says of each what it was grown from
    for checkpoint, n_starts in checkpoints.items():
        path, tree = _tree(place, Path(checkpoint), n_starts)
        game = str(tree.made["game"])
        sizes = {"states": tree.n_states, "observations": len(tree.observations)}
        games[game] = {**tree.made, **sizes, "training_step": training_step(Path(checkpoint))}
        length = gradient_length(tree)
        for lr in inner_lrs:
            table = meta_gradient_quality(
                path, n_windows, n_inner, lr, n_trials, seed=seed, cache=place / "cells", n_jobs=n_jobs
            )
            front = {"game": game, "inner_lr": lr, "step_length": lr * length}
            tables.append(pd.concat([pd.DataFrame(front, index=table.index), table], axis=1))
    everything = pd.concat(tables, ignore_index=True)
    write_table(place / "atari_quality.parquet", everything, {**made, "games": games})
    return everything


def gradient_length(tree: GameTree) -> float:
    """‖∇J(θ⁰)‖ of the policy as it was frozen, exactly.

    Taught in lesson 14.
    """
    leaf = {name: x.detach().requires_grad_() for name, x in tree.parameters.items()}
    value = tree.objective(leaf, torch.tensor(tree.discount))
    return float(torch.stack([x.square().sum() for x in torch.autograd.grad(value, list(leaf.values()))]).sum().sqrt())


def training_step(checkpoint: Path) -> float:
    """How far the last step of training's Adam moved the policy, ‖θ' − θ‖, had its rate still been the initial one.

    Taught in lesson 14.
    """
    state, lr, adam = load_checkpoint(checkpoint)["learner"], read_identity(checkpoint)["inner_lr"], Adam()
    count, mean, square = (state["optimiser"][name] for name in ("step", "mean", "square"))
    means, squares = 1 - adam.beta_1**count, 1 - adam.beta_2**count
    moves = (
        lr * (mean[name] / means) / ((square[name] / squares).sqrt() + adam.eps)
        for name in mean
        if name.startswith(POLICY)
    )
    return float(torch.stack([move.square().sum() for move in moves]).sum().sqrt())


def _tree(folder: Path, checkpoint: Path, n_starts: int) -> tuple[Path, GameTree]:
    """The graph of a checkpoint, grown if its file is not there; the name tells it from others."""
    path = folder / f"{read_identity(checkpoint)['game']}-{digest(checkpoint)[:8]}-{n_starts}.npz"
    if not path.exists():
        grow(EmulatorSource.load(checkpoint, n_starts)).save(path)
    return path, GameTree.load(path)
