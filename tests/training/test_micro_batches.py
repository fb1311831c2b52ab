"""A batch computed in parts learns what it learns as a whole, also where the parts count unequally many."""

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.metrics.mean import Mean
from modules.tasks.classification import Classification
from modules.tasks.language_modelling import LanguageModelling
from modules.training.training_step import Optimisation, TrainingModule

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The `srun` command is available"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`"),
]
NUM_STEPS, BATCH = 6, 8


class Tokens(Classification):
    """Only some samples count, more of them in some parts than in others; or each."""

    some = True

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        costs = functional.cross_entropy(self.model(batch["image"]), batch["label"], reduction="none")
        return Mean.of(costs, keep=batch["label"] > 1) if self.some else Mean.of(costs)


class Listens(Callback):
    """Makes the training take Lightning's way."""

    def on_after_backward(self, *_: object) -> None:
        """Nothing."""


def trained(parts: int, some: bool, *callbacks: Callback, clip: float | None = None) -> TrainingModule:
    torch.manual_seed(0)
    task = Tokens(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 4)), num_classes=4)
    task.some = some
    generator = torch.Generator().manual_seed(1)
    block = {
        "image": torch.rand(NUM_STEPS, BATCH, 1, 3, 4, generator=generator),
        "label": torch.randint(0, 4, (NUM_STEPS, BATCH), generator=generator),
    }
    module = TrainingModule(
        task,
        Optimisation(
            lambda step: torch.optim.SGD(step.learned, lr=0.5),
            lambda progress: 1.0,
            NUM_STEPS,
            NUM_STEPS,
            clip,
            parts,
        ),
    )
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader([block], batch_size=None))  # pyright: ignore
    assert module.global_step == NUM_STEPS
    return module


@pytest.mark.parametrize("some", [True, False])
@pytest.mark.parametrize("callbacks", [(), (Listens(),)], ids=["short way", "Lightning's way"])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_parts_learn_what_the_whole_learns(some: bool, callbacks: tuple, clip: float | None) -> None:
    whole = trained(1, some, *callbacks, clip=clip).state_dict()
    for parts in (3, 8, 20):
        for name, weight in trained(parts, some, *callbacks, clip=clip).state_dict().items():
            torch.testing.assert_close(weight, whole[name], rtol=1e-5, atol=1e-6)


def test_a_state_that_is_carried_cannot_be_cut() -> None:
    optimisation = Optimisation(
        lambda step: torch.optim.SGD(step.learned), lambda progress: 1.0, 1, 1, None, 2
    )
    with pytest.raises(UserError, match="carries a state between them") as caught:
        TrainingModule(LanguageModelling(nn.Linear(1, 1)), optimisation)
    assert caught.value.hint.startswith("Set it to 1")
