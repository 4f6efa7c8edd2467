"""The statements of lesson 01."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="policy-gradient",
        source="background: Sutton et al. 2000",
        claim=r"$\partial J/\partial\theta_{s,a}=d(s)\,\pi(a\mid s)\,(Q(s,a)-V(s))$ for a tabular softmax policy.",
        functions=("gmrl_lab.exact.gradient",),
        tests=(
            "tests/test_exact.py::test_policy_gradient_theorem",
            "tests/test_exact.py::test_gradient_and_hessian_are_those_of_finite_differences",
        ),
        lesson="01",
        anchor="The exact gradient, by hand",
    ),
    Statement(
        id="softmax-orthogonal",
        source="beyond the paper",
        claim=r"Every tabular softmax gradient is orthogonal to $1_s$ at each state, so it sums to zero over actions.",
        functions=("gmrl_lab.exact.gradient",),
        tests=(
            "tests/test_properties.py::test_gradients_sum_to_zero_at_each_state",
            "tests/test_meta.py::test_maml_gradient_sums_to_zero_at_each_state",
        ),
        lesson="01",
        anchor="The exact gradient, by hand",
    ),
    Statement(
        id="sampled-gradient",
        source="background: Williams 1992",
        claim=r"On-policy, the mean of the sampled gradient is the $T$-step policy gradient; its error falls as "
        r"$n^{-1/2}$.",
        functions=("gmrl_lab.Sampled", "gmrl_lab.AD"),
        tests=(
            "tests/test_expected.py::test_first_order_is_unbiased_and_second_order_is_not",
            "tests/test_statistics.py::test_sampled_mean_is_the_expected_surrogates",
        ),
        lesson="01",
        anchor="The same gradient from samples",
    ),
    Statement(
        id="baseline",
        source="background: Williams 1992",
        claim=r"A baseline $\hat V(s)$, right or wrong, moves the variance of the sampled gradient and not its mean.",
        functions=("gmrl_lab.Baseline",),
        tests=("tests/test_expected.py::test_first_order_is_unbiased_and_second_order_is_not",),
        lesson="01",
        anchor="A baseline: other numbers, same mean",
    ),
    Statement(
        id="gae-first-order",
        source="beyond the paper",
        claim=r"GAE with $\lambda<1$ and an inexact $\hat V$ biases even the first-order gradient; with the exact "
        r"$\hat V$ it does not.",
        functions=("gmrl_lab.Steps",),
        tests=("tests/test_expected.py::test_gae_biases_the_gradient_unless_the_baseline_is_exact",),
        lesson="01",
        anchor="Explore",
    ),
    Statement(
        id="same-first-order",
        source="beyond the paper",
        claim="On-policy, AD, LVC, Loaded DiCE and TayPO-2 have the *same* first-order gradient in every sample.",
        functions=("gmrl_lab.AD", "gmrl_lab.LVC", "gmrl_lab.LoadedDiCE", "gmrl_lab.TayPO2"),
        tests=(
            "tests/test_estimators.py::test_first_order_gradients_are_the_same_on_policy",
            "tests/test_estimators.py::test_first_order_gradients_differ_off_policy",
        ),
        lesson="01",
        anchor="Same gradient, another Hessian",
    ),
)
