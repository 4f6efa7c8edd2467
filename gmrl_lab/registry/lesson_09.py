"""The statements of lesson 09."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="published-bias",
        source="Figure 2(a-c), the published code",
        claim=r"The squared mean error of $M$ trials is on average "
        r"$\lVert\mathrm{bias}\rVert^2+\operatorname{tr}\Sigma/M$; with $M=10$ Figure 2 shows mostly the second.",
        functions=("gmrl_lab.bias", "gmrl_lab.paper.cells.compositional_bias"),
        tests=(
            "tests/exercises/test_lesson_09.py::test_reading",
            "tests/explorers/test_ablations.py::test_published_reading_is_mostly_noise",
        ),
        lesson="09",
        anchor="The published reading",
    ),
    Statement(
        id="figure-2",
        source="Figure 2",
        claim="(a) and (c) reproduced with a different reading, (b) and (d) reproduced: a verdict for each panel, from "
        "medians over MDPs with order-statistic intervals.",
        functions=("gmrl_lab.paper.figure_2", "gmrl_lab.paper.verdicts.verdicts", "gmrl_lab.paper.bias.medians"),
        tests=(
            "tests/explorers/test_ablations.py::test_verdicts_of_figure_2",
            "tests/explorers/test_ablations.py::test_interval_of_a_median_holds_what_it_says",
        ),
        lesson="09",
        anchor="Figure 2",
    ),
    Statement(
        id="figure-2a",
        source="Figure 2(a), Theorem 4.5",
        claim=r"Debiased, $\ln\lVert\mathrm{bias}\rVert$ is concave in $K$, not linear; the bound with local constants "
        "stands far above both readings.",
        functions=("gmrl_lab.bounds.theorem", "gmrl_lab.paper.bias.growth"),
        tests=(
            "tests/explorers/test_ablations.py::test_bound_stands_above_both_readings",
            "tests/explorers/test_ablations.py::test_growth_bears_biases_that_come_out_negative",
        ),
        lesson="09",
        anchor="Panel (a): the bound beside both readings",
    ),
    Statement(
        id="figure-2c",
        source="Figure 2(c), Lemma 4.4",
        claim=r"The published reading falls like $|\tau|^{-1/2}$, as noise does; the debiased bias like $1/|\tau|$.",
        functions=("gmrl_lab.paper.bias.growth",),
        tests=("tests/explorers/test_ablations.py::test_verdicts_of_figure_2",),
        lesson="09",
        anchor="Panel (c): two exponents",
    ),
    Statement(
        id="figure-2d",
        source="Figure 2(d), Theorem 4.5",
        claim=r"The bias is linear in the injected Hessian error at the published settings; its degree, $K$ for MAML, "
        "shows only at a thousand times that error.",
        functions=("gmrl_lab.Perturbed", "gmrl_lab.paper.cells.injected_error"),
        tests=(
            "tests/explorers/test_ablations.py::test_degree_in_the_hessian_error",
            "tests/explorers/test_ablations.py::test_injected_error_per_error_is_level",
        ),
        lesson="09",
        anchor="Panel (d): where the degree shows",
    ),
)
