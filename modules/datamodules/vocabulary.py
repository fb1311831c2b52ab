"""The tokens of a field of text: made once of the training split, kept with the shards and hashed into the
data's identity.

Token numbers begin with four special ones: padding (0, so that a batch is padded with zeros), unknown, begin
and end. The others follow by how often they come, the most frequent first.

Subwords: byte-pair encoding (Sennrich, Haddow & Birch 2016, arXiv 1508.07909) over bytes (Radford et al.
2019, *Language models are unsupervised multitask learners*, section 2.2), by Hugging Face's `tokenizers`.
"""

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import VocabularySettings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN, BEGIN, END = range(4)
SPECIAL = ("<padding>", "<unknown>", "<begin>", "<end>")
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_NO_SPACE_BEFORE, _NO_SPACE_AFTER = frozenset(".,;:!?)]}%"), frozenset("([{")


@dataclass(frozen=True)
class Vocabulary:
    """What a text is made of.

    Attributes:
        kind: `characters`, `words` (a run of letters and digits, or one other sign) or `subwords`.
        tokens: their texts by number, the special ones first.
        lower_case: whether texts are put into lower case first.
        merges: of subwords, the pairs that are joined, in their order.
    """

    kind: str
    tokens: tuple[str, ...]
    lower_case: bool = False
    merges: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's tokens, without begin and end; what is not in the vocabulary is unknown.

        Text that looks like a special token is plain text.
        """
        if self.kind == "subwords":
            return self._subwords.encode(self._prepared(text), add_special_tokens=False).ids
        return [self._numbers.get(token, UNKNOWN) for token in _split(self.kind, self._prepared(text))]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of tokens up to the first end; padding and begin are left out, unknown is written as �.

        Raises:
            ValueError: a number is no token's.
        """
        kept = list(self._up_to_end(numbers))
        if self.kind == "subwords":
            parts = [[]]
            for number in kept:
                if number == UNKNOWN:
                    parts.append([])
                else:
                    parts[-1].append(number)
            return "�".join(self._subwords.decode(part) for part in parts)
        tokens = ["�" if number == UNKNOWN else self.tokens[number] for number in kept]
        return "".join(tokens) if self.kind == "characters" else _joined(tokens)

    def sha256(self) -> str:
        """What tells it from every other."""
        return hashlib.sha256(json.dumps(self.to_plain(), sort_keys=True).encode()).hexdigest()

    def to_plain(self) -> dict[str, Any]:
        """Plain containers, for JSON."""
        return asdict(self) | {"tokens": list(self.tokens), "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Vocabulary":
        """What `to_plain` gave, checked: it may come from somebody else.

        Raises:
            ValueError: it is no vocabulary.
        """
        try:
            found = cls(
                str(plain["kind"]),
                tuple(plain["tokens"]),
                bool(plain["lower_case"]),
                tuple((left, right) for left, right in plain["merges"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no vocabulary ({error})") from error
        texts = (*found.tokens, *(text for pair in found.merges for text in pair))
        if (
            found.kind not in ("characters", "words", "subwords")
            or not all(isinstance(text, str) for text in texts)
            or found.tokens[: len(SPECIAL)] != SPECIAL
            or len(set(found.tokens)) != len(found.tokens)
        ):
            raise ValueError("it is no vocabulary")
        return found

    def _prepared(self, text: str) -> str:
        return text.lower() if self.lower_case else text

    def _up_to_end(self, numbers: Iterable[int]) -> Iterator[int]:
        for number in numbers:
            if number == END:
                return
            if not 0 <= number < len(self):
                raise ValueError(f"{number} is no token of the {len(self)} in the vocabulary")
            if number not in (PADDING, BEGIN):
                yield int(number)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens) if number >= len(SPECIAL)}

    @functools.cached_property
    def _subwords(self) -> "Tokenizer":
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        ids = {token: number for number, token in enumerate(self.tokens)}
        made = Tokenizer(models.BPE(vocab=ids, merges=list(self.merges)))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}


def build_vocabulary(
    settings: VocabularySettings,
    texts: Iterable[str],
    key: str,
    say: Callable[[str], None] = lambda note: None,
) -> Vocabulary:
    """The vocabulary of a training split.

    Args:
        settings: its kind and size.
        texts: of the training split.
        key: of the field in the data YAML, for messages.
        say: is told what of the training split has no token, where that is something.

    Raises:
        UserError: there are fewer tokens than the size says.
    """
    prepared = (text.lower() for text in texts) if settings.lower_case else texts
    if settings.kind == "subwords":
        return _build_subwords(settings, prepared, key)
    counts = Counter(token for text in prepared for token in _split(settings.kind, text))
    frequent = [token for token, count in counts.items() if count >= settings.min_count]
    frequent.sort(key=lambda token: (-counts[token], token))
    tokens = (*SPECIAL, *frequent[: settings.size - len(SPECIAL)])
    _check_size(len(tokens), settings, key)
    if left := set(counts) - set(tokens):
        share = sum(counts[token] for token in left) / counts.total()
        left_out = f"{len(left)} of {len(counts)} {settings.kind}, {share:.1%} of the training split's"
        say(f"{key}.size is {settings.size}: {left_out}, have no token")
    return Vocabulary(settings.kind, tokens, settings.lower_case)


def _build_subwords(settings: VocabularySettings, texts: Iterable[str], key: str) -> Vocabulary:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=settings.size,
        min_frequency=settings.min_count,
        special_tokens=list(SPECIAL),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    model = json.loads(made.to_str())["model"]
    by_number = sorted(model["vocab"], key=model["vocab"].__getitem__)
    _check_size(len(by_number), settings, key)
    merges = tuple((left, right) for left, right in model["merges"])
    return Vocabulary("subwords", tuple(by_number), settings.lower_case, merges)


def _check_size(found: int, settings: VocabularySettings, key: str) -> None:
    if found != settings.size:
        rare = f" seen {settings.min_count} times or more" if settings.min_count > 1 else ""
        raise UserError(
            f"{key}.size is {settings.size}, and the training split has {found} {settings.kind}{rare}, the "
            "four special ones included",
            f"Set it to {found}",
        )


def _split(kind: str, text: str) -> Sequence[str]:
    return text if kind == "characters" else _WORD.findall(text)


def _joined(words: Sequence[str]) -> str:
    """Words with spaces where a writer would put them."""
    text = ""
    for word in words:
        glued = not text or word in _NO_SPACE_BEFORE or text[-1] in _NO_SPACE_AFTER
        text += word if glued else f" {word}"
    return text
