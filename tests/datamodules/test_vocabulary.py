"""Vocabularies: made of the training split alone, kept with the shards, the same again from JSON."""

import json
from pathlib import Path

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import shard_hashes
from modules.configuration.schema.data_settings import VocabularySettings
from modules.datamodules.formats import text_files
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import BEGIN, END, PADDING, SPECIAL, UNKNOWN, Vocabulary, build_vocabulary
from tests.datamodules.ragged_data import write_text

TEXTS = ["the cat sat on the mat.", "The dog sat (on the log), didn't it?", "a cat; a dog"]


def built(kind: str, size: int, **more: object) -> Vocabulary:
    return build_vocabulary(VocabularySettings(kind, size, **more), TEXTS, "fields.text.vocabulary")  # pyright: ignore


def test_words_are_numbered_by_how_often_they_come() -> None:
    words = built("words", 8, lower_case=True)
    assert words.tokens == (*SPECIAL, "the", "a", "cat", "dog")
    assert words.encode("THE cat sat") == [4, 6, UNKNOWN]
    assert words.decode([BEGIN, 4, 6, UNKNOWN, END, 4]) == "the cat �"


def test_words_are_joined_as_a_writer_would() -> None:
    words = build_vocabulary(VocabularySettings("words", 21), TEXTS, "key")
    text = "The dog sat (on the log), didn't it?"
    assert words.decode(words.encode(text)) == text


@pytest.mark.parametrize(("kind", "size"), [("characters", 26), ("subwords", 270)])
def test_what_is_decoded_is_what_was_encoded(kind: str, size: int) -> None:
    vocabulary = built(kind, size)
    for text in TEXTS:
        assert vocabulary.decode([BEGIN, *vocabulary.encode(text), END, PADDING]) == text
    again = Vocabulary.from_plain(json.loads(json.dumps(vocabulary.to_plain())))
    assert again == vocabulary
    assert again.sha256() == vocabulary.sha256()
    assert again.encode(TEXTS[1]) == vocabulary.encode(TEXTS[1])


def test_subwords_know_every_text() -> None:
    vocabulary = built("subwords", 270)
    text = "Привет, <begin> 東京 <end>\n"
    numbers = vocabulary.encode(text)
    assert min(numbers) > END, "text that looks like a special token is text"
    assert vocabulary.decode(numbers) == text
    assert len(vocabulary.encode("the the")) < 7, "frequent pairs are joined"


def test_a_size_that_the_data_do_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"fields.text.vocabulary.size is 90, and the training split has 26"):
        built("characters", 90)
    with pytest.raises(UserError, match="seen 2 times or more"):
        built("words", 90, min_count=2)


def test_a_number_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="99 is no token of the 26"):
        built("characters", 26).decode([5, 99])


@pytest.mark.parametrize("wrong", [{"kind": "other"}, {"tokens": ["a"]}, {"merges": [["a"]]}, {"tokens": 3}])
def test_what_is_no_vocabulary_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        Vocabulary.from_plain(built("characters", 26).to_plain() | wrong)


def test_shards_keep_the_vocabulary_of_their_training_split(tmp_path: Path) -> None:
    texts = [f"{word} of line {number}" for number in range(40) for word in ("alpha", "beta")]
    vocabulary = {"kind": "characters", "size": 26}
    changes = {"splits": {"test": {"from": "train", "fraction": 0.3}}}
    shards = write_text(tmp_path, texts, vocabulary, **changes)
    assert len(shards.vocabularies["text"]) == 26
    found = set()
    for split in shards.splits.values():
        batch = split.read(np.arange(split.num_samples))
        for row, length in zip(batch["text"], batch["text_length"], strict=True):
            assert row[0] == BEGIN
            assert row[length - 1] == END
            found.add(shards.vocabularies["text"].decode(row[:length]))
    assert found == set(texts)
    assert shard_hashes(tmp_path / "texts")["vocabulary.text"] == [shards.vocabularies["text"].sha256()]


def test_shards_with_another_vocabulary_are_refused(tmp_path: Path) -> None:
    shards = write_text(tmp_path, TEXTS, {"kind": "characters", "size": 26})
    described = json.loads((shards.folder / "shards.json").read_text())
    described["vocabularies"]["text"]["tokens"].pop()
    (shards.folder / "shards.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="the vocabulary of text is not what its field says"):
        ShardSet.open(shards.folder)
    del described["vocabularies"]
    (shards.folder / "shards.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="is damaged"):
        ShardSet.open(shards.folder)


def test_a_text_without_a_token_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "read_text", lambda path: "a b\nc d")
    monkeypatch.setattr(Vocabulary, "encode", lambda self, text: [4] if text == "a b" else [])
    with pytest.raises(UserError, match=r"'text' of the sample texts\.txt:2 is an empty text"):
        write_text(tmp_path, ["a"], {"kind": "words", "size": 8})


def test_what_has_no_token_is_said() -> None:
    said: list[str] = []
    build_vocabulary(
        VocabularySettings("words", 6), ["a a a b c", "a b"], "fields.text.vocabulary", said.append
    )
    assert said == [
        "fields.text.vocabulary.size is 6: 1 of 3 words, 14.3% of the training split's, have no token"
    ]
    build_vocabulary(
        VocabularySettings("words", 7), ["a a a b c", "a b"], "fields.text.vocabulary", said.append
    )
    assert len(said) == 1
