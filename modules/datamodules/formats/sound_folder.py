"""One's own sounds: a folder for each class, wav, flac or ogg."""

from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.class_folders import class_folders
from modules.datamodules.own_files import OnBadFile
from modules.datamodules.samples import Samples, raw_path
from modules.datamodules.tar_member import TarMember, open_file

ENDINGS = {".wav", ".flac", ".ogg"}


class SoundFolderReader:
    """Sounds sorted into one folder a class, for the field `sound`: float32 [time] in -1..1.

    Args:
        folder: where the class folders lie beneath the source; empty for its top.
        split: the name of the one split that they make.
        on_bad_file: whether a file that cannot be read is an error, or left out and told.
    """

    def __init__(self, folder: str = "", split: str = "train", on_bad_file: OnBadFile = "error") -> None:
        self.folder = folder
        self.split = split
        self.on_bad_file: OnBadFile = on_bad_file

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its path beneath the folder."""
        sound = fields["sound"]
        rate = sound.sample_rate_hz
        if sound.dtype != "float32" or sound.shape != ["time"] or rate is None:
            raise UserError(
                f"fields.sound is {sound.dtype} {sound.shape}, {rate} samples a second",
                "Sounds are float32 [time] with sample_rate_hz",
            )
        top = raw_path(raw, self.folder)
        samples = class_folders(
            top, fields["label"], "sound", ENDINGS, lambda path: read_sound(path, rate), self.on_bad_file
        )
        return {self.split: samples}


def read_sound(path: Path | TarMember, sample_rate_hz: int) -> np.ndarray:
    """A sound as float32 [time] in -1..1.

    Raises:
        UserError: it cannot be read, is not mono, is of another sample rate, or holds nothing but silence.
    """
    import soundfile

    try:
        with open_file(path) as file:
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise UserError(f"{path} is no sound that can be read ({error})", "Repair or remove it") from error
    if samples.shape[1] != 1:
        raise UserError(f"{path} has {samples.shape[1]} channels, and mono is wanted", "Mix it down to one")
    if rate != sample_rate_hz:
        hint = f"Resample it to {sample_rate_hz}, or set fields.sound.sample_rate_hz"
        raise UserError(f"{path} has {rate} samples a second, not {sample_rate_hz}", hint)
    if not samples.any():
        raise UserError(f"{path} is silent" if len(samples) else f"{path} holds no sample", "Remove it")
    return samples[:, 0]
