"""The statements of lesson 07."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="assumption-4.1",
        source="Assumption 4.1",
        claim=r"$\nabla J^{Out}$ is bounded and Lipschitz in $\phi$ and $\theta$.",
        functions=("gmrl_lab.targets",),
        tests=("tests/test_targets.py::test_outer_gradient_is_lipschitz",),
        lesson="07",
        anchor="The assumptions, checked",
    ),
    Statement(
        id="assumption-4.2",
        source="Assumption 4.2",
        claim=r"$\nabla_\theta J^{In}$ has bounded, Lipschitz derivatives in $\phi$ and $\theta$.",
        functions=("gmrl_lab.targets",),
        tests=("tests/test_targets.py::test_inner_gradient_is_smooth",),
        lesson="07",
        anchor="The assumptions, checked",
    ),
    Statement(
        id="assumption-4.3",
        source="Assumption 4.3",
        claim=r"The inner gradient estimate is unbiased with variance at most $\sigma_{In}^2/n$.",
        functions=("gmrl_lab.targets",),
        tests=("tests/test_targets.py::test_inner_estimate_is_unbiased_with_bounded_variance",),
        lesson="07",
        anchor="The assumptions, checked",
    ),
    Statement(
        id="appendix-d",
        source="Appendix D",
        claim="Where the assumptions hold for the tabular softmax, and where they fail.",
        functions=("gmrl_lab.targets",),
        tests=("tests/test_targets.py::test_assumptions_fail_where_appendix_d_says",),
        lesson="07",
        anchor="Where they fail",
    ),
    Statement(
        id="appendix-b-k-sample",
        source="Appendix B",
        claim=r"$J^{K\text{-sample}}(\phi)=E[J^{Out}(\phi,\hat\theta^K)]$ has the score term "
        r"$E[J^{Out}\sum_k\nabla_\phi\log p(\tau_k)]$ of E-MAML, which EPG leaves out.",
        functions=("gmrl_lab.targets",),
        tests=("tests/test_targets.py::test_k_sample_gradient",),
        lesson="07",
        anchor="Two targets",
    ),
    Statement(
        id="appendix-b-truncation",
        source="Appendix B",
        claim=r"Truncated meta-gradients, $K$ steps of a lifetime of $N\gg K$, aim at another target than untruncated "
        "ones.",
        functions=("gmrl_lab.targets",),
        tests=("tests/test_targets.py::test_truncated_against_untruncated",),
        lesson="07",
        anchor="Truncated against untruncated",
    ),
)
