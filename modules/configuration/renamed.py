"""What an earlier version called otherwise: keys, classes and choices of files, for errors that name the new
word and for plans that were kept with runs and registered models.
"""

from typing import Any

KEYS = {
    "fine_tuning.through": "adapter",
    "fine_tuning.anew": "reinit",
    "fine_tuning.thaw_every_epochs": "unfreeze_every_epochs",
    "reader.pictures_per_class": "images_per_class",
}
"""Old keys by the last two names of their path, and their new last name."""

TARGETS = {
    "modules.models.chain.Chain": "modules.models.sequential.Sequential",
    "modules.models.convolutional.autoencoder.ConvolutionalAutoencoder": (
        "modules.models.convolutional.convolutional_autoencoder.ConvolutionalAutoencoder"
    ),
    "modules.models.recurrent.bidirectional_classifier.BidirectionalClassifier": (
        "modules.models.recurrent.recurrent_classifier.RecurrentClassifier"
    ),
    "modules.sources.folder.LocalFolder": "modules.sources.local_folder.LocalFolder",
    "modules.datamodules.formats.picture_folder.PictureFolderReader": (
        "modules.datamodules.formats.image_folder.ImageFolderReader"
    ),
}

GONE = {
    "modules.bricks.normalised_convolution.NormalisedConvolution": (
        "Take modules.bricks.convolution.ConvolutionLayer with norm: batch and padding: same"
    ),
}
"""Classes that others have taken over, with keywords of their own."""

KEYWORDS = {
    ("InvertedResidual", "out_channels"): "num_filters",
    ("SequenceLabelling", "text"): "source",
}
"""Old keywords of classes, and the new ones."""

CHOICES = {
    "model": {
        "chain": "sequential",
        "convolutional/autoencoder": "convolutional/convolutional_autoencoder",
        "recurrent/bidirectional_classifier": "recurrent/recurrent_classifier",
    },
}
"""Old names of files by their group."""


def new_key(key: str) -> str | None:
    """The key that stands in the place of an old one: `phases.memory.fine_tuning.through`; None if it is
    none."""
    section, _, last = key.rpartition(".")
    name = KEYS.get(f"{section.rpartition('.')[2]}.{last}")
    return None if name is None else f"{section}.{name}"


def hint_for_key(key: str) -> str:
    """What to do about an old key; empty where it is none."""
    key = key.lstrip("+~")
    return f"It is called {new} now" if (new := new_key(key)) else ""


def hint_for_keyword(owner: str, name: str) -> str:
    """What to do about an old keyword of a class; empty where it is none."""
    new = KEYWORDS.get((owner, name))
    return f"It is called {new} now" if new else ""


def hint_for_target(target: Any) -> str:
    """What to do about an old class; empty where it is none."""
    return f"It is called {TARGETS[target]} now" if target in TARGETS else GONE.get(target, "")


def hint_for_choice(group: str, name: str) -> str:
    """What to do about an old file of a group; empty where it is none."""
    new = CHOICES.get(group, {}).get(name)
    return f"It is called {new} now" if new else ""


def renamed(value: Any, key: str = "") -> Any:
    """A configuration of 0.1.0, or a part of it at `key`, in today's words."""
    if isinstance(value, list):
        return [renamed(item, key) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    owner = str(value.get("_target_", "")).rpartition(".")[2]
    for name, item in value.items():
        path = f"{key}.{name}" if key else str(name)
        new = KEYWORDS.get((owner, name)) or (new_key(path) or path).rpartition(".")[2]
        found[new] = TARGETS.get(item, item) if name == "_target_" else renamed(item, path)
    return found
