"""Augmentations one after another, of images and of what has a place in them."""

from collections.abc import Sequence

from jaxtyping import Float, Num, Shaped
from torch import Tensor, nn


class AugmentationChain(nn.Module):
    """Each augmentation changes what the one before has made.

    Args:
        augmentations: such as `RandomHorizontalFlip`; one that takes images alone, such as one of colour,
            leaves boxes and masks as they are.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, augmentations: Sequence[nn.Module]) -> None:
        super().__init__()
        if not augmentations:
            raise ValueError("augmentations is empty")
        self.augmentations = nn.ModuleList(augmentations)

    def forward(
        self,
        images: Float[Tensor, "batch channels height width"],
        *,
        boxes: Num[Tensor, "batch boxes 4"] | None = None,
        masks: Shaped[Tensor, "batch height width"] | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """The samples, changed.

        Args:
            images: of one size.
            boxes: x0, y0, x1, y1 in pixels; those without a size are padding.
            masks: of the images' size.
        """
        placed = {name: one for name, one in (("boxes", boxes), ("masks", masks)) if one is not None}
        for augmentation in self.augmentations:
            if not placed or getattr(augmentation, "images_alone", False):
                images = augmentation(images)
                continue
            images, *moved = augmentation(images, **placed)
            placed = dict(zip(placed, moved, strict=True))
        return (images, *placed.values()) if placed else images
