"""Interactive explorers: a settings dataclass, a pure `compute`, a pure `draw`, and `Explorer` to wire them."""

from gmrl_lab.explorers.ablations import bias_ablations
from gmrl_lab.explorers.atari_finished import finished_games
from gmrl_lab.explorers.atari_game import atari_frames
from gmrl_lab.explorers.atari_live import atari_learning
from gmrl_lab.explorers.bias_cost import meta_training
from gmrl_lab.explorers.coin import coin
from gmrl_lab.explorers.composition import compositional
from gmrl_lab.explorers.controls import (
    Controls,
    choice,
    integer,
    log_slider,
    number,
    powers_of_two,
    slider,
    steps,
    switch,
    toggles,
)
from gmrl_lab.explorers.decomposition import maml_decomposition
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.explorers.figures import show
from gmrl_lab.explorers.first_order import policy_gradient
from gmrl_lab.explorers.framework import unified_framework
from gmrl_lab.explorers.hessian_bias import hessian_bias
from gmrl_lab.explorers.lirpg import lirpg_experiments
from gmrl_lab.explorers.lola import opponent_shaping
from gmrl_lab.explorers.lola_bias import lola_bias
from gmrl_lab.explorers.mgrl import through_updates
from gmrl_lab.explorers.mgrl_live import live_mgrl
from gmrl_lab.explorers.permutations import maml_permutations
from gmrl_lab.explorers.theorem import bias_variance_theorem
from gmrl_lab.explorers.two_targets import two_targets
from gmrl_lab.plots import DASHES, MARKERS, OKABE_ITO, base_layout, line_style

__all__ = [
    "DASHES",
    "MARKERS",
    "OKABE_ITO",
    "Controls",
    "Explorer",
    "atari_frames",
    "atari_learning",
    "base_layout",
    "bias_ablations",
    "bias_variance_theorem",
    "choice",
    "coin",
    "compositional",
    "finished_games",
    "hessian_bias",
    "integer",
    "line_style",
    "lirpg_experiments",
    "live_mgrl",
    "log_slider",
    "lola_bias",
    "maml_decomposition",
    "maml_permutations",
    "meta_training",
    "number",
    "opponent_shaping",
    "policy_gradient",
    "powers_of_two",
    "show",
    "slider",
    "steps",
    "switch",
    "through_updates",
    "toggles",
    "two_targets",
    "unified_framework",
]
