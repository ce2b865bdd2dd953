"""The data sets of the UCR and UEA archives that are known by name: their files and checksums.

Dau et al. 2019, arXiv:1810.07758; Bagnall et al. 2018, arXiv:1811.00075. The archive asks for a
citation and states no licence.
"""

from typing import NamedTuple

ADDRESS = "https://www.timeseriesclassification.com/aeon-toolkit/"  # of a set's name.zip


class SeriesFile(NamedTuple):
    """A file of the archive.

    Attributes:
      name: in the zip and on disk, where it may also be packed as .gz.
      size: bytes of text, with line feeds as line ends.
      sha256: of this text. That of the zip is not known.
    """

    name: str
    size: int
    sha256: str

    @property
    def names(self) -> tuple[str, str]:
        """The possible names on disk."""
        return self.name, f"{self.name}.gz"


class Archive(NamedTuple):
    """A data set: the files of its training and its test cases, and where its zip is."""

    name: str
    train: SeriesFile
    test: SeriesFile
    address: str = ADDRESS

    @property
    def files(self) -> tuple[SeriesFile, SeriesFile]:
        """The file of the training cases, and that of the test cases."""
        return self.train, self.test

    @property
    def zip_name(self) -> str:
        """The name of the published zip."""
        return f"{self.name}.zip"


SETS = (
    Archive(
        "ArrowHead",
        SeriesFile(
            "ArrowHead_TRAIN.ts",
            100_357,
            "a83c470aaf611a5f5284377cce27a5fc9f6292bc3d110257b0fd4905ced5ee72",
        ),
        SeriesFile(
            "ArrowHead_TEST.ts",
            484_894,
            "5417dab42626d41df5e435bb22458c2df40dfad4bcd3b59559bbe72e20e84904",
        ),
    ),
    Archive(
        "BasicMotions",
        SeriesFile(
            "BasicMotions_TRAIN.ts",
            227_790,
            "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
        ),
        SeriesFile(
            "BasicMotions_TEST.ts",
            227_713,
            "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
        ),
    ),
    Archive(
        "GunPoint",
        SeriesFile(
            "GunPoint_TRAIN.ts",
            84_188,
            "f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5",
        ),
        SeriesFile(
            "GunPoint_TEST.ts",
            252_305,
            "79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e",
        ),
    ),
    Archive(
        "ItalyPowerDemand",
        SeriesFile(
            "ItalyPowerDemand_TRAIN.ts",
            18_300,
            "341269cb7e6cef96846b30e774580beec79addb93848ba360145219115a74b7c",
        ),
        SeriesFile(
            "ItalyPowerDemand_TEST.ts",
            274_054,
            "26122451f87dd0387ef90b18bc8a86c041371b8a1c068004922b939971247144",
        ),
    ),
    Archive(
        "JapaneseVowels",
        SeriesFile(
            "JapaneseVowels_TRAIN.ts",
            487_971,
            "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        ),
        SeriesFile(
            "JapaneseVowels_TEST.ts",
            649_132,
            "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
        ),
    ),
    Archive(
        "OSULeaf",
        SeriesFile(
            "OSULeaf_TRAIN.ts",
            953_148,
            "86b9d6e860414ffd26cebc62fff84ffb37fa588ef3e5bf79e4094a437c36ddfc",
        ),
        SeriesFile(
            "OSULeaf_TEST.ts",
            1_152_821,
            "6c549dd354f9e42d5985fa5fab75321ca9acefc7873457e71467fc8a31f107ce",
        ),
    ),
)
CATALOGUE = {archive.name: archive for archive in SETS}
