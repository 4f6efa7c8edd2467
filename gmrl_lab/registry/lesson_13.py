"""The statements of lesson 13."""

from gmrl_lab.registry import Statement

ROWS = (
    Statement(
        id="mgrl-as-instance",
        source="Table 1, Proposition 3.1",
        claim=r"MGRL's update of an actor-critic is a field $g(\phi,\theta)$, so that its meta-gradient is the "
        r"sum over updates of $\alpha D_i\prod_{j>i}(I+\alpha H_j)v$; Atari's learner agrees with the tabular task.",
        functions=("gmrl_lab.atari.meta.meta_gradient", "gmrl_lab.MGRL"),
        tests=(
            "tests/atari/test_meta_gradient.py::test_agrees_with_the_exact_tabular_task",
            "tests/explorers/test_mgrl.py::test_the_truth_is_the_derivative_of_the_adapted_objective",
        ),
        lesson="13",
        anchor="The learner against the exact task",
    ),
    Statement(
        id="mgrl-hessian-bias",
        source="Section 4.2",
        claim=r"With $K=1$ no Hessian is in MGRL's meta-gradient, and all estimators agree. With more, automatic "
        r"differentiation has every $D_i$ right and every $H_j$ wrong.",
        functions=("gmrl_lab.explorers.mgrl.Windows", "gmrl_lab.explorers.mgrl.by_update"),
        tests=("tests/explorers/test_mgrl.py::test_one_update_needs_no_hessian",),
        lesson="13",
        anchor="One meta-gradient through three updates",
    ),
    Statement(
        id="bias-and-critic",
        source="beyond the paper; Section 4.2",
        claim=r"AD's $H$ is what the critic leaves of the mean advantage: with $\hat V=0$ AD misses 31% of the "
        r"meta-gradient in $\gamma$ at $K=3$, with $\hat V=V$ a tenth of a percent; LVC stays within 1%.",
        functions=("gmrl_lab.explorers.mgrl.by_update",),
        tests=("tests/explorers/test_mgrl.py::test_what_is_missing_depends_on_the_critic",),
        lesson="13",
        anchor="Through K updates",
    ),
    Statement(
        id="adam-derivative",
        source="beyond the paper; Table 4",
        claim=r"After $t$ equal gradients $g$ the derivative of Adam's step is $\big(\frac{1-\beta_1}{1-\beta_1^t}-"
        r"\frac{1-\beta_2}{1-\beta_2^t}\big)\alpha/|g|$: zero at first, 0.099 in the end, where SGD has $\alpha$.",
        functions=("gmrl_lab.learners.optimisers.Adam",),
        tests=("tests/explorers/test_mgrl.py::test_the_derivative_of_adams_step",),
        lesson="13",
        anchor="Adam is not SGD",
    ),
    Statement(
        id="discard-and-online",
        source="Table 4",
        claim="Online, K batches make K updates, and the outer batch is the next inner one; discarding virtual updates "
        "costs K + 1 batches for one.",
        functions=("gmrl_lab.atari.learner.Learner",),
        tests=("tests/atari/test_learner.py::test_steps_and_updates_are_counted",),
        lesson="13",
        anchor="Discard or online?",
    ),
)
