"""The statements of lesson 03."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="framework",
        source="Eq. 2-3",
        claim=r"One bilevel problem: $\max_\phi J^{Out}(\phi,\theta^K)$ with $\theta^{k+1}=\theta^k+\alpha"
        r"\nabla_\theta J^{In}(\phi,\theta^k)$.",
        functions=("gmrl_lab.Task", "gmrl_lab.meta_gradient"),
        tests=("tests/test_meta.py::test_meta_gradient_agrees_with_finite_differences",),
        lesson="03",
        anchor="One problem, five algorithms",
    ),
    Statement(
        id="prop-3.1",
        source="Proposition 3.1",
        claim=r"$\nabla_\phi J^K=\nabla_\phi J^{Out}+\nabla_\phi\theta^0\prod_j(I+\alpha H_j)\,v+\alpha\sum_iD_i"
        r"\prod_{j>i}(I+\alpha H_j)\,v$.",
        functions=("gmrl_lab.meta_gradient_by_product", "gmrl_lab.ProductTerms"),
        tests=(
            "tests/test_meta.py::test_product_agrees_with_autodiff",
            "tests/test_meta.py::test_meta_gradient_agrees_with_finite_differences",
        ),
        lesson="03",
        anchor="Proposition 3.1",
    ),
    Statement(
        id="prop-3.1-field",
        source="beyond the paper",
        claim=r"Proposition 3.1 holds for any update field $g(\phi,\theta)$, with $H_{ab}=\partial "
        r"g_b/\partial\theta_a$ symmetric or not.",
        functions=("gmrl_lab.LPG", "gmrl_lab.meta_gradient_by_product"),
        tests=(
            "tests/test_tasks_lpg.py::test_product_agrees_with_autodiff",
            "tests/test_tasks_lpg.py::test_its_hessian_is_not_symmetric_and_is_the_derivative_of_the_field",
        ),
        lesson="03",
        anchor="LPG: an update that is no gradient",
    ),
    Statement(
        id="table-1-maml",
        source="Table 1, MAML",
        claim=r"MAML: $\theta^0=\phi$, so $\nabla_\phi\theta^0=I$ and $D_i=0$.",
        functions=("gmrl_lab.MAML",),
        tests=("tests/test_meta.py::test_maml_comes_through_the_start_alone",),
        lesson="03",
        anchor="Table 1",
    ),
    Statement(
        id="table-1-lirpg",
        source="Appendix I, LIRPG",
        claim=r"LIRPG: $J^{In}$ uses $R+r_\phi$, $J^{Out}$ uses $R$; only the indirect terms are left.",
        functions=("gmrl_lab.LIRPG",),
        tests=("tests/test_meta.py::test_lirpg_comes_through_the_updates_alone",),
        lesson="03",
        anchor="Table 1",
    ),
    Statement(
        id="table-1-lola",
        source="Table 1, LOLA",
        claim=r"LOLA: $J^{In}=V^2(\phi,\theta)$ and $J^{Out}=V^1(\phi,\theta)$; direct and indirect terms are both "
        "there.",
        functions=("gmrl_lab.LOLA", "gmrl_lab.IPD"),
        tests=("tests/test_tasks_lola.py::test_product_agrees_with_autodiff",),
        lesson="03",
        anchor="Table 1",
    ),
    Statement(
        id="table-1-mgrl",
        source="Table 1, MGRL",
        claim=r"MGRL: $\phi$ holds the discount and the GAE $\lambda$ of the inner update; the outer objective has the "
        "true discount.",
        functions=("gmrl_lab.MGRL",),
        tests=(
            "tests/test_tasks_mgrl.py::test_product_agrees_with_autodiff",
            "tests/test_tasks_mgrl.py::test_expected_agrees_with_enumeration",
            "tests/test_tasks_mgrl.py::test_the_exact_lambda_column_is_zero",
        ),
        lesson="03",
        anchor="Table 1",
    ),
    Statement(
        id="table-1-lpg",
        source="Table 1, LPG",
        claim=r"LPG: an LSTM with parameters $\phi$ gives the target $\hat\pi_\phi$ that multiplies "
        r"$\nabla\log\pi_\theta$; its update is the gradient of nothing.",
        functions=("gmrl_lab.LPG",),
        tests=(
            "tests/test_tasks_lpg.py::test_product_agrees_with_autodiff",
            "tests/test_tasks_lpg.py::test_sampled_field_has_the_exact_mean",
        ),
        lesson="03",
        anchor="Table 1",
    ),
    Statement(
        id="lola-ad-zero",
        source="beyond the paper",
        claim=r"On a game, AD's mixed derivative $\nabla_{\theta_1}\nabla_{\theta_2}$ is zero in every sample: LOLA "
        "needs DiCE or Loaded DiCE, whose own is unbiased.",
        functions=("gmrl_lab.LOLA", "gmrl_lab.AD", "gmrl_lab.DiCE", "gmrl_lab.LoadedDiCE"),
        tests=(
            "tests/test_tasks_lola.py::test_mixed_derivative_of_autodiff_is_zero",
            "tests/test_tasks_lola.py::test_mixed_derivative_of_dice_and_loaded_dice_is_unbiased",
        ),
        lesson="03",
        anchor="What LOLA rests on, and AD does not have",
    ),
    Statement(
        id="lola-lvc",
        source="beyond the paper",
        claim=r"LVC's expected mixed derivative is $d(s)\,p(1-p)\,q(1-q)\,(Q_{CC}-Q_{CD}-Q_{DC}+Q_{DD})$ within a "
        "state and zero between states. In the prisoner's dilemma that loses all of the truth between coin-throwers, "
        "and 97 to 99% of it in the median of random policies.",
        functions=("gmrl_lab.LOLA", "gmrl_lab.LVC"),
        tests=(
            "tests/test_tasks_lola.py::test_lvc_keeps_what_two_actions_at_the_same_time_do_to_each_other",
            "tests/test_tasks_lola.py::test_lvc_loses_the_mixed_derivative_of_the_prisoners_dilemma",
        ),
        lesson="03",
        anchor="What LOLA rests on, and AD does not have",
    ),
    Statement(
        id="mgrl-return",
        source="beyond the paper",
        claim=r"MGRL with the return's derivative alone, as published, holds the weights $\gamma_\phi^t$ fixed: the "
        "same step, another meta-gradient, on some MDPs of the wrong sign.",
        functions=("gmrl_lab.MGRL",),
        tests=(
            "tests/test_tasks_mgrl.py::test_meta_gradient_agrees_with_finite_differences",
            "tests/test_tasks_mgrl.py::test_both_forms_step_to_the_same_place_and_differentiate_differently",
        ),
        lesson="03",
        anchor="MGRL: which derivative of the discount?",
    ),
    Statement(
        id="mgrl-lambda",
        source="beyond the paper",
        claim=r"MGRL's exact derivative in $\lambda$ is zero: with exact values every $\lambda$ has the same expected "
        "update. With wrong values it is not.",
        functions=("gmrl_lab.MGRL",),
        tests=(
            "tests/test_tasks_mgrl.py::test_the_exact_lambda_column_is_zero",
            "tests/test_tasks_mgrl.py::test_lambda_matters_where_values_are_wrong",
        ),
        lesson="03",
        anchor="MGRL: which derivative of the discount?",
    ),
    Statement(
        id="appendix-a",
        source="Appendix A",
        claim="Few-shot, opponent shaping, single lifetime and multi lifetime: four topics, one update with other "
        "parts in it.",
        functions=("gmrl_lab.MAML", "gmrl_lab.LOLA", "gmrl_lab.MGRL", "gmrl_lab.LPG"),
        tests=("tests/test_meta.py::test_product_agrees_with_autodiff",),
        lesson="03",
        anchor="Four topics in ten lines each",
    ),
)
