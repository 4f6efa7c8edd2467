"""The statements of lesson 02."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="prop-3.1-maml",
        source="Proposition 3.1, MAML's row of Table 1",
        claim=r"For MAML only the start term is left: $\nabla_\phi J^K=\prod_j(I+\alpha H_j)\,v$.",
        functions=("gmrl_lab.meta_gradient_by_product", "gmrl_lab.MAML"),
        tests=(
            "tests/test_meta.py::test_product_agrees_with_autodiff",
            "tests/test_meta.py::test_maml_comes_through_the_start_alone",
        ),
        lesson="02",
        anchor="The exact meta-gradient",
    ),
    Statement(
        id="decomposition",
        source="Appendix I.1.2",
        claim=r"$\theta^{k+1}=\perp(\theta_I)+\theta_{II}-\perp(\theta_{II})$ has the value of estimator I and the "
        r"derivative of estimator II, so that each part can be exact or sampled on its own.",
        functions=("gmrl_lab.meta_gradient",),
        tests=(
            "tests/test_meta.py::test_value_from_inner_and_derivative_from_hessian",
            "tests/test_streams.py::test_an_exact_role_leaves_the_samples_of_the_others",
        ),
        lesson="02",
        anchor="Three places for a sample",
    ),
    Statement(
        id="estimate",
        source="Eq. 4",
        claim=r"The estimate puts samples in place of the inner update, its derivative and the outer gradient; *B* is "
        r"its limit $n\to\infty$ in a part.",
        functions=("gmrl_lab.Sampled", "gmrl_lab.Expected"),
        tests=(
            "tests/test_expected.py::test_expected_surrogate_is_the_mean_over_all_trajectories",
            "tests/test_statistics_paper_scale.py::test_sampling_a_linear_role_gives_its_expectation",
        ),
        lesson="02",
        anchor="Three places for a sample",
    ),
    Statement(
        id="accuracy",
        source="Eq. 68",
        claim="Accuracy is the Pearson correlation of the flattened vectors; it sees directions, not sizes.",
        functions=("gmrl_lab.accuracy",),
        tests=(
            "tests/test_metrics.py::test_accuracy_agrees_with_numpy",
            "tests/test_metrics.py::test_accuracy_ignores_length_and_pearson_ignores_a_shift",
        ),
        lesson="02",
        anchor="Measure: the seven ways to sample",
    ),
    Statement(
        id="variance",
        source="beyond the paper",
        claim=r"Mean squared error = bias² + variance, with the trace of the covariance as variance; the paper's code "
        "sums standard deviations instead.",
        functions=("gmrl_lab.mse_split", "gmrl_lab.covariance_trace", "gmrl_lab.sum_of_std"),
        tests=(
            "tests/test_metrics.py::test_mse_splits_exactly",
            "tests/test_metrics.py::test_variances_agree_with_numpy",
        ),
        lesson="02",
        anchor="Explore",
    ),
    Statement(
        id="debiased-bias",
        source="beyond the paper",
        claim=r"$\lVert\bar g-g\rVert^2-\mathrm{tr}\,\hat\Sigma/M$ estimates $\lVert b\rVert^2$ without bias; the "
        "plain norm of a mean over few trials is mostly variance.",
        functions=("gmrl_lab.bias",),
        tests=(
            "tests/test_metrics.py::test_bias_and_variance_are_unbiased",
            "tests/test_metrics.py::test_standard_error_is_honest",
            "tests/test_compositional_bias.py::test_few_trials_find_it_on_average_and_the_plain_norm_does_not",
        ),
        lesson="02",
        anchor="A bias that no sample is to blame for",
    ),
    Statement(
        id="ad-first-order-maml",
        source="beyond the paper",
        claim="With an exact baseline the expected Hessian of AD is zero, so one-step MAML by AD is first-order MAML.",
        functions=("gmrl_lab.AD",),
        tests=(
            "tests/test_expected.py::test_hessian_of_autodiff_is_zero_with_an_exact_baseline",
            "tests/test_expected.py::test_one_step_maml_by_autodiff_is_first_order_maml",
        ),
        lesson="02",
        anchor="Where the estimator decides, and where it cannot",
    ),
    Statement(
        id="enumeration",
        source="beyond the paper",
        claim="On a tiny MDP every sample can be listed with its probability, so every expectation, compositional "
        "bias included, is exact.",
        functions=("gmrl_lab.enumerate_samples",),
        tests=(
            "tests/test_rollout.py::test_enumeration_is_complete",
            "tests/test_compositional_bias.py::test_composition_is_biased_and_its_bias_falls_like_one_over_n",
        ),
        lesson="02",
        anchor="A bias that no sample is to blame for",
    ),
)
