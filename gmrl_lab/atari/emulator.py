"""One Atari emulator whose state can be kept and taken back: windows that all start where a frozen policy once was."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gmrl_lab._validate import bad, check_whole
from gmrl_lab.atari.checkpoint import digest, load_checkpoint, read_identity
from gmrl_lab.atari.environments import FRAME_SKIP, GAMES
from gmrl_lab.atari.network import Network
from gmrl_lab.atari.windows import HORIZON, Source, Windows
from gmrl_lab.learners.optimisers import Parameters
from gmrl_lab.seeding import Generators

N_STARTS = 16
"""Start states of the windows."""
SPACING = 15
"""Steps between two of them, at least."""
MAX_STEPS = 20_000
"""Of play in search of them."""
MAX_IDLE = 30
N_FRAMES = 4
POLICY = ("conv", "hidden", "policy")
"""Parameters that the policy depends on; the others are the critic's alone."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A state of the emulator and the frames `(4, size, size)` that a policy sees there."""

    state: Any
    frames: Bytes


class Emulator:
    """One game, seen as `ale_py.AtariVectorEnv` shows it, with states that can be restored.

    Args:
        game: its usual name, as "Qbert".
        size: of the picture.

    Raises:
        ModuleNotFoundError: without ale_py, the extra [atari].

    Taught in lesson 14.
    """

    def __init__(self, game: str, size: int) -> None:
        try:
            from ale_py import ALEInterface, LoggerMode, roms
        except ModuleNotFoundError as error:
            words = f"Atari games need {error.name}: pip install 'gmrl_lab[atari]'"
            raise ModuleNotFoundError(words, name=error.name) from error
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale: Any = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.setInt("random_seed", 0)
        rom: Any = roms.get_rom_path(GAMES[game])
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()
        height, width = self._ale.getScreenDims()
        self._rows, self._columns = _area_weights(height, size), _area_weights(width, size)
        self._frames = np.zeros((N_FRAMES, size, size), np.uint8)

    @property
    def frames(self) -> Bytes:
        """The last four frames `(4, size, size)`, the newest last."""
        return self._frames

    @property
    def screen(self) -> Bytes:
        """What a player sees now, in red, green and blue: `(height, width, 3)`."""
        return np.asarray(self._ale.getScreenRGB())

    @property
    def n_actions(self) -> int:
        """Number of actions."""
        return len(self._actions)

    @property
    def idle_at_start(self) -> int:
        """Frames that the emulator itself lets pass at the start of a game."""
        self._ale.reset_game()
        return int(self._ale.getEpisodeFrameNumber())

    def reset(self, idle: int) -> None:
        """Start a game, with so many idle frames; the first presses FIRE where there is such an action."""
        from ale_py import Action

        self._ale.reset_game()
        for frame in range(idle):
            self._ale.act(Action.FIRE if frame == 0 and Action.FIRE in self._actions else Action.NOOP)
        self._frames = np.zeros_like(self._frames)
        self._see(self._ale.getScreenGrayscale())

    def step(self, action: int) -> tuple[float, bool, bool]:
        """Four frames of an action: the reward, whether a life was lost, whether the game is over."""
        lives, reward, screens = self._ale.lives(), 0, []
        for frame in range(FRAME_SKIP):
            reward += self._ale.act(self._actions[action])
            if self._ale.game_over():
                break
            if frame >= FRAME_SKIP - 2:
                screens.append(self._ale.getScreenGrayscale())
        over = bool(self._ale.game_over())
        if not over:
            self._see(np.maximum(*screens))
        return float(reward), over or self._ale.lives() < lives, over

    def keep(self) -> Snapshot:
        """The state as it is, to return to."""
        return Snapshot(self._ale.cloneState(), self._frames)

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a kept state."""
        self._ale.restoreState(snapshot.state)
        self._frames = snapshot.frames

    def _see(self, screen: Bytes) -> None:
        """A frame reduced by area, as OpenCV does it; ties go to the even number."""
        small = self._rows @ screen.astype(np.float32) @ self._columns.T
        self._frames = np.concatenate([self._frames[1:], np.rint(small).astype(np.uint8)[None]])


class EmulatorSource(Source):
    """Windows of an Atari policy from a fixed set of start states, which that policy itself has reached.

    In each of them the next action matters: of two actions at least the emulator's next states differ. Most states of
    Qbert are not of this kind: while it jumps or falls the game does not listen.

    Args:
        game: its usual name.
        size: of the picture.
        network, parameters: of policy and critic at the checkpoint.
        discount: γ of the outer objective, on which the critic is conditioned.
        reward_clip: rewards are seen in [−clip, clip].
        n_starts: start states.
        made: which run's, in plain values by name.

    Raises:
        ValueError: for a game in which too few such states are met.

    Taught in lesson 14.
    """

    batched = False

    def __init__(
        self,
        game: str,
        size: int,
        network: Network,
        parameters: Parameters,
        discount: float,
        reward_clip: float,
        n_starts: int = N_STARTS,
        made: Mapping[str, Any] | None = None,
    ) -> None:
        self.network, self.discount, self.reward_clip = network, discount, reward_clip
        check_whole("n_starts", n_starts, 1)
        self._all = parameters
        self.parameters = {name: x for name, x in parameters.items() if name.startswith(POLICY)}
        self.emulator = Emulator(game, size)
        self.starts, tried = self._collect(n_starts, torch.Generator().manual_seed(0))
        self.made = {
            "game": game,
            "size": size,
            "n_starts": n_starts,
            "share_of_states": n_starts / tried,
            **(made or {}),
        }

    @classmethod
    def load(cls, path: Path, n_starts: int = N_STARTS) -> "EmulatorSource":
        """From a checkpoint of a training run on one of the games.

        Raises:
            ValueError: if it is no checkpoint, or one of another environment.
        """
        identity, learner = read_identity(path), load_checkpoint(path)["learner"]
        game, size = identity["game"], identity["size"]
        if game not in GAMES:
            raise bad("source", f"a checkpoint of {game!r}", "one of " + ", ".join(GAMES))
        parameters = learner["parameters"]
        n_actions = len(parameters["policy.bias"])
        network = Network(identity["network"], (N_FRAMES, size, size), n_actions)
        made = {"variant": identity["variant"], "seed": identity["seed"], "steps": learner["env_steps"]}
        made["checkpoint"] = digest(path)
        return cls(game, size, network, parameters, identity["discount"], identity["reward_clip"], n_starts, made)

    @torch.no_grad()
    def draw(self, parameters: Parameters, n: int, generator: Generators) -> Windows:
        """n windows from start states drawn uniformly; all act together, the emulator takes them in turn."""
        assert isinstance(generator, torch.Generator)
        which = torch.randint(len(self.starts), (n,), generator=generator).tolist()
        now = [self.starts[i] for i in which]
        alive = torch.ones(n, HORIZON + 1, dtype=torch.bool)
        rewards = torch.zeros(n, HORIZON)
        seen, actions = [], []
        for t in range(HORIZON):
            seen.append(torch.from_numpy(np.stack([each.frames for each in now])))
            actions.append(self._act(parameters, seen[-1], generator))
            for i in alive[:, t].nonzero().flatten().tolist():
                self.emulator.restore(now[i])
                rewards[i, t], ended, _ = self.emulator.step(int(actions[-1][i]))
                alive[i, t + 1 :] = not ended
                now[i] = self.emulator.keep()
        seen.append(torch.from_numpy(np.stack([each.frames for each in now])))
        observations = torch.stack(seen, 1)
        values = self.value(observations.flatten(0, 1)).view(alive.shape) * alive
        clipped = rewards.clamp(-self.reward_clip, self.reward_clip)
        each, living = torch.arange(n * HORIZON).view(n, HORIZON), alive[:, :-1].to(rewards.dtype)
        return Windows(observations[:, :-1].flatten(0, 1), each, torch.stack(actions, 1), clipped, values, living)

    @torch.no_grad()
    def value(self, observations: Tensor) -> Tensor:
        """V̂ of the checkpoint at observations `(m, 4, size, size)`: `(m,)`."""
        discount = torch.tensor(self.discount)
        parts = (self.network.features(self._all, part) for part in observations.split(1024))
        return torch.cat([self.network.value(self._all, x, discount) for x in parts])

    def _act(self, parameters: Parameters, seen: Tensor, generator: torch.Generator) -> Tensor:
        policy = self.network.logits(parameters, self.network.features(parameters, seen)).softmax(-1)
        return torch.multinomial(policy, 1, generator=generator).squeeze(-1)

    @torch.no_grad()
    def _collect(self, n_starts: int, generator: torch.Generator) -> tuple[list[Snapshot], int]:
        """States of the policy's own games, some steps apart, and how many were tried for them."""
        starts: list[Snapshot] = []
        over, tried, wait = True, 0, 0
        for _ in range(MAX_STEPS):
            if over:
                self.emulator.reset(1 + int(torch.randint(MAX_IDLE, (1,), generator=generator)))
            if wait <= 0:
                tried += 1
                if self._matters():
                    starts.append(self.emulator.keep())
                    wait = SPACING
            if len(starts) == n_starts:
                return starts, tried
            seen = torch.from_numpy(self.emulator.frames)[None]
            _, _, over = self.emulator.step(int(self._act(self.parameters, seen, generator)))
            wait -= 1
        raise bad("n_starts", n_starts, f"at most {len(starts)}: this policy met no more states in {MAX_STEPS:,} steps")

    def _matters(self) -> bool:
        """Whether the next action makes a difference."""
        here, states = self.emulator.keep(), set()
        for action in range(self.network.n_actions):
            self.emulator.step(action)
            states.add(self.emulator.keep().state.serialize())
            self.emulator.restore(here)
        return len(states) > 1


def _area_weights(n: int, size: int) -> NDArray[np.float32]:
    """How much of each of n pixels a pixel of the smaller picture covers, `(size, n)`; rows sum to 1."""
    edges = np.arange(size + 1) * (n / size)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(n)
    covered = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0.0, None)
    return np.asarray(covered * (size / n), np.float32)
