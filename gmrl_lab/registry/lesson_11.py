"""The statements of lesson 11."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="lola-term",
        source="Table 1; Proposition 3.1",
        claim=r"LOLA is Proposition 3.1 with $\theta^0$ the opponent: $\nabla_\phi V^1(\phi,\theta^1)+\alpha D_0v$. "
        r"Between coin-throwers $\alpha D_0v\approx\pm\alpha\gamma(1+4d^2)/32$ with $d=\gamma/(4(1-\gamma))$: positive "
        "where the other one cooperated, negative where it defected.",
        functions=("gmrl_lab.LOLA", "gmrl_lab.meta_gradient_by_product"),
        tests=("tests/test_lola_exact.py::test_the_updates_term_by_hand",),
        lesson="11",
        anchor="Temptation against shaping",
    ),
    Statement(
        id="naive-defects",
        source="Section 5.2",
        claim=r"Two naive learners end in mutual defection, $-2$ a round.",
        functions=("gmrl_lab.learners.learn",),
        tests=("tests/test_lola_exact.py::test_naive_learners_defect",),
        lesson="11",
        anchor="Two learners, live",
    ),
    Statement(
        id="lola-exact",
        source="Figure 3(a)",
        claim=r"LOLA-Exact ($K=1$, $\alpha=0.3$, $\gamma=0.96$) goes from coin-throwers to tit-for-tat, $-1$ a round.",
        functions=("gmrl_lab.learners.learn", "gmrl_lab.learners.LOLASettings"),
        tests=("tests/test_lola_exact.py::test_coin_throwers_find_tit_for_tat",),
        lesson="11",
        anchor="Two learners, live",
    ),
    Statement(
        id="lola-exact-not-always",
        source="beyond the paper",
        claim="From random policies LOLA-Exact makes peace in some runs only, and from coin-throwers only if the "
        r"look-ahead is long enough: at $\gamma=0.96$ with $\alpha=0.2$, not with $0.18$.",
        functions=("gmrl_lab.learners.learn",),
        tests=(
            "tests/test_lola_exact.py::test_random_starts_do_not_always_make_peace",
            "tests/test_lola_exact.py::test_a_short_look_ahead_defects",
        ),
        lesson="11",
        anchor="Does it always?",
    ),
)
