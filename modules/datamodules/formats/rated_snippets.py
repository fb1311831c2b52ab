"""Short texts with the mean of twenty people's ratings, -4 (very negative) to 4: tweets, and snippets of
reviews of films and of products and of newspaper articles.

Hutto & Gilbert (2014), *VADER: a parsimonious rule-based model for sentiment analysis of social media
text*, ICWSM; their archive lies inside the source of the Python package `vaderSentiment`. A line is a
number, the rating and the text, with tabs between.
"""

import html
import tarfile
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path

FILES = {
    "tweets": "tweets_GroundTruth.txt",
    "films": "movieReviewSnippets_GroundTruth.txt",
    "products": "amazonReviewSnippets_GroundTruth.txt",
    "news": "nytEditorialSnippets_GroundTruth.txt",
}
SENTIMENTS = ["negative", "neutral", "positive"]


class RatedSnippetsReader:
    """The texts of all origins, sorted into negative, neutral and positive.

    Args:
        archive: beneath the source, the tar file of the ratings.
        neutral_within: a text is neutral whose mean rating lies strictly between minus this and this.
        split: the name of the one split that they make.
    """

    def __init__(self, archive: str, neutral_within: float = 0.5, split: str = "train") -> None:
        self.archive = archive
        self.neutral_within = neutral_within
        self.split = split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split with `text`, `label` and `origin`; a sample's key is its text, so that one text that
        comes twice lies in one split."""
        wanted = {"label": SENTIMENTS, "origin": list(FILES)}
        if any(name not in fields or fields[name].classes != classes for name, classes in wanted.items()):
            raise UserError("the fields label and origin have other classes", f"Write {wanted}")
        keys: list[str] = []
        ratings: list[float] = []
        origins: list[int] = []
        for number, lines in enumerate(_read(raw_path(raw, self.archive)).values()):
            for line in lines:
                _, rating, text = line.split("\t", 2)
                keys.append(" ".join(html.unescape(text).split()))
                ratings.append(float(rating))
                origins.append(number)
        rated = np.array(ratings)
        labels = 1 + (rated >= self.neutral_within).astype(np.int64) - (rated <= -self.neutral_within)
        columns = {"text": keys, "label": labels, "origin": np.array(origins, np.int64)}
        return {self.split: ArraySamples(keys, columns)}


def _read(archive: Path) -> dict[str, list[str]]:
    """The lines of each origin's file."""
    try:
        with tarfile.open(archive) as tar:
            members = {Path(member.name).name: member for member in tar.getmembers() if member.isfile()}
            found = {}
            for origin, name in FILES.items():
                file = tar.extractfile(members[name])
                assert file is not None
                found[origin] = [line for line in file.read().decode("utf-8").splitlines() if line.strip()]
    except (OSError, tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise UserError(f"{archive} is no archive of ratings ({error})", "Fetch it again") from error
    return found
