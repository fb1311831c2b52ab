"""What datasets of lines to be read have in common: a grey image of one size, and its text."""

from collections.abc import Mapping

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings


def line_size(fields: Mapping[str, FieldSettings]) -> tuple[int, int]:
    """Height and width of the field `image`.

    Raises:
        UserError: the fields are not `image`, grey, and `text`.
    """
    image = fields.get("image")
    if set(fields) != {"image", "text"} or image is None or len(image.shape) != 3 or image.shape[0] != 1:
        raise UserError(
            f"the dataset has the fields {', '.join(fields)}",
            "Describe image, uint8 [1, height, width], and text, with a vocabulary of characters",
        )
    return int(image.shape[1]), int(image.shape[2])
