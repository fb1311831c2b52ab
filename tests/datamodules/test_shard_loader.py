"""No sample is lost or doubled, whatever the ranks, workers and blocks; a resume goes on at the next one."""

import itertools
import multiprocessing
import pickle
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from modules.configuration.errors import UserError
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from tests.datamodules.numbered import NUM_CLASSES, numbers_of

Make = Callable[..., ShardSet]
shapes = {
    "num_samples": st.integers(1, 97),
    "samples_per_record": st.sampled_from([1, 4, 7, 100]),
    "max_shard_bytes": st.sampled_from([4096, 2**20]),
    "batch_size": st.integers(1, 9),
    "block_steps": st.integers(1, 5),
    "world_size": st.integers(1, 4),
    "seed": st.integers(0, 2**32 - 1),
}
many = examples(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def steps(loader: TrainingLoader) -> list[list[int]]:
    """The sample numbers of each step that is left of the loader's epoch."""
    return [numbers_of(images) for block in loader for images in block["image"]]


@many
@given(**shapes)
def test_ranks_share_each_step_and_repeat_nothing(
    shards: Make,
    num_samples: int,
    samples_per_record: int,
    max_shard_bytes: int,
    batch_size: int,
    block_steps: int,
    world_size: int,
    seed: int,
) -> None:
    split = shards(num_samples, samples_per_record, max_shard_bytes).split("train")
    all_ranks = batch_size * world_size
    if num_samples < all_ranks:
        with pytest.raises(
            UserError, match=f"has {num_samples} samples, fewer than one batch of {all_ranks}"
        ):
            TrainingLoader(split, batch_size, block_steps, seed, 0, world_size)
        return
    alone = TrainingLoader(split, all_ranks, 1, seed)
    ranks = [TrainingLoader(split, batch_size, block_steps, seed, r, world_size) for r in range(world_size)]
    for epoch in range(2):
        expected = steps(alone)
        together = [list(itertools.chain(*parts)) for parts in zip(*map(steps, ranks), strict=True)]
        assert together == expected, "the order depends on how many ranks share it"
        seen = Counter(itertools.chain(*expected))
        assert set(seen.values()) == {1} and set(seen) <= set(range(num_samples))
        assert sum(seen.values()) == num_samples - num_samples % all_ranks
        assert ranks[0].epoch == epoch + 1


@many
@given(**shapes, data=st.data())
def test_resume_at_any_step_gives_the_identical_rest(
    shards: Make,
    num_samples: int,
    samples_per_record: int,
    max_shard_bytes: int,
    batch_size: int,
    block_steps: int,
    world_size: int,
    seed: int,
    data: st.DataObject,
) -> None:
    split = shards(num_samples, samples_per_record, max_shard_bytes).split("train")
    if num_samples < batch_size * world_size:
        return

    def fresh() -> TrainingLoader:
        return TrainingLoader(split, batch_size, block_steps, seed, world_size - 1, world_size)

    whole = fresh()
    expected = steps(whole) + steps(whole)
    place = data.draw(st.integers(0, len(expected)))
    resumed = fresh()
    resumed.load_state_dict(dict(zip(("epoch", "step"), divmod(place, resumed.steps_per_epoch), strict=True)))
    rest = steps(resumed)
    while resumed.epoch < 2:
        rest += steps(resumed)
    assert rest[: len(expected) - place] == expected[place:]


@many
@given(
    num_samples=st.integers(1, 97),
    samples_per_record=st.sampled_from([1, 4, 100]),
    batch_size=st.integers(1, 30),
    world_size=st.integers(1, 5),
)
def test_evaluation_gives_every_sample_once(
    shards: Make, num_samples: int, samples_per_record: int, batch_size: int, world_size: int
) -> None:
    split = shards(num_samples, samples_per_record, 4096).split("train")
    loaders = [EvaluationLoader(split, batch_size, rank, world_size) for rank in range(world_size)]
    batches = [list(loader) for loader in loaders]
    assert [len(loader) for loader in loaders] == [len(found) for found in batches]
    everything = [batch for found in batches for batch in found]
    images = list(itertools.chain(*(numbers_of(batch["image"]) for batch in everything)))
    assert sorted(images) == list(range(num_samples))
    assert images == torch.cat([batch["index"] for batch in everything]).tolist()
    assert [number % NUM_CLASSES for number in images] == torch.cat([b["label"] for b in everything]).tolist()
    assert images == numbers_of(next(iter(EvaluationLoader(split, num_samples)))["image"]), (
        "the order is not fixed"
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_nothing(shards: Make, num_workers: int) -> None:
    split = shards(530, 7, 8192).split("train")
    reading_here = TrainingLoader(split, 5, 4, seed=3)
    reading_ahead = TrainingLoader(split, 5, 4, seed=3, num_workers=num_workers)
    for place in (0, 41):
        for loader in (reading_here, reading_ahead):
            loader.load_state_dict({"epoch": 0, "step": place})
        for one, other in zip(reading_here, reading_ahead, strict=True):
            assert one.keys() == other.keys() == {"image", "label"}
            assert all(torch.equal(one[name], other[name]) for name in one)
            assert reading_here.state_dict() == reading_ahead.state_dict()


def test_reading_ahead_draws_nothing_from_the_run(shards: Make) -> None:
    before = torch.random.get_rng_state()
    for _ in TrainingLoader(shards(40).split("train"), 4, 2, seed=0, num_workers=1):
        pass
    assert torch.equal(before, torch.random.get_rng_state())


def test_state_counts_what_was_consumed(shards: Make) -> None:
    loader = TrainingLoader(shards(530, 7).split("train"), 5, 4, seed=0, num_workers=2)
    blocks = iter(loader)
    assert loader.state_dict() == {"epoch": 0, "step": 0}
    next(blocks)
    assert loader.state_dict() == {"epoch": 0, "step": 4}
    next(blocks)
    assert loader.state_dict() == {"epoch": 0, "step": 8}


def test_blocks_have_steps_and_batches_in_front(shards: Make) -> None:
    loader = TrainingLoader(shards(50).split("train"), 4, 5, seed=0)
    blocks = list(loader)
    assert loader.steps_per_epoch == 12 and len(loader) == 3 == len(blocks)
    assert [tuple(block["image"].shape) for block in blocks] == [
        (5, 4, 1, 2, 3),
        (5, 4, 1, 2, 3),
        (2, 4, 1, 2, 3),
    ]
    assert blocks[0]["image"].dtype == torch.uint8 and blocks[0]["label"].dtype == torch.int64
    for block in blocks:
        numbers = torch.tensor(numbers_of(block["image"])).view_as(block["label"])
        assert torch.equal(numbers % NUM_CLASSES, block["label"]), "fields of different samples"
        block["image"].add_(1)  # a task may change what it got: nothing of it is the file's


def test_epochs_and_seeds_differ(shards: Make) -> None:
    split = shards(97, 7).split("train")
    loader = TrainingLoader(split, 9, 2, seed=0)
    first, second = steps(loader), steps(loader)
    assert first != second and first != steps(TrainingLoader(split, 9, 2, seed=1))
    loader.set_epoch(0)
    assert steps(loader) == first
    loader.set_epoch(loader.epoch)
    assert steps(loader) == second


def test_an_epoch_that_was_begun_is_not_begun_again(shards: Make) -> None:
    loader = TrainingLoader(shards(97, 7).split("train"), 9, 2, seed=0)
    loader.load_state_dict({"epoch": 3, "step": 5})
    loader.set_epoch(3)
    assert loader.state_dict() == {"epoch": 3, "step": 5}


@pytest.mark.parametrize(
    "state", [{"epoch": -1, "step": 0}, {"epoch": 0, "step": 11}, {"epoch": 0, "step": -1}]
)
def test_a_place_beyond_the_epoch_is_refused(shards: Make, state: dict[str, int]) -> None:
    with pytest.raises(UserError, match="Train again"):
        TrainingLoader(shards(97, 7).split("train"), 9, 2, seed=0).load_state_dict(state)


def _first_numbers(loader: TrainingLoader) -> list[int]:
    return numbers_of(next(iter(loader))["image"])


def test_a_loader_works_in_a_fresh_process(shards: Make) -> None:
    loader = TrainingLoader(shards(97, 7).split("train"), 9, 2, seed=0)
    expected = _first_numbers(loader)
    assert len(pickle.dumps(loader)) < 20_000, "the mapped file travels along"
    loader.set_epoch(1)
    loader.set_epoch(0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first_numbers, (loader,)) == expected
