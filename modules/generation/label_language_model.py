"""A trained language model as prefix beam search asks one: how likely each label is after a prefix.

Shallow fusion: Gulcehre et al. (2015), *On using monolingual corpora in neural machine translation*, section
4.1, arXiv 1503.03535. Tokens are those of the same text, the special ones too; apostrophes are alike however
they are typed. Probabilities are of these tokens alone: a model of capitals and digits says to a recogniser
without them which small letter comes next, given that it is one.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import BEGIN, PADDING, Vocabulary
from modules.generation.decoding import NextToken

_ALIKE = {"'": "’", "’": "'"}
"""One character that is typed in two ways: texts of a telephone have the first, printed ones the second."""


class TrainedLanguageModel(NamedTuple):
    """A language model and what its tokens are.

    Attributes:
        model: goes on writing; its state before the first token is None.
        vocabulary: of its texts.
    """

    model: NextToken[Any]
    vocabulary: Vocabulary


class LabelLanguageModel:
    """ln p of each label of a recogniser after a prefix of its labels; 0 of the blank.

    States of prefixes are kept until the empty prefix, with which a search begins, is asked for.

    Args:
        trained: the language model.
        labels: the recogniser's vocabulary.

    Raises:
        UserError: a label has no token of the same text.
    """

    def __init__(self, trained: TrainedLanguageModel, labels: Vocabulary) -> None:
        self.model = trained.model
        numbers = {token: number for number, token in enumerate(trained.vocabulary.tokens)}
        found = [numbers.get(token, numbers.get(_ALIKE.get(token, token))) for token in labels.tokens]
        pairs = zip(labels.tokens, found, strict=True)
        unknown = [token for token, number in pairs if number is None]
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise UserError(
                f"the language model does not know {', '.join(map(repr, unknown[:3]))}{more},"
                " which the recogniser can say",
                f"Take one of {labels.kind} whose training texts hold them",
            )
        self.tokens = torch.tensor([number for number in found if number is not None])
        self._said: dict[tuple[int, ...], tuple[Any, Float[np.ndarray, " labels"]]] = {}

    def __call__(self, prefix: tuple[int, ...]) -> Float[np.ndarray, " labels"]:
        """ln p of each label after the begin of a text and then `prefix`."""
        if not prefix:
            self._said.clear()
        return self._after(prefix)[1]

    def _after(self, prefix: tuple[int, ...]) -> tuple[Any, Float[np.ndarray, " labels"]]:
        if prefix not in self._said:
            # A loop, not recursion: a prefix may be asked for whose beginnings were not.
            known = len(prefix)
            while known and prefix[:known] not in self._said:
                known -= 1
            if prefix[:known] not in self._said:
                self._said[()] = self._step(BEGIN, None)
            for end in range(known + 1, len(prefix) + 1):
                state, _ = self._said[prefix[: end - 1]]
                self._said[prefix[:end]] = self._step(int(self.tokens[prefix[end - 1]]), state)
        return self._said[prefix]

    @torch.no_grad()
    def _step(self, token: int, state: Any) -> tuple[Any, Float[np.ndarray, " labels"]]:
        logits, after = self.model.step(torch.tensor([token]), state)
        chosen = logits[0, self.tokens].double()
        chosen[PADDING] = -torch.inf
        said = chosen.log_softmax(dim=0)
        said[PADDING] = 0.0  # a weight of 0 times minus infinity would be no number
        return after, said.numpy()
