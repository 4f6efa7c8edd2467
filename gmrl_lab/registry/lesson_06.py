"""The statements of lesson 06."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="theorem-4.5-bias",
        source="Theorem 4.5, Appendices E-H",
        claim=r"The bias of the meta-gradient is at most $\bar B$: a compositional part, linear in $e_k$, a Hessian "
        r"part in $\Delta_H$ and a Jacobian part in $\Delta_J$, with explicit constants.",
        functions=("gmrl_lab.bounds.theorem",),
        tests=(
            "tests/test_bounds.py::test_theorem_is_never_violated",
            "tests/test_bounds.py::test_theorem_without_one_constant_is_violated",
            "tests/test_bounds_power.py::test_the_bias_needs_each_term",
        ),
        lesson="06",
        anchor="The bound",
    ),
    Statement(
        id="theorem-4.5-variance",
        source="Theorem 4.5, Appendices E-H",
        claim=r"The variance is at most $\bar B^2$ plus the square of what the fresh samples add along the path.",
        functions=("gmrl_lab.bounds.theorem",),
        tests=(
            "tests/test_bounds.py::test_theorem_is_never_violated",
            "tests/test_bounds_power.py::test_the_variance_needs_each_term",
            "tests/test_bounds_power.py::test_the_variance_needs_the_square_of_the_bias_bound",
        ),
        lesson="06",
        anchor="The bound",
    ),
    Statement(
        id="theorem-4.5-lemmas",
        source="Appendix H",
        claim=r"Products telescope: $\sum_la^{l-i-1}b^{K-1-l}\alpha\Delta_H=a^{r_i}-b^{r_i}$; second moments of fresh "
        "factors multiply. Both are attained.",
        functions=("gmrl_lab.bounds.theorem",),
        tests=(
            "tests/test_bounds.py::test_hessian_part_is_attained_by_constant_hessians",
            "tests/test_theorem_in_numbers.py::test_product_telescopes_and_errors_of_steps_hardly_cancel",
            "tests/test_bounds_power.py::test_single_terms_attain_the_variance_bound",
        ),
        lesson="06",
        anchor="The proof",
    ),
    Statement(
        id="section-4.3",
        source="Section 4.3",
        claim=r"The Hessian part alone: degree $K-1$ in $\Delta_H$ ($K$ for MAML) where it is large, linear for every "
        "$K$ where it is small.",
        functions=("gmrl_lab.bounds.theorem", "gmrl_lab.Perturbed"),
        tests=(
            "tests/test_bounds.py::test_degree_shows_for_large_errors_and_is_one_for_small",
            "tests/test_theorem_in_numbers.py::test_degree_in_an_injected_error",
            "tests/test_theorem_in_numbers.py::test_figure_2d_cannot_show_the_degree",
        ),
        lesson="06",
        anchor="The degree in the Hessian error",
    ),
    Statement(
        id="local-constants",
        source="beyond the paper",
        claim="Constants measured along the actual path bound what happens there; a maximum over sampled points is an "
        "estimate, not a certificate.",
        functions=("gmrl_lab.bounds.local_constants",),
        tests=(
            "tests/test_bounds_local.py::test_norms_are_those_of_the_closed_forms",
            "tests/test_bounds_local.py::test_theorem_holds_with_measured_constants",
        ),
        lesson="06",
        anchor="Two sets of constants",
    ),
    Statement(
        id="global-constants",
        source="beyond the paper: Agarwal et al. 2021",
        claim=r"$\lVert\nabla V\rVert\le1/(1-\gamma)^2$ and smoothness $8/(1-\gamma)^3$, 25 and 1000 at "
        r"$\gamma=0.8$ and here 17.7 and 125, make the bound valid everywhere, and astronomically loose.",
        functions=("gmrl_lab.bounds.global_constants",),
        tests=(
            "tests/test_bounds.py::test_global_constants_are_below_those_in_the_literature",
            "tests/test_bounds_local.py::test_global_constants_are_above_the_local_ones",
        ),
        lesson="06",
        anchor="Two sets of constants",
    ),
    Statement(
        id="theorem-4.5-loose",
        source="beyond the paper",
        claim="The bound is loose because it takes each matrix at its largest value and in its worst direction, at "
        "every step, and counts noise that cancels; errors of different steps hardly do.",
        functions=("gmrl_lab.bounds.theorem",),
        tests=(
            "tests/test_theorem_in_numbers.py::test_gap_is_the_product_of_five_directions",
            "tests/test_theorem_in_numbers.py::test_gap_grows_with_the_steps",
        ),
        lesson="06",
        anchor="Where the bound is loose",
    ),
)
