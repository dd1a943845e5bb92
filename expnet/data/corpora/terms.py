"""Terms of use of the corpora: a summary for orientation; what their owners publish is binding."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """Terms of use of a corpus.

    Args:
        name: Name of the corpus.
        licence: Licence or terms in a few words.
        page: Where they are published.
        note: What they mean for trained networks and for images of the people.
    """

    name: str
    licence: str
    page: str
    note: str

    def __str__(self) -> str:
        """Format the terms in one line."""
        return f"{self.name}: {self.licence} ({self.page}); {self.note}"


TERMS = {
    "hdtf": Terms(
        "HDTF",
        "annotations CC BY 4.0; the videos belong to their owners",
        "https://github.com/MRzzm/HDTF",
        "only the list is licensed: each video is under the terms of its uploader and of YouTube",
    ),
    "mead": Terms(
        "MEAD",
        "terms of use of its authors, for research; the MIT licence there covers the code only",
        "https://github.com/uniBruce/Mead",
        "read 'Terms of Use_ Mead.pdf' there before you train; show no actor's face without permission",
    ),
    "lrs3": Terms(
        "LRS3-TED",
        "on request from its authors, for research; TED's videos are CC BY-NC-ND 4.0",
        "https://www.robots.ox.ac.uk/~vgg/data/lip_reading/",
        "non-commercial, and no modified video may be shown, which includes a talking head made from one",
    ),
}
