"""The statements of lesson 04."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="section-4.1",
        source="Section 4.1",
        claim=r"$E f(\hat\theta^K)\ne f(\theta^K)$: a curved function of unbiased inner steps is biased.",
        functions=("gmrl_lab.meta_gradient", "gmrl_lab.enumerate_samples"),
        tests=(
            "tests/test_compositional_bias.py::test_the_inner_gradient_itself_is_unbiased",
            "tests/test_compositional_bias.py::test_composition_is_biased_and_its_bias_falls_like_one_over_n",
        ),
        lesson="04",
        anchor="A coin before a policy",
    ),
    Statement(
        id="lemma-4.4",
        source="Lemma 4.4",
        claim=r"$\lVert Ef(\hat\theta^K)-f(\theta^K)\rVert\le C_0\frac{(1+\alpha c_2)^K-1}{c_2}"
        r"\frac{\sigma_{In}}{\sqrt n}$.",
        functions=("gmrl_lab.bounds.compositional_bias", "gmrl_lab.bounds.path_error"),
        tests=("tests/test_bounds.py::test_path_error_published",),
        lesson="04",
        anchor="Lemma 4.4",
    ),
    Statement(
        id="lemma-4.4-rms",
        source="beyond the paper",
        claim=r"Errors of mean zero add in squares: $E_K^2\le\frac{\alpha^2\sigma^2}n\frac{(1+\alpha c_2)^{2K}-1}"
        r"{(1+\alpha c_2)^2-1}$, which grows like $\sqrt K$.",
        functions=("gmrl_lab.bounds.path_error",),
        tests=("tests/test_bounds.py::test_path_error_rms",),
        lesson="04",
        anchor="Lemma 4.4",
    ),
    Statement(
        id="lemma-4.4-second-order",
        source="beyond the paper",
        claim=r"The bias itself is $O(1/n)$: at most $C_0b_K+\frac{C_1}2E_K^2$; at $K=1$, "
        r"$\frac{C_1}2\alpha^2\sigma^2/n$.",
        functions=("gmrl_lab.bounds.compositional_bias",),
        tests=(
            "tests/test_compositional_bias.py::test_composition_is_biased_and_its_bias_falls_like_one_over_n",
            "tests/test_compositional_bias.py::test_the_one_over_n_constant_is_the_curvature_of_the_outer_gradient",
        ),
        lesson="04",
        anchor="Lemma 4.4",
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
        claim=r"Inner step $k$ reuses the trajectories of the steps before it with importance ratios: less variance "
        "per fresh sample, at the price of the weights.",
        functions=("gmrl_lab.reuse.Reused",),
        tests=("tests/test_reuse.py::test_reuse_is_unbiased_given_the_path",),
        lesson="04",
        anchor="Use old samples again",
    ),
)
