"""A trained LeNet's weights for the net that runs over images of any size."""

from collections.abc import Mapping

from torch import Tensor

from modules.configuration.errors import UserError
from modules.models.convolutional.convolutional_lenet import convolutional_weights


class LeNetAsConvolutions:
    """Gives dense layers the shape of convolutions; see `convolutional_weights`."""

    def __call__(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same numbers.

        Raises:
            UserError: they are no LeNet's.
        """
        try:
            return convolutional_weights(found)
        except ValueError as error:
            raise UserError(f"init_from: {error}", "Begin from a run of a LeNet on square images") from error
