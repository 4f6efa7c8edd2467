"""The statements of lesson 05."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="appendix-c",
        source="Appendix C, Eq. 18-21",
        claim=r"The Hessian that automatic differentiation of the usual loss reports misses how $\theta$ moves the "
        "probabilities of actions and of trajectories.",
        functions=("gmrl_lab.exact.hessian_parts", "gmrl_lab.estimated_hessian", "gmrl_lab.AD"),
        tests=(
            "tests/test_hessian_parts.py::test_what_each_estimator_keeps",
            "tests/test_hessian_bias.py::test_two_doors_by_hand",
        ),
        lesson="05",
        anchor="What automatic differentiation forgets",
    ),
    Statement(
        id="hessian-parts",
        source="beyond the paper",
        claim=r"True Hessian $=H_1+H_2+H_{12}+H_{12}^\top$; AD keeps $H_2$, LVC $H_1+H_2$, DiCE, Loaded DiCE and "
        "TayPO-2 all. A baseline moves weight between $H_1$ and $H_2$ alone.",
        functions=("gmrl_lab.exact.hessian_parts",),
        tests=(
            "tests/test_hessian_parts.py::test_parts_are_sums_over_all_trajectories",
            "tests/test_hessian_parts.py::test_parts_add_up_whatever_the_baseline",
            "tests/test_hessian_parts.py::test_what_each_estimator_keeps",
            "tests/test_estimators.py::test_hessian_parts_sample_by_sample",
        ),
        lesson="05",
        anchor="Three parts",
    ),
    Statement(
        id="expected-surrogates",
        source="beyond the paper",
        claim="The expected surrogate of each estimator is a finite dynamic programme: its bias is known without "
        "sampling.",
        functions=("gmrl_lab.LVC.expected_surrogate", "gmrl_lab.Expected", "gmrl_lab.estimated_hessian"),
        tests=("tests/test_expected.py::test_expected_surrogate_is_the_mean_over_all_trajectories",),
        lesson="05",
        anchor="No sampling at all",
    ),
    Statement(
        id="ad-zero",
        source="beyond the paper",
        claim=r"$\nabla^2\log\pi$ does not depend on the action, so with an exact baseline AD's expected Hessian is "
        "zero: MAML by AD is first-order MAML in disguise.",
        functions=("gmrl_lab.AD.expected_surrogate",),
        tests=(
            "tests/test_expected.py::test_hessian_of_autodiff_is_zero_with_an_exact_baseline",
            "tests/test_expected.py::test_one_step_maml_by_autodiff_is_first_order_maml",
        ),
        lesson="05",
        anchor="No sampling at all",
    ),
    Statement(
        id="ad-noise",
        source="beyond the paper",
        claim=r"With $\hat V=V+\varepsilon$, AD's expected Hessian has the block $\big(\sum_{t<T}\gamma^td_t(s)"
        r"[\varepsilon(s)-\gamma^{T-t}(P_\pi^{T-t}\varepsilon)(s)]\big)(\mathrm{diag}\,\pi_s-\pi_s\pi_s^\top)$: a bias "
        r"for a fixed $\varepsilon$, for one redrawn at each call a variance that does not shrink with $n$.",
        functions=("gmrl_lab.exact.hessian_parts", "gmrl_lab.AD.expected_surrogate", "gmrl_lab.Baseline"),
        tests=(
            "tests/test_expected.py::test_hessian_of_autodiff_given_an_inexact_baseline",
            "tests/test_hessian_bias.py::test_noise_fixed_redrawn_and_per_trajectory",
            "tests/test_statistics.py::test_value_noise_biases_the_hessian_of_autodiff",
        ),
        lesson="05",
        anchor="A Hessian made of noise",
    ),
    Statement(
        id="hessian-variance",
        source="Section 4.4, second remedy",
        claim=r"Unbiased is not accurate: DiCE's Hessian has over 100 times LVC's variance, Loaded DiCE's 6 times. "
        r"Loaded DiCE($\lambda$) weighs the pairs of steps in $H_{12}$ with $\lambda^{t-i}$, and its error is least "
        "inside $(0,1)$.",
        functions=("gmrl_lab.exact.hessian_parts", "gmrl_lab.LoadedDiCE", "gmrl_lab.DiCE"),
        tests=(
            "tests/test_hessian_parts.py::test_the_dial_of_loaded_dice",
            "tests/test_hessian_bias.py::test_what_unbiased_costs",
        ),
        lesson="05",
        anchor="What unbiased costs",
    ),
    Statement(
        id="loaded-dice",
        source="beyond the paper",
        claim=r"Loaded DiCE and TayPO-2 are unbiased to second order, equal per sample on-policy; $\lambda$ dials "
        "Loaded DiCE down to LVC; without baseline it is DiCE up to a constant.",
        functions=("gmrl_lab.LoadedDiCE", "gmrl_lab.TayPO2", "gmrl_lab.DiCE"),
        tests=(
            "tests/test_expected.py::test_loaded_dice_and_taypo2_are_unbiased_for_the_bootstrapped_return",
            "tests/test_estimators.py::test_taypo2_is_loaded_dice_to_second_order_on_policy",
            "tests/test_estimators.py::test_loaded_dice_at_zero_is_lvc_up_to_a_constant",
            "tests/test_estimators.py::test_loaded_dice_without_baseline_is_dice_up_to_a_constant",
        ),
        lesson="05",
        anchor="What unbiased costs",
    ),
    Statement(
        id="section-4.2",
        source="Section 4.2, Eq. 7",
        claim=r"$K=1$: the meta-gradient of MGRL and LIRPG, $\alpha D_0v$, has no Hessian in it, and AD is right, if "
        r"$\hat V_\phi$ is differentiated or GAE $\lambda=1$; else it is off by 4% ($\lambda=0.9$) to a third "
        r"($\lambda=0$).",
        functions=("gmrl_lab.LIRPG", "gmrl_lab.MGRL", "gmrl_lab.meta_gradient"),
        tests=(
            "tests/test_hessian_bias.py::test_one_step_hides_it_and_more_do_not",
            "tests/test_hessian_bias.py::test_a_detached_baseline_is_felt_at_one_step",
            "tests/test_meta.py::test_lirpg_with_one_step_does_not_see_the_second_order",
            "tests/test_meta.py::test_expected_jacobian_is_exact_where_the_baseline_is_differentiated_or_lambda_is_one",
        ),
        lesson="05",
        anchor="One step hides it",
    ),
    Statement(
        id="section-4.2-multi-step",
        source="Section 4.2, Eq. 8",
        claim=r"$K>1$: $\prod_{j>i}(I+\alpha\hat H_j)$ appears, and a biased $\hat H$ enters up to $K-1$ times.",
        functions=("gmrl_lab.LIRPG", "gmrl_lab.MGRL", "gmrl_lab.meta_gradient"),
        tests=(
            "tests/test_hessian_bias.py::test_one_step_hides_it_and_more_do_not",
            "tests/test_meta.py::test_lirpg_with_two_steps_sees_the_second_order",
        ),
        lesson="05",
        anchor="One step hides it",
    ),
    Statement(
        id="section-4.4-lvc",
        source="Section 4.4, second remedy",
        claim=r"LVC restores $H_1$ at low variance and still drops $H_{12}+H_{12}^\top$: about half of the Hessian's "
        "norm.",
        functions=("gmrl_lab.LVC", "gmrl_lab.exact.hessian_parts"),
        tests=("tests/test_expected.py::test_lvc_drops_about_half_of_the_hessian_on_the_papers_mdps",),
        lesson="05",
        anchor="LVC, and what it still misses",
    ),
    Statement(
        id="lvc-correlation",
        source="beyond the paper",
        claim=r"At $K=1$ the missing half costs the meta-gradient a hundredth of its correlation: $v$ leans on $H_1$, "
        r"the identity dilutes, and $1-\cos\approx\frac12\sin^2$ squares the rest. At $K=5$ it costs a quarter.",
        functions=("gmrl_lab.exact.hessian_parts", "gmrl_lab.accuracy"),
        tests=(
            "tests/test_hessian_bias.py::test_from_half_a_hessian_to_a_hundredth",
            "tests/test_hessian_bias.py::test_more_steps_make_the_correlation_notice",
        ),
        lesson="05",
        anchor="LVC, and what it still misses",
    ),
    Statement(
        id="off-policy",
        source="Section 5.2",
        claim=r"Off-policy only DiCE and Loaded DiCE at $\lambda=1$ stay exact; AD, LVC and (slightly) TayPO-2 do not.",
        functions=("gmrl_lab.DiCE", "gmrl_lab.LoadedDiCE"),
        tests=(
            "tests/test_expected.py::test_dice_and_loaded_dice_are_unbiased_off_policy",
            "tests/test_expected.py::test_the_others_are_biased_off_policy",
        ),
        lesson="05",
        anchor="Bring your own estimator",
    ),
    Statement(
        id="bring-your-own",
        source="beyond the paper",
        claim="An estimator is what it claims to be: its bias, variance and cost are measured against its claim.",
        functions=("gmrl_lab.bench_estimator",),
        tests=("tests/test_bench.py::test_wrong_claims_are_refuted",),
        lesson="05",
        anchor="Bring your own estimator",
    ),
)
