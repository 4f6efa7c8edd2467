"""The statements of lesson 08."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="figure-1ab",
        source="Figure 1(a, b)",
        claim="MAML at $K=1$: with LVC the accuracy rises with the sample size, and inner update and Hessian matter "
        r"alike (ESE − SEE $0.007\pm0.014$); with AD only SEE approaches 1.",
        functions=("gmrl_lab.paper.figure_1", "gmrl_lab.permutations.permutations"),
        tests=("tests/test_paper_maml.py::test_figure_1_is_reproduced",),
        lesson="08",
        anchor="Figure 1(a, b): which part matters",
    ),
    Statement(
        id="figure-5",
        source="Figure 5",
        claim="The outer estimate matters most; LVC has less variance than Loaded DiCE; AD is worse wherever the "
        "Hessian is sampled. DiCE is worst but for AD's plateau, and LVC and Loaded DiCE are alike from 128 "
        "trajectories on.",
        functions=("gmrl_lab.paper.figure_5", "gmrl_lab.permutations.permutations"),
        tests=(
            "tests/test_paper_maml.py::test_figure_5_is_reproduced_but_for_the_plateau",
            "tests/test_paper_maml.py::test_loaded_dice_catches_up_with_lvc",
        ),
        lesson="08",
        anchor="Figure 5: seven ways to sample, four estimators",
    ),
    Statement(
        id="intervals-over-mdps",
        source="beyond the paper",
        claim="A claim about MDPs of a kind has as many witnesses as MDPs: its interval is more than twice that of the "
        "trials.",
        functions=("gmrl_lab.paper.draw",),
        tests=("tests/test_paper_maml.py::test_mdps_differ_more_than_trials",),
        lesson="08",
        anchor="Who are the witnesses?",
    ),
    Statement(
        id="ad-plateau",
        source="beyond the paper: Figure 1(b)",
        claim=r"AD's plateau is what a wrong value table makes of its Hessian: at $\theta=0$ a factor "
        r"$1+\tfrac\alpha{|A|}d(s)\delta(s)$ for each state, the same for all trajectories that share the table.",
        functions=("gmrl_lab.paper.value_noise", "gmrl_lab.exact.hessian_parts"),
        tests=(
            "tests/test_paper_maml.py::test_the_plateau_is_a_factor_for_each_state",
            "tests/test_paper_maml.py::test_the_plateau_is_where_the_factors_put_it",
            "tests/test_paper_maml.py::test_a_value_table_for_each_trajectory_removes_the_plateau",
        ),
        lesson="08",
        anchor="Why AD does not improve",
    ),
    Statement(
        id="figure-6-7",
        source="Figures 6 and 7",
        claim=r"With $\alpha$ and $K$ the error of sampled inner updates grows far faster than that of a sampled outer "
        "gradient and catches up with it; ten MDPs do not settle which is larger in the end.",
        functions=("gmrl_lab.paper.figure_6", "gmrl_lab.paper.figure_7"),
        tests=("tests/test_paper_maml.py::test_the_inner_error_catches_up",),
        lesson="08",
        anchor="Figures 6 and 7: larger steps, more steps",
    ),
)
