"""The statements of lesson 07."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="assumption-4.1",
        source="Assumption 4.1",
        claim=r"$\nabla J^{Out}$ is bounded and Lipschitz. For a tabular softmax it is, with constants that depend on "
        r"$\gamma$ and the largest reward alone.",
        functions=("gmrl_lab.bounds.global_constants", "gmrl_lab.assumptions.steepness"),
        tests=(
            "tests/test_assumptions.py::test_policy_gradient_is_bounded_and_lipschitz",
            "tests/test_assumptions.py::test_a_greedy_policy_has_no_lipschitz_gradient",
        ),
        lesson="07",
        anchor="The assumptions, checked",
    ),
    Statement(
        id="assumption-4.2",
        source="Assumption 4.2",
        claim=r"$\nabla_\theta J^{In}$ has bounded, Lipschitz derivatives in $\phi$ and $\theta$. For a tabular "
        "softmax it has.",
        functions=("gmrl_lab.bounds.global_constants", "gmrl_lab.assumptions.steepness"),
        tests=(
            "tests/test_assumptions.py::test_inner_gradient_is_smooth_in_both",
            "tests/test_assumptions.py::test_hessian_is_lipschitz_too",
        ),
        lesson="07",
        anchor="The assumptions, checked",
    ),
    Statement(
        id="assumption-4.3",
        source="Assumption 4.3",
        claim=r"The inner gradient estimate is unbiased with variance at most $\sigma_{In}^2/n$: on-policy, with GAE "
        r"$\lambda=1$, against the objective with the same horizon and bootstrap.",
        functions=("gmrl_lab.assumptions.gradient_moments",),
        tests=(
            "tests/test_assumptions.py::test_inner_estimate_is_unbiased_with_bounded_variance",
            "tests/test_assumptions.py::test_variance_stays_bounded_near_determinism",
        ),
        lesson="07",
        anchor="The assumptions, checked",
    ),
    Statement(
        id="appendix-d",
        source="Appendix D",
        claim="Where the assumptions fail: the horizon, a short GAE with inexact values, off-policy data (bias, or a "
        r"variance without bound), features of unbounded size.",
        functions=("gmrl_lab.assumptions.gradient_moments", "gmrl_lab.assumptions.ratio_second_moment"),
        tests=(
            "tests/test_assumptions.py::test_assumptions_fail_where_appendix_d_says",
            "tests/test_assumptions.py::test_second_moment_explodes_with_the_horizon",
            "tests/test_assumptions.py::test_features_scale_the_constant_by_their_square",
        ),
        lesson="07",
        anchor="Where they fail",
    ),
    Statement(
        id="appendix-b-k-sample",
        source="Appendix B",
        claim=r"$J^{K\text{-sample}}(\phi)=E[J^{Out}(\phi,\hat\theta^K)]$ has the score term "
        r"$E[J^{Out}\sum_k\nabla_\phi\log p(\tau_k)]$ of E-MAML, which EPG leaves out.",
        functions=("gmrl_lab.targets.k_sample_objective", "gmrl_lab.targets.k_sample_gradient"),
        tests=(
            "tests/test_targets.py::test_k_sample_gradient",
            "tests/test_targets.py::test_full_score_is_unbiased_for_the_k_sample_target",
            "tests/test_targets.py::test_anything_else_is_not",
        ),
        lesson="07",
        anchor="Two targets",
    ),
    Statement(
        id="score-is-curvature",
        source="beyond the paper",
        claim=r"To first order the score term is $\alpha(H-H_2)v$, what AD's Hessian forgets: LVC or DiCE in the path "
        r"together with the score count it twice. The two targets are $O(1/n)$ apart.",
        functions=("gmrl_lab.targets.every_estimate",),
        tests=(
            "tests/test_targets.py::test_the_score_is_the_curvature_that_autodiff_forgets",
            "tests/test_targets.py::test_curvature_and_score_count_the_same_thing_twice",
            "tests/test_targets.py::test_the_gap_of_the_targets_is_one_over_n_for_small_steps",
            "tests/test_targets.py::test_dice_is_biased_for_both_targets_like_one_over_n",
            "tests/test_targets.py::test_dice_is_nearer_to_one_target_or_the_other",
        ),
        lesson="07",
        anchor="Two targets",
    ),
    Statement(
        id="score-variance",
        source="beyond the paper",
        claim=r"The score term's variance grows like $n$, unless the outer value where the expected path ends is "
        r"subtracted; then it levels off. DiCE's falls like $1/n$.",
        functions=("gmrl_lab.targets.k_sample_gradient",),
        tests=("tests/test_targets.py::test_how_variances_move_with_n",),
        lesson="07",
        anchor="The price of the score",
    ),
    Statement(
        id="appendix-b-truncation",
        source="Appendix B",
        claim=r"Truncated meta-gradients, $K$ steps of a lifetime of $N\gg K$, drop the terms of Proposition 3.1 with "
        r"$i<N-K$: for LIRPG at $\alpha=1$, $N=30$ nearly $1-K/N$ of the length.",
        functions=("gmrl_lab.targets.truncated_gradient",),
        tests=(
            "tests/test_targets.py::test_a_window_keeps_the_last_terms",
            "tests/test_targets.py::test_a_window_sees_its_share_of_the_length",
            "tests/test_targets.py::test_a_window_early_in_life_has_another_direction",
        ),
        lesson="07",
        anchor="Truncated against untruncated",
    ),
)
