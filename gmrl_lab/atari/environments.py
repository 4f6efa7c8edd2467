"""Environments for the learner by their usual names: Atari games, Gymnasium's classics and the random MDP.

environment = make("Qbert", n_envs=64, seed=0)
batch = environment.rollout(policy, n_steps=5)
games = environment.pop_finished()            # true returns, over all lives, of the games that ended
"""

from gmrl_lab._validate import bad, check_whole
from gmrl_lab.atari.vector import VectorEnvironment

GAMES = {
    "Asteroids": "asteroids",
    "Qbert": "qbert",
    "Tennis": "tennis",
    "BeamRider": "beam_rider",
    "Alien": "alien",
    "Assault": "assault",
    "DoubleDunk": "double_dunk",
    "Seaquest": "seaquest",
}
"""The paper's eight games (Fig. 10) and the names of their ROMs."""

SMALL = {
    "RandomMDP": "gmrl_lab/RandomMDP-v0",
    "CartPole": "CartPole-v1",
    "Acrobot": "Acrobot-v1",
    "MountainCar": "MountainCar-v0",
}
"""What the same learner plays in seconds, and the names in Gymnasium."""

FRAME_SKIP = 4
MAX_STEPS = 27_000
"""Of a game: half an hour at 60 frames a second, as usual."""


def make(
    name: str, n_envs: int, seed: int, size: int = 84, max_steps: int = MAX_STEPS, n_threads: int = 0
) -> VectorEnvironment:
    """N environments by their usual name.

    Args:
        name: one of the paper's games, as "Qbert" (84x84 gray, 4 frames, each action for 4 frames, up to 30 idle
            frames at the start, no sticky actions), or "RandomMDP", "CartPole", "Acrobot", "MountainCar".
        n_envs: N.
        seed: of all randomness here.
        size: of the picture (games only).
        max_steps: after which a game is cut off (games only).
        n_threads: that step the emulators (games only); 0 leaves it to them. It changes no result.

    Raises:
        ValueError: for an unknown name or a number out of range.
        ModuleNotFoundError: without the emulator (the extra [atari]) or Gymnasium ([lab]).

    Taught in lesson 13.
    """
    for argument, value, least in (("n_envs", n_envs, 1), ("seed", seed, 0), ("size", size, 1)):
        check_whole(argument, value, least)
    check_whole("max_steps", max_steps, 1)
    check_whole("n_threads", n_threads, 0)
    from gmrl_lab.atari.backends import Emulators, Loop

    if name in GAMES:
        return VectorEnvironment(Emulators(GAMES[name], n_envs, seed, size, max_steps, n_threads), n_envs, seed)
    if name in SMALL:
        return VectorEnvironment(Loop(SMALL[name], n_envs, seed), n_envs, seed)
    raise bad("name", repr(name), "one of " + ", ".join([*GAMES, *SMALL]))
