"""The statements of lesson 14."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="lost-life",
        source="Table 4; code only",
        claim=r"A lost life ends the return while game and score go on, and rewards are clipped to $[-1,1]$: "
        r"$G_t=\mathrm{clip}(r_t)+\gamma G_{t+1}$, without the second term where a life is lost.",
        functions=(
            "gmrl_lab.explorers.atari_game.discounted_returns",
            "gmrl_lab.atari.environments.VectorEnvironment",
        ),
        tests=(
            "tests/explorers/test_atari_explorers.py::test_returns_by_brute_force",
            "tests/atari/test_environments.py::test_a_lost_life_ends_the_return_and_not_the_game",
        ),
        lesson="14",
        anchor="What the network sees",
    ),
    Statement(
        id="finished-games",
        source="beyond the paper; Figures 4, 10",
        claim=r"The mean of games that have ended rises while nothing is learned: with $u_t=\sum_ip_iu_{t-L_i}$ it is "
        r"$\sum_iR_iF_i/\sum_iF_i$, $F_i(t)=p_i\sum_{s\le t-L_i}u_s$. The first game of each environment is a fair "
        "sample.",
        functions=("gmrl_lab.explorers.atari_finished.mean_of_finished",),
        tests=(
            "tests/explorers/test_atari_explorers.py::test_mean_of_finished_games_by_enumeration",
            "tests/explorers/test_atari_explorers.py::test_first_games_are_unbiased_and_finished_ones_are_not",
        ),
        lesson="14",
        anchor="A score that rises by itself",
    ),
    Statement(
        id="three-runs",
        source="beyond the paper; Figures 4, 10",
        claim=r"The 95% bootstrap interval of three runs is the lowest and the highest of them, since $(1/3)^3>2.5\%$; "
        r"it covers the median with probability $1-2\cdot2^{-3}=75\%$.",
        functions=("gmrl_lab.atari.figures.stratified_interval", "gmrl_lab.atari.figures.interquartile_mean"),
        tests=(
            "tests/explorers/test_lesson_14.py::test_interval_of_three_runs_is_their_range",
            "tests/atari/test_figures.py::test_interquartile_mean_is_scipys_trimmed_mean",
        ),
        lesson="14",
        anchor="The middle half",
    ),
    Statement(
        id="figure-10",
        source="Figures 4, 10",
        claim="With LVC in the policy term 3-step MGRL is at least as good as without it on almost all of eight games; "
        "A2C is sometimes better. Not decided here: the shipped runs are a thousandth of the paper's.",
        functions=("gmrl_lab.atari.figures.draw", "gmrl_lab.atari.figures.curve", "gmrl_lab.atari.figures.shipped"),
        tests=(
            "tests/atari/test_figures.py::test_every_panel_says_its_scale",
            "tests/atari/test_figures.py::test_what_is_shipped_says_what_made_it_and_can_be_drawn",
        ),
        lesson="14",
        anchor="Figures 4 and 10",
    ),
    Statement(
        id="figure-11",
        source="Figure 11",
        claim=r"Trajectories of $\gamma$, $\lambda$ and the two loss coefficients. Adam's step of $10^{-3}$ moves a "
        "logit by hardly more than that in a meta-update: short runs move them by a few hundredths.",
        functions=("gmrl_lab.atari.figures.draw",),
        tests=("tests/atari/test_figures.py::test_meta_parameters_have_a_panel_each_and_leave_the_baseline_out",),
        lesson="14",
        anchor="Figure 11",
    ),
    Statement(
        id="atari-bias",
        source="Figures 1(c, d), on Atari; Section 4.2",
        claim="At a frozen policy, against the exact truth, with infinitely many windows and three steps of training's "
        "length, AD's meta-gradient is off by 1.3% in Qbert and 77% in Assault, LVC's by less than 0.1% and 2.4%. The "
        "noise of 64 windows is 42% in Qbert, a thousandfold in Assault.",
        functions=(
            "gmrl_lab.atari.quality.meta_gradient_quality",
            "gmrl_lab.atari.recursion.expected_meta_gradients",
            "gmrl_lab.atari.tree.GameTree",
        ),
        tests=(
            "tests/atari/test_tree.py::test_the_truth_is_the_derivative_through_all_inner_steps",
            "tests/atari/test_quality_figure.py::test_a_row_of_the_shipped_table_is_what_the_shipped_graph_gives",
            "tests/explorers/test_lesson_14.py::test_the_bias_on_atari_lies_below_the_noise_and_lvc_repairs_it",
        ),
        lesson="14",
        anchor="The bias itself",
    ),
)
