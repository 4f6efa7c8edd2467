"""The statements of lesson 06."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="theorem-4.5-bias",
        source="Theorem 4.5, Appendices E-H",
        claim=r"The bias of the meta-gradient is at most $\bar B$: a compositional part, linear in $e_k$, plus a "
        r"Hessian part in $\hat\Delta_H$, with explicit constants.",
        functions=("gmrl_lab.bounds.theorem",),
        tests=("tests/test_bounds.py::test_theorem_bounds_the_bias",),
        lesson="06",
        anchor="The bound",
    ),
    Statement(
        id="theorem-4.5-variance",
        source="Theorem 4.5, Appendices E-H",
        claim=r"The variance is at most $\bar B^2$ plus the square of what the fresh samples add along the path.",
        functions=("gmrl_lab.bounds.theorem",),
        tests=("tests/test_bounds.py::test_theorem_bounds_the_variance",),
        lesson="06",
        anchor="The bound",
    ),
    Statement(
        id="theorem-4.5-lemmas",
        source="Appendix H",
        claim=r"Products telescope: $\sum_la^{l-i-1}b^{K-1-l}\alpha\Delta_H=a^{r_i}-b^{r_i}$; variances add along the "
        "path.",
        functions=("gmrl_lab.bounds.theorem",),
        tests=("tests/test_bounds.py::test_telescoping",),
        lesson="06",
        anchor="The proof",
    ),
    Statement(
        id="section-4.3",
        source="Section 4.3",
        claim=r"The Hessian part alone: degree $K-1$ in $\Delta_H$ ($K$ for MAML) where it is large, linear for every "
        "$K$ where it is small.",
        functions=("gmrl_lab.bounds.theorem", "gmrl_lab.Perturbed"),
        tests=("tests/test_bounds.py::test_degree_in_the_hessian_error",),
        lesson="06",
        anchor="The degree in the Hessian error",
    ),
    Statement(
        id="local-constants",
        source="beyond the paper",
        claim="Constants measured along the actual path bound what happens there; a maximum over sampled points is an "
        "estimate, not a certificate.",
        functions=("gmrl_lab.bounds.local_constants",),
        tests=("tests/test_bounds.py::test_local_constants",),
        lesson="06",
        anchor="Where the bound is loose",
    ),
    Statement(
        id="global-constants",
        source="beyond the paper: Agarwal et al. 2021",
        claim=r"$\lVert\nabla V\rVert\le1/(1-\gamma)^2$ and smoothness $8/(1-\gamma)^3$ make the bound valid "
        "everywhere, and astronomically loose.",
        functions=("gmrl_lab.bounds.global_constants",),
        tests=("tests/test_bounds.py::test_global_constants",),
        lesson="06",
        anchor="Where the bound is loose",
    ),
)
