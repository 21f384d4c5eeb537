from __future__ import annotations

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.results.costs import cell_of
from regtopk_bench.results.reached import Reached, rounds_of
from tests.results.samples import image_run, result, run, timed


def rounds(reached: Reached, algorithm: str = "topk", **facts: object) -> float | None:
    return rounds_of(reached.find(cell_of({"algorithm": algorithm, **facts})))


def test_rounds_of_a_regression() -> None:
    runs = [run(), run("topk", 1, gaps=[0.1, 0.1, 0.1]), run("dense", gaps=[1.0, 1.0, 1.0])]
    reached = Reached.of(result(runs, target=0.1), "A")
    assert (reached.name, reached.target, reached.workers) == ("A", "0.1", 2)
    assert rounds(reached, density=0.5) == 1.5
    assert rounds(reached, "dense") is None
    assert reached.find(cell_of({"algorithm": "topk", "density": 0.25})) is None
    assert (
        reached.find(cell_of({"algorithm": "topk", "density": 0.5, "values": "bfloat16"})) is None
    )


def test_rounds_of_images_whatever_the_scope() -> None:
    runs = [image_run("regtopk", mu=5.0, scope="layer")]
    reached = Reached.of(result(runs, "cifar", target=0.7), "A")
    assert reached.target == "70 %"
    assert rounds(reached, "regtopk", density=0.5, mu=5.0) == 3.0
    assert rounds(reached, "regtopk", density=0.5, mu=4.0) is None


def test_a_seed_that_did_not_get_there_leaves_no_mean() -> None:
    runs = [run(), run("topk", 1, gaps=[1.0, 1.0, 1.0])]
    assert rounds(Reached.of(result(runs, target=0.1), "A"), density=0.5) is None
    runs = [run(), run("topk", 1, gaps=[1.0], status="diverged")]
    assert rounds(Reached.of(result(runs, target=0.1), "A"), density=0.5) is None


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (result([run()]), "A is a result of linreg without a target"),
        (result([timed()], "kernels"), "A is a result of kernels without a target: give one of"),
        (result([], target=0.1), "A has no run that has ended"),
    ],
)
def test_other_results_say_nothing(of: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Reached.of(of, "A")  # type: ignore[arg-type]
