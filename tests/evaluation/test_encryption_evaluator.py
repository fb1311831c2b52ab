"""How secret learned encryption is: figures by sums of one bit after another, and Eves that learn by hand."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.encryption_evaluator import EncryptionEvaluator
from modules.evaluation.evaluator import evaluate
from modules.models.adversarial.neural_cryptography import MixTransform, NeuralCryptography
from modules.tasks.encryption import Encryption
from tests.training.small import small_plan, write_small_messages

NUM_BITS = 16
PLAN = small_plan("neural_cryptography", "seed=5", data="random_messages")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    out = tmp_path_factory.mktemp("data") / "shards" / "random_messages"
    write_small_messages(out)
    return ShardSet.open(Path(out))


class Cipher(NeuralCryptography):
    """Adds nothing that anybody would have to learn: Bob reads `decrypted` times what was sent."""

    def __init__(self, decrypted: float = 1.0, with_key: bool = True) -> None:
        super().__init__(NUM_BITS)
        self.decrypted, self.with_key = decrypted, with_key

    def encrypt(self, message: Tensor, key: Tensor) -> Tensor:
        return message * key if self.with_key else message

    def decrypt(self, ciphertext: Tensor, key: Tensor) -> Tensor:
        return self.decrypted * self.encrypt(ciphertext, key)


def task(model: NeuralCryptography | None = None) -> Encryption:
    torch.manual_seed(0)
    return Encryption(model or NeuralCryptography(NUM_BITS)).eval()


def found(task: Encryption, data: ShardSet, seed: int = 5, **keywords: float) -> dict[str, float]:
    plan = PLAN.changed(
        seed=seed, evaluation=[{**PLAN.evaluation[0], "num_eves": 1, "num_steps": 3, **keywords}]
    )
    return evaluate(task, data, plan).metrics


def error_bits(guesses: list[list[float]], messages: list[list[float]]) -> float:
    """One bit after another."""
    total = 0.0
    for guess, message in zip(guesses, messages, strict=True):
        total += sum(abs(one - bit) / 2 for one, bit in zip(guess, message, strict=True))
    return total / len(messages)


def test_figures_are_sums_of_bits(data: ShardSet) -> None:
    made = task()
    (batch,) = EvaluationLoader(data.split("test"), 1000)
    message, key = made.inputs(batch)
    with torch.no_grad():
        by_bob, by_eve = (guess.tolist() for guess in made.model(message, key))
    sent = message.tolist()
    metrics = found(made, data)
    assert metrics["bob_error_bits"] == pytest.approx(error_bits(by_bob, sent), rel=1e-5)
    assert metrics["eve_error_bits"] == pytest.approx(error_bits(by_eve, sent), rel=1e-5)
    rounded = [[math.copysign(1, value) for value in guess] for guess in by_bob]
    assert metrics["bob_wrong_bits"] == pytest.approx(error_bits(rounded, sent), rel=1e-5)
    assert metrics["num_samples"] == len(sent)


@pytest.mark.parametrize(
    ("decrypted", "error", "wrong"),
    [(1.0, 0, 0), (0.5, NUM_BITS / 4, 0), (0.0, NUM_BITS / 2, NUM_BITS), (-1.0, NUM_BITS, NUM_BITS)],
)
def test_bounds(decrypted: float, error: float, wrong: float, data: ShardSet) -> None:
    metrics = found(task(Cipher(decrypted)), data)
    assert (metrics["bob_error_bits"], metrics["bob_wrong_bits"]) == (error, wrong)
    assert 7.5 < metrics["eve_error_bits"] < 8.5  # she guesses


def test_a_fresh_eve_learns_against_the_frozen_pair_as_by_hand(data: ShardSet) -> None:
    made = task()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    torch.manual_seed(3)
    metrics = found(made, data, seed=5, num_steps=20, batch_size=32, lr=0.01)
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(3))
    for name, value in made.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in made.parameters())

    torch.manual_seed(6)
    eve = MixTransform(NUM_BITS, NUM_BITS)
    optimizer = torch.optim.Adam(eve.parameters(), lr=0.01)
    train = TrainingLoader(data.split("train"), 32, block_steps=1, seed=6)
    batches = [{name: field[0] for name, field in block.items()} for block in train]
    for batch in batches[:20]:
        message, key = made.inputs(batch)
        error = (eve(made.model.encrypt(message, key).detach()) - message).abs().sum() / (2 * len(message))
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    (batch,) = EvaluationLoader(data.split("test"), 1000)
    message, key = made.inputs(batch)
    guesses = eve(made.model.encrypt(message, key)).tolist()
    assert metrics["fresh_eve_error_bits"] == pytest.approx(error_bits(guesses, message.tolist()), rel=1e-5)


def test_the_best_of_several_eves_counts(data: ShardSet) -> None:
    made = task()
    alone = [
        found(made, data, seed=seed, num_steps=20, lr=0.01)["fresh_eve_error_bits"] for seed in (5, 6, 7)
    ]
    assert len(set(alone)) == 3
    assert found(made, data, num_eves=3, num_steps=20, lr=0.01)["fresh_eve_error_bits"] == min(alone)


def test_eve_reads_what_is_not_encrypted(data: ShardSet) -> None:
    """And nothing of what is, by a key of as many bits that is used once (Shannon 1949)."""
    plain = found(task(Cipher(with_key=False)), data, num_steps=400, lr=0.02)["fresh_eve_error_bits"]
    secret = found(task(Cipher()), data, num_steps=400, lr=0.02)["fresh_eve_error_bits"]
    assert plain < 6.5 < 7.2 < secret < 8.8  # of so few messages, chance is about 8 +- 0.3


@pytest.mark.parametrize(("num_steps", "steps"), [(250, [100, 200, 250]), (30, [30])])
def test_the_course_of_each_is_shown_to_its_end(num_steps: int, steps: list[int], data: ShardSet) -> None:
    evaluator = EncryptionEvaluator(num_eves=2, num_steps=num_steps, batch_size=16)
    (chart,) = evaluator.evaluate(task(), data, PLAN).charts
    assert [series.name for series in chart.series] == ["Eve 1", "Eve 2"]
    for series in chart.series:
        assert [step for step, _ in series.points] == steps
        assert all(6 < error < 10 for _, error in series.points)


def test_smaller_is_better_for_bob_and_larger_for_eve() -> None:
    recipe = ["recipe=neural_cryptography", "~expected.seen"]
    larger = ["~expected.at_most", "+expected.at_least=7.3"]
    for metric in ("bob_error_bits", "bob_wrong_bits"):
        compose([*recipe, f"expected.metric={metric}"])
        with pytest.raises(UserError, match=f"of {metric} the smaller value is the better one"):
            compose([*recipe, f"expected.metric={metric}", *larger])
    for metric in ("eve_error_bits", "fresh_eve_error_bits"):
        compose([*recipe, f"expected.metric={metric}", *larger])
        with pytest.raises(UserError, match=f"of {metric} the larger value is the better one"):
            compose([*recipe, f"expected.metric={metric}"])


@pytest.mark.parametrize("wrong", [{"num_eves": 0}, {"num_steps": 0}, {"batch_size": 0}])
def test_refuses(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}=0"):
        EncryptionEvaluator(**wrong)
