"""Learning a few batches by heart: a check that a network and its task can learn at all."""

from torch import nn
from torch.optim import Optimizer

from modules.bricks.spectrogram_masking import SpectrogramMasking
from modules.bricks.speed_perturbation import SpeedPerturbation

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def without_regularisation(task: nn.Module) -> None:
    """Takes away what keeps a network from learning samples by heart: dropout, masks, other speeds, and a
    task's augmentation."""
    for module in task.modules():
        if isinstance(module, DROPOUTS):
            module.p = 0.0
        elif isinstance(module, SpectrogramMasking):
            module.num_band_masks = module.num_time_masks = 0
        elif isinstance(module, SpeedPerturbation):
            module.max_change = 0.0
    if isinstance(getattr(task, "augmentation", None), nn.Module):
        task.augmentation = nn.Identity()


def without_weight_decay(optimizer: Optimizer) -> Optimizer:
    """Takes away an optimizer's weight decay, of every group of parameters, where it has any."""
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = 0.0
    return optimizer
