"""Gymnasium environments: `import gmrl_lab.envs` registers `gmrl_lab/RandomMDP-v0` and `gmrl_lab/MatrixGame-v0`."""

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("gmrl_lab.envs needs Gymnasium: pip install 'gmrl_lab[lab]'", name=error.name) from error

from gmrl_lab.envs.games import MatrixGameEnv, matrix_game_env
from gmrl_lab.envs.tabular import TabularEnv, random_mdp_env

gymnasium.register("gmrl_lab/RandomMDP-v0", entry_point="gmrl_lab.envs.tabular:random_mdp_env", max_episode_steps=20)
gymnasium.register("gmrl_lab/MatrixGame-v0", entry_point="gmrl_lab.envs.games:matrix_game_env", max_episode_steps=100)

__all__ = ["MatrixGameEnv", "TabularEnv", "matrix_game_env", "random_mdp_env"]
