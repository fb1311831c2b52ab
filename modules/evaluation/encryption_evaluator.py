"""How secret learned encryption is: Abadi & Andersen (2016), sections 2.5 and 2.6 (arXiv 1610.06918).

metrics.json holds, of the test split and in bits (half the sum of absolute differences):

bob_error_bits         how far Bob's messages are from those sent
bob_wrong_bits         how many of them are wrong once each is rounded to -1 or 1
eve_error_bits         how far those of the Eve who learned against Alice and Bob are; guessing gives N/2
fresh_eve_error_bits   the same of the best of several new Eves, trained from other initial weights against
                       what Alice has become: what counts, as the first may merely have fallen behind
"""

from typing import ClassVar, Literal

import torch
from torch import nn

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.findings import Chart, Findings, Series
from modules.metrics.mean import Mean, add_up
from modules.models.adversarial.neural_cryptography import MixTransform
from modules.tasks.encryption import Encryption, bits_apart

_EVERY_STEPS = 100
_EVALUATED_AT_A_TIME = 5000


class EncryptionEvaluator:
    """Bob's error, Eve's, and that of new Eves.

    Args:
        num_eves: new Eves, each from a seed of its own.
        num_steps: that each of them learns.
        batch_size: messages in a step.
        lr: of their Adam (Kingma & Ba 2015, arXiv 1412.6980).

    Raises:
        ValueError: nobody would listen, or to nothing.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "bob_error_bits": "min",
        "bob_wrong_bits": "min",
        "eve_error_bits": "max",
        "fresh_eve_error_bits": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("fresh_eves",)

    def __init__(
        self, num_eves: int = 5, num_steps: int = 3000, batch_size: int = 512, lr: float = 0.002
    ) -> None:
        if num_eves < 1 or num_steps < 1 or batch_size < 1:
            sizes = f"num_eves={num_eves}, num_steps={num_steps}, batch_size={batch_size}"
            raise ValueError(f"{sizes}: nobody would listen")
        self.num_eves = num_eves
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.lr = lr

    def evaluate(self, task: Encryption, data: ShardSet, plan: Plan) -> Findings:
        """All errors, and how the new Eves learned."""
        test = data.split("test")
        series, errors = [], []
        for number in range(self.num_eves):
            with torch.random.fork_rng():
                torch.manual_seed(plan.seed + 1 + number)
                eve, points = self._new_eve(task, data.split("train"), seed=plan.seed + 1 + number)
            errors.append(_errors(task, test, eve)["eve_error_bits"])
            series.append(Series(f"Eve {number + 1}", points))
        chart = Chart(
            name="fresh_eves",
            title="New Eves against the trained Alice",
            caption=f"Each begins from other weights and learns for {self.num_steps} steps. At"
            f" {task.model.num_bits / 2:g} bits she guesses.",
            kind="lines",
            x="step",
            y="error in bits",
            series=series,
        )
        metrics = _errors(task, test, task.model.eve) | {"fresh_eve_error_bits": min(errors)}
        return Findings(metrics, charts=[chart])

    def _new_eve(
        self, task: Encryption, train: ShardSplit, seed: int
    ) -> tuple[nn.Module, list[tuple[float, float]]]:
        num_bits = task.model.num_bits
        eve = MixTransform(num_bits, num_bits)
        optimizer = torch.optim.Adam(eve.parameters(), lr=self.lr)
        loader = TrainingLoader(train, min(self.batch_size, train.num_samples), block_steps=1, seed=seed)
        points: list[tuple[float, float]] = []
        losses: list[float] = []
        step, epoch = 0, 0
        while step < self.num_steps:
            loader.set_epoch(epoch)
            for block in loader:
                batch = {name: steps[0] for name, steps in block.items()}
                message, key = task.inputs(batch)
                with torch.no_grad():
                    ciphertext = task.model.encrypt(message, key)
                loss = bits_apart(eve(ciphertext), message).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                losses.append(loss.item())
                if step % _EVERY_STEPS == 0 or step == self.num_steps:
                    points.append((float(step), sum(losses) / len(losses)))
                    losses.clear()
                if step == self.num_steps:
                    break
            epoch += 1
        return eve, points


@torch.no_grad()
def _errors(task: Encryption, split: ShardSplit, eve: nn.Module) -> dict[str, float]:
    means: dict[str, Mean] = {}
    for batch in EvaluationLoader(split, _EVALUATED_AT_A_TIME):
        message, key = task.inputs(batch)
        ciphertext = task.model.encrypt(message, key)
        by_bob = task.model.decrypt(ciphertext, key)
        found = {
            "bob_error_bits": bits_apart(by_bob, message),
            "bob_wrong_bits": (by_bob.sign() != message).sum(1).double(),
            "eve_error_bits": bits_apart(eve(ciphertext), message),
        }
        add_up(means, {name: Mean.of(values) for name, values in found.items()})
    return {name: mean.value for name, mean in means.items()}
