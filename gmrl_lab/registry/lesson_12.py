"""The statements of lesson 12."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="figure-3",
        source="Figure 3",
        claim="With 128 inner samples LOLA-DiCE fails to cooperate, with 1024 or an exact inner part it succeeds; a "
        "better compositional part, a better Hessian and off-policy samples each raise the return.",
        functions=("gmrl_lab.paper.figure_3", "gmrl_lab.paper.verdicts.verdicts"),
        tests=(
            "tests/test_paper_lola.py::test_a_table_as_the_paper_describes_it_passes",
            "tests/test_paper_lola.py::test_the_first_rows_of_what_is_shipped_come_out_again",
        ),
        lesson="12",
        anchor="Figure 3",
    ),
    Statement(
        id="figure-9",
        source="Figure 9",
        claim="Exact inner estimation lifts the correlation with the exact meta-gradient far more than the return.",
        functions=("gmrl_lab.paper.figure_9", "gmrl_lab.paper.verdicts.verdicts"),
        tests=("tests/test_paper_lola.py::test_a_table_as_the_paper_describes_it_passes",),
        lesson="12",
        anchor="Figure 9",
    ),
    Statement(
        id="old-plays",
        source="beyond the paper; Section 5.2",
        claim=r"Of stored plays of $T$ rounds between coin-throwers whose logits have moved by $\delta$ since, a share "
        r"of $\cosh(\delta/2)^{-4T}\approx e^{-T\delta^2/2}$ still counts.",
        functions=("gmrl_lab.learners.replay.expected_shares", "gmrl_lab.learners.replay.effective_sizes"),
        tests=(
            "tests/test_learners_replay.py::test_expected_shares_by_enumeration",
            "tests/test_learners_replay.py::test_expected_shares_after_some_updates",
        ),
        lesson="12",
        anchor="What is an old play worth?",
    ),
    Statement(
        id="baseline-correction",
        source="beyond the paper; Table 3",
        claim="A baseline fitted to immediate rewards, as in the published code, takes 8% off the variance of DiCE's "
        r"gradient, one fitted to returns over 98%. Its published first-order term leaves $\nabla_\phi\nabla_\theta "
        r"V^2$ as noisy as it was.",
        functions=("gmrl_lab.learners.baselines.FittedValues", "gmrl_lab.DiCE"),
        tests=(
            "tests/test_dice_two_agents.py::test_how_much_variance_each_baseline_takes_away",
            "tests/test_dice_two_agents.py::test_what_that_does_to_the_meta_gradient",
        ),
        lesson="12",
        anchor="What a baseline is fitted to",
    ),
)
