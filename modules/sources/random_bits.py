"""Random bits: a generated source, the same on every machine, for problems that need no data of the world."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from modules.configuration.errors import UserError
from modules.sources.cache import checked_name, sha256_of

FILE = "bits.npy"


class RandomBits:
    """Rows of fair bits by NumPy's PCG64, eight to a byte, in one file.

    Args:
        name: what the source is called here.
        num_samples: rows.
        num_bits: bits of each, a multiple of eight.
        seed: of the generator.
        sha256: of the file that comes of it.
        licence: licence of the data.

    Raises:
        ValueError: a size is not possible.
    """

    changes: ClassVar[bool] = False

    def __init__(
        self, name: str, num_samples: int, num_bits: int, seed: int, sha256: str, licence: str
    ) -> None:
        if num_samples < 1 or num_bits < 8 or num_bits % 8:
            raise ValueError(
                f"num_samples={num_samples}, num_bits={num_bits}: there are no such rows of bytes"
            )
        self.name = checked_name("name", name)
        self.num_samples = num_samples
        self.num_bits = num_bits
        self.seed = seed
        self.sha256 = sha256
        self.licence = licence

    def fetch(self, cache: Path, folder: Path) -> None:
        """Writes the file into `folder`; nothing is kept in `cache`.

        Raises:
            UserError: the file is not the one that `sha256` names.
        """
        generator = np.random.Generator(np.random.PCG64(self.seed))
        rows = generator.integers(0, 256, (self.num_samples, self.num_bits // 8), dtype=np.uint8)
        file = folder / FILE
        np.save(file, rows)
        if (found := sha256_of(file)) != self.sha256:
            raise UserError(
                f"the generated source {self.name!r} has sha256 {found}, not {self.sha256}",
                "Name that one if you changed its sizes or its seed",
            )
