"""The statements of lesson 10."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="figure-1cd",
        source="Figures 1(c, d) and 8",
        claim=r"LIRPG: at $K=1$ LVC and AD are alike; as $K$ grows LVC's correlation stays high and AD's drops.",
        functions=("gmrl_lab.paper.figure_8", "gmrl_lab.paper.verdicts.verdicts"),
        tests=(
            "tests/test_lirpg_experiments.py::test_one_step_needs_no_hessian",
            "tests/test_lirpg_experiments.py::test_claims_about_figure_8",
        ),
        lesson="10",
        anchor="Figures 1(c, d) and 8",
    ),
    Statement(
        id="ad-variance-stays",
        source="beyond the paper",
        claim=r"AD's error at $K=5$ is mostly a variance that more trajectories do not cure: the value noise is drawn "
        "once for all of them.",
        functions=("gmrl_lab.paper.figure_8",),
        tests=("tests/test_lirpg_experiments.py::test_more_trajectories_do_not_cure_autodiff",),
        lesson="10",
        anchor="Figures 1(c, d) and 8",
    ),
    Statement(
        id="detached-baseline",
        source="beyond the paper",
        claim=r"With GAE and a detached exact $\hat V$ a reward $l$ steps ahead counts $(\gamma\lambda)^l$ in "
        r"$\nabla_\phi$, not $\gamma^l$.",
        functions=("gmrl_lab.Sampled", "gmrl_lab.Expected"),
        tests=("tests/test_lirpg_experiments.py::test_a_detached_baseline_discounts_by_gamma_lambda",),
        lesson="10",
        anchor="A reward three steps away",
    ),
    Statement(
        id="cost-of-bias",
        source="beyond the paper; Eq. 11",
        claim=r"Over 100 outer steps the bias of AD's Hessian alone costs MAML 3% ($K=1$) to 15% ($K=3$) of what the "
        "exact meta-gradient gains, and LIRPG nothing; with samples AD loses more.",
        functions=("gmrl_lab.paper.training.Training",),
        tests=(
            "tests/test_lirpg_experiments.py::test_what_the_bias_costs",
            "tests/test_lirpg_experiments.py::test_shipped_training_is_what_the_code_computes",
        ),
        lesson="10",
        anchor="What does the bias cost?",
    ),
)
