"""Captioning: one image, many words. What is learned is that of `modules.tasks.sequence_to_sequence`.

Vinyals, Toshev, Bengio & Erhan (2014), *Show and tell*, arXiv 1411.4555, equation 2.
"""

from modules.tasks.sequence_to_sequence import SequenceToSequence


class Captioning(SequenceToSequence):
    """Learns which word comes next in what is said of an image."""

    sequence_form = "one to many"
    inputs_and_outputs = ("an image", "a sentence of it")
