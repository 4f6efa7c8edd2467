"""A matrix game for two learners, as a PettingZoo parallel environment."""

from typing import Any

from gymnasium.spaces import Discrete

from gmrl_lab._validate import bad, check_whole
from gmrl_lab.games import START, MatrixGame

try:
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("gmrl_lab.envs.parallel needs PettingZoo: pip install 'gmrl_lab[games]'") from error

PLAYERS = ("player_1", "player_2")


class ParallelGame(ParallelEnv[str, int, int]):  # type: ignore[misc]
    """Both players of a matrix game move at once; action 0 is COOPERATE, 1 is DEFECT.

    Each observes what both just played, its own action first: 0 at the start, then 1 to 4 for CC, CD, DC, DD.

    Args:
        game: one game, no batch.
        n_rounds: after which both are truncated.

    Raises:
        ValueError: for a batch of games, or fewer than one round.

    Taught in lesson 11.
    """

    metadata = {"name": "matrix_game_v0", "render_modes": []}  # noqa: RUF012 (the form that PettingZoo asks for)

    def __init__(self, game: MatrixGame, n_rounds: int = 100) -> None:
        if game.batch_shape:
            raise bad("game", f"a batch {tuple(game.batch_shape)}", "a single game, without batch dimensions")
        check_whole("n_rounds", n_rounds, 1)
        self.possible_agents, self.n_rounds = list(PLAYERS), n_rounds
        sees, moves = Discrete(5), Discrete(2)
        self.observation_space, self.action_space = (lambda _: sees), (lambda _: moves)
        self._payoffs = [mdp.rewards[START].tolist() for mdp in game.mdps]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], ...]:
        """Both at the start; a seed changes nothing, since only the players throw dice."""
        self.agents, self._round = list(PLAYERS), 0
        return dict.fromkeys(PLAYERS, START), {name: {} for name in PLAYERS}

    def step(self, actions: dict[str, int]) -> tuple[dict[str, Any], ...]:
        """What each saw and was paid; both are truncated after the last round."""
        one, two = (int(actions[name]) for name in PLAYERS)
        joint = dict(zip(PLAYERS, (2 * one + two, 2 * two + one), strict=True))  # own action first
        self._round += 1
        over = self._round == self.n_rounds
        self.agents = [] if over else self.agents
        paid = {name: payoff[joint[name]] for name, payoff in zip(PLAYERS, self._payoffs, strict=True)}
        seen, infos = {name: 1 + joint[name] for name in PLAYERS}, {name: dict[str, Any]() for name in PLAYERS}
        return seen, paid, dict.fromkeys(PLAYERS, False), dict.fromkeys(PLAYERS, over), infos
