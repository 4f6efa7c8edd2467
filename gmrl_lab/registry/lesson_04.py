"""The statements of lesson 04."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="section-4.1",
        source="Section 4.1",
        claim=r"$E f(\hat\theta^K)\ne f(\theta^K)$: a curved function of unbiased inner steps is biased.",
        functions=("gmrl_lab.paths.every_end", "gmrl_lab.inner_path", "gmrl_lab.enumerate_samples"),
        tests=(
            "tests/test_compositional_bias.py::test_the_inner_gradient_itself_is_unbiased",
            "tests/test_compositional_bias.py::test_composition_is_biased_and_its_bias_falls_like_one_over_n",
        ),
        lesson="04",
        anchor="The same coin in a meta-gradient",
    ),
    Statement(
        id="lemma-4.4",
        source="Lemma 4.4",
        claim=r"$\lVert Ef(\hat\theta^K)-f(\theta^K)\rVert\le C_0E\lVert\hat\theta^K-\theta^K\rVert\le C_0"
        r"\frac{(1+\alpha c_2)^K-1}{c_2}\frac{\sigma_{In}}{\sqrt n}$.",
        functions=("gmrl_lab.bounds.compositional_bias", "gmrl_lab.bounds.path_error"),
        tests=(
            "tests/test_bounds.py::test_lemma_is_never_violated",
            "tests/test_bounds_local.py::test_the_exact_bias_stays_below_all_three_forms",
        ),
        lesson="04",
        anchor="Lemma 4.4",
    ),
    Statement(
        id="lemma-4.4-rms",
        source="beyond the paper",
        claim=r"Errors of mean zero add in squares: $E_K^2\le\frac{\alpha^2\sigma^2}n\frac{(1+\alpha c_2)^{2K}-1}"
        r"{(1+\alpha c_2)^2-1}$, which grows like $\sqrt K$ for small steps, and is attained.",
        functions=("gmrl_lab.bounds.path_error",),
        tests=(
            "tests/test_bounds.py::test_lemma_is_never_violated",
            "tests/test_bounds.py::test_rms_path_error_is_attained_by_a_linear_field",
        ),
        lesson="04",
        anchor="Lemma 4.4",
    ),
    Statement(
        id="lemma-4.4-second-order",
        source="beyond the paper",
        claim=r"The bias itself is $O(1/n)$: at most $C_0\beta_K+\frac{C_1}2E_K^2$; at $K=1$, "
        r"$\frac{C_1}2\alpha^2\sigma^2/n$, which is sharp.",
        functions=("gmrl_lab.bounds.compositional_bias",),
        tests=(
            "tests/test_bounds.py::test_second_order_is_attained_at_one_step",
            "tests/test_bounds.py::test_second_order_without_its_curvatures_is_violated",
            "tests/test_compositional_bias.py::test_the_one_over_n_constant_is_the_curvature_of_the_outer_gradient",
        ),
        lesson="04",
        anchor="Lemma 4.4",
    ),
    Statement(
        id="bias-is-not-variance",
        source="beyond the paper",
        claim=r"The mean of $M$ trials carries $\mathrm{tr}\,\Sigma/M$: with ten trials a false slope of $-\frac12$; "
        r"$\lVert\bar g-g\rVert^2-\mathrm{tr}\,\hat\Sigma/M$ is unbiased.",
        functions=("gmrl_lab.bias",),
        tests=("tests/test_compositional_bias.py::test_few_trials_find_it_on_average_and_the_plain_norm_does_not",),
        lesson="04",
        anchor="Measure: one of the paper's MDPs",
    ),
    Statement(
        id="horizon-part",
        source="beyond the paper",
        claim=r"Every $T$-step estimator is off by $\gamma^TE[\nabla V^\pi(s_T)]$ against the infinite horizon: a "
        "floor that no $n$ removes.",
        functions=("gmrl_lab.Exact",),
        tests=("tests/test_expected.py::test_horizon_part",),
        lesson="04",
        anchor="The horizon part",
    ),
    Statement(
        id="section-4.4-off-policy",
        source="Section 4.4, first remedy",
        claim=r"Inner step $k$ also uses the trajectories of the steps before it, with importance ratios: unbiased for "
        r"a given $\theta$, not along a path, where the variance is $2K-H_K$ and not $K$ times $\alpha^2\sigma^2/n$ if "
        "nothing curves. It helps where steps are large.",
        functions=("gmrl_lab.Reused", "gmrl_lab.reuse.effective_sample_size"),
        tests=(
            "tests/test_reuse.py::test_reuse_is_unbiased_for_a_given_policy",
            "tests/test_reuse.py::test_errors_of_reused_samples_do_not_cancel",
            "tests/test_paths.py::test_reuse_adds_a_bias_that_falls_like_one_over_n_and_ignoring_the_ratios_adds_one_that_stays",
            "tests/test_reuse.py::test_a_large_buffer_helps",
        ),
        lesson="04",
        anchor="Use old samples again",
    ),
)
