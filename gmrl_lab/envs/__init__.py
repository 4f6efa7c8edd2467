"""Tabular MDPs as Gymnasium environments: `import gmrl_lab.envs` registers `gmrl_lab/RandomMDP-v0`."""

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("gmrl_lab.envs needs Gymnasium: pip install 'gmrl_lab[lab]'", name=error.name) from error

from gmrl_lab.envs.tabular import TabularEnv, random_mdp_env

gymnasium.register("gmrl_lab/RandomMDP-v0", entry_point="gmrl_lab.envs.tabular:random_mdp_env", max_episode_steps=20)

__all__ = ["TabularEnv", "random_mdp_env"]
