"""Vocabularies of the sizes that a dataset says, of made-up tokens."""

from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.vocabulary import SPECIAL, Vocabulary


def made_vocabularies(data: DataSettings) -> dict[str, Vocabulary]:
    """One for each field of text."""
    found = {}
    for name, field in data.fields.items():
        if (settings := field.vocabulary) is not None:
            tokens = (*SPECIAL, *(f"token{number}" for number in range(settings.size - len(SPECIAL))))
            found[name] = Vocabulary(settings.kind, tokens, settings.lower_case)
    return found
