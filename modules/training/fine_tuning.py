"""Fine-tuning: which parts of a model learn, from when on, and how fast.

Frozen lower layers after Yosinski et al. 2014 (arXiv 1411.1792); gradual unfreezing and discriminative
learning rates after Howard & Ruder 2018, sections 3.2 and 3.3 (arXiv 1801.06146). There a layer's rate is
that of the layer above divided by 2.6, which is `lr_decay` = 0.38 here.
"""

from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from modules.configuration.schema.settings import FineTuningSettings
from modules.models.parts import parts


def parameter_groups(
    model: nn.Module, learned: Iterable[nn.Parameter], lr: float, lr_decay: float
) -> list[dict[str, Any]]:
    """The learned parameters by part, each group with its learning rate; the highest part's is `lr`."""
    groups: list[dict[str, Any]] = []
    left = {id(parameter) for parameter in learned}
    # From the top down: a parameter that several parts share learns with the highest of them.
    for height, part in enumerate([model.parameters(recurse=False), *_from_top(model)]):
        own = [one for one in part if id(one) in left]
        left.difference_update(map(id, own))
        if own:
            groups.append({"params": own, "lr": lr * lr_decay ** max(height - 1, 0)})
    return groups


def _from_top(model: nn.Module) -> list[Any]:
    return [part.parameters() for part in reversed(parts(model))]


class Freezing(Callback):
    """Keeps the lowest parts of a model from learning, and lets them begin one by one.

    A frozen part is in evaluation mode: neither its weights nor its running statistics change.

    Args:
        model: whose parts they are; more than are frozen.
        settings: how many, and for how long.
    """

    def __init__(self, model: nn.Module, settings: FineTuningSettings) -> None:
        self.parts = parts(model)
        self.settings = settings
        frozen = self.parts[: settings.frozen_parts]
        self._own = [[one for one in part.parameters() if one.requires_grad] for part in frozen]

    def num_frozen(self, epoch: int) -> int:
        """Parts that do not learn in an epoch, counted from 0."""
        unfrozen = epoch // self.settings.unfreeze_every_epochs if self.settings.unfreeze_every_epochs else 0
        return max(0, self.settings.frozen_parts - unfrozen)

    def freeze(self, epoch: int) -> None:
        """Sets what learns in an epoch."""
        frozen = self.num_frozen(epoch)
        for number, parameters in enumerate(self._own):
            for parameter in parameters:
                parameter.requires_grad_(number >= frozen)
            if number < frozen:
                self.parts[number].eval()
            else:
                self.parts[number].train()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.freeze(trainer.current_epoch)  # a resumed epoch does not start again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.freeze(trainer.current_epoch)
