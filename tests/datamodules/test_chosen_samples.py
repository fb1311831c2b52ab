"""Some samples of each class, the same for the same seed, as often as an epoch wants them."""

from dataclasses import replace

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.datamodules.chosen_samples import ChosenSamples, choose
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from tests.training.small import small_plan, write_small_shards

SETTINGS = small_plan("neuron", "trainer.batch_size=10").trainer


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> ShardSplit:
    folder = tmp_path_factory.mktemp("data") / "shards" / "fashion_mnist"
    write_small_shards(folder)
    return ShardSet.open(folder).split("train")


def numbers(split: ShardSplit, seed: int = 0, **settings: object) -> np.ndarray:
    chosen = choose(split, replace(SETTINGS, **settings), seed)
    return np.arange(split.num_samples) if isinstance(chosen, ShardSplit) else chosen.numbers


def labels(split: ShardSplit) -> np.ndarray:
    return split.read(np.arange(split.num_samples))["label"]


def test_all_of_them_are_the_split_itself(split: ShardSplit) -> None:
    assert choose(split, SETTINGS, seed=0) is split


def test_so_many_of_each_class(split: ShardSplit) -> None:
    few, more = numbers(split, samples_per_class=3), numbers(split, samples_per_class=10)
    assert np.bincount(labels(split)[few], minlength=10).tolist() == [3] * 10
    assert set(few) < set(more)
    assert set(numbers(split, samples_per_class=3)) == set(few)
    assert set(numbers(split, seed=1, samples_per_class=3)) != set(few)


def test_without_classes(split: ShardSplit) -> None:
    rest = numbers(split, without_classes=[3, 7])
    assert set(labels(split)[rest]) == set(range(10)) - {3, 7}
    assert len(rest) == np.isin(labels(split), [3, 7], invert=True).sum()


def test_batches_to_learn_by_heart_are_few_samples_of_those_chosen(split: ShardSplit) -> None:
    few = numbers(split, overfit_batches=2)
    assert len(set(few)) == 2 * SETTINGS.batch_size
    assert set(few) != set(numbers(split, seed=1, overfit_batches=2))
    assert set(labels(split)[numbers(split, overfit_batches=1, without_classes=[3, 7])]) <= set(range(10)) - {
        3,
        7,
    }


@pytest.mark.parametrize(
    ("max_steps", "epochs", "steps_per_epoch"),
    [(None, 2, 56), (1, 1, 1), (56, 1, 56), (100, 1, 56), (999, 2, 56)],
)
def test_no_more_steps_than_asked_for(
    split: ShardSplit, max_steps: int | None, epochs: int, steps_per_epoch: int
) -> None:
    settings = replace(SETTINGS, max_steps=max_steps, max_epochs=2)
    num_samples = 56 * SETTINGS.batch_size
    few = ChosenSamples(split, np.arange(num_samples))
    loader = TrainingLoader(few, SETTINGS.batch_size, block_steps=4, seed=0, max_steps=max_steps)
    assert (settings.num_epochs(loader.steps_per_epoch), loader.steps_per_epoch) == (epochs, steps_per_epoch)
    assert sum(len(block["label"]) for block in loader) == steps_per_epoch


def test_an_epoch_takes_each_sample_equally_often(split: ShardSplit) -> None:
    settings = replace(SETTINGS, samples_per_class=1, min_steps_per_epoch=7)
    extra = np.arange(split.num_samples, dtype=np.float32)[:, None]
    loader = TrainingLoader(choose(split, settings, 0, {"teacher": extra}), 10, block_steps=7, seed=0)
    assert loader.steps_per_epoch == 7
    (block,) = loader
    found, counts = np.unique(block["teacher"].numpy(), return_counts=True)
    assert found.astype(int).tolist() == numbers(split, samples_per_class=1).tolist()
    assert counts.tolist() == [7] * 10
    # The further field is that of the very sample.
    rows = split.read(block["teacher"].flatten().long().numpy())
    assert np.array_equal(rows["label"], block["label"].flatten().numpy())


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"samples_per_class": 1000}, r"samples_per_class=1000, but 'T-shirt/top' has \d+. Set it to \d+"),
        ({"without_classes": [10]}, "10 is no class, there are 10"),
        ({"without_classes": list(range(10))}, "leaves no sample"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(split: ShardSplit, settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        choose(split, replace(SETTINGS, **settings), seed=0)
