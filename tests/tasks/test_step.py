"""Steps of a task: whose turn it is, whose parameters they are, which optimiser is whose."""

import pytest
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.tasks.step import Step, check_steps, gradients_of, optimizer_nodes, turns


def no_loss(batch: dict[str, Tensor]) -> Mean:
    raise AssertionError("nobody asks for it")


MODEL = nn.ModuleDict({"one": nn.Linear(2, 3), "two": nn.Linear(3, 2)})
ONE, TWO = (Step(name, list(part.parameters()), no_loss) for name, part in MODEL.items())
SGD, ADAM = {"_target_": "torch.optim.SGD"}, {"_target_": "torch.optim.Adam"}


def test_each_has_its_turns_in_a_row() -> None:
    assert turns([ONE]) == (0,)
    steps = [Step("a", [], no_loss, 2), Step("b", [], no_loss), Step("c", [], no_loss, 3)]
    assert turns(steps) == (0, 0, 1, 2, 2, 2)


def test_gradients_stay_in_the_step_where_there_are_several() -> None:
    assert gradients_of([ONE], ONE) is None
    assert gradients_of([ONE, TWO], TWO) == list(MODEL["two"].parameters())


def test_one_optimizer_for_all_or_one_each() -> None:
    assert optimizer_nodes([ONE, TWO], SGD) == [SGD, SGD]
    assert optimizer_nodes([ONE, TWO], {"two": ADAM, "one": SGD}) == [SGD, ADAM]


@pytest.mark.parametrize(
    ("node", "problem", "hint"),
    [
        ({"one": SGD}, "optimizer: has no optimizer for the step 'two'", "each of one, two a node"),
        ({"one": SGD, "tow": SGD, "two": SGD}, "optimizer.tow: the task has no step 'tow'", "mean two"),
    ],
)
def test_a_mapping_names_every_step_and_no_other(node: dict, problem: str, hint: str) -> None:
    with pytest.raises(UserError) as refused:
        optimizer_nodes([ONE, TWO], node)
    assert refused.value.problem == problem and hint in refused.value.hint


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([ONE, Step("one", TWO.parameters, no_loss)], "two steps of the task have one name: one, one"),
        ([ONE], r"two.weight is learned by no step \(one\)"),
        (
            [ONE, Step("two", [*TWO.parameters, MODEL.get_parameter("one.bias")], no_loss)],
            "one.bias is learned by two steps, one and two",
        ),
        ([ONE, TWO, Step("three", [], no_loss)], "the step three learns no parameters"),
        ([ONE, Step("two", TWO.parameters, no_loss, repeats=0)], "the step two has repeats=0"),
    ],
)
def test_steps_are_a_partition_of_what_learns(steps: list[Step], problem: str) -> None:
    check_steps(MODEL, [ONE, TWO])
    with pytest.raises(UserError, match=problem):
        check_steps(MODEL, steps)
