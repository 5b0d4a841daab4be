"""The image sets of four IDX files: where they lie on the network, and what their bytes are.

Only a digest tells MNIST from Fashion-MNIST: file names, shapes and label counts agree, and one
public bucket serves the second under the name of the first. Where known, the digest is that of
the bytes before compression, since people compress again.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class IdxFile:
    """One IDX file: its name without .gz, its shape, and SHA-256 of the .gz and of its contents.

    ``sha256``, of the uncompressed bytes, is None if it is not known.
    """

    name: str
    shape: tuple[int, ...]
    gz_sha256: str
    sha256: str | None = None


@dataclass(frozen=True)
class Archive:
    """A data set on the web: files of train and test images and labels, and their mirrors."""

    name: str
    mirrors: tuple[str, ...]
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]


MNIST = Archive(
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    (
        IdxFile(
            "train-images-idx3-ubyte",
            (60_000, 28, 28),
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            (60_000,),
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        IdxFile(
            "t10k-images-idx3-ubyte",
            (10_000, 28, 28),
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            (10_000,),
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
)

FASHION_MNIST = Archive(
    "fashion-mnist",
    ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
    (
        IdxFile(
            "train-images-idx3-ubyte",
            (60_000, 28, 28),
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        IdxFile(
            "train-labels-idx1-ubyte",
            (60_000,),
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        IdxFile(
            "t10k-images-idx3-ubyte",
            (10_000, 28, 28),
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte",
            (10_000,),
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)

ARCHIVES = {archive.name: archive for archive in (MNIST, FASHION_MNIST)}


def identify(gz_sha256: str, sha256: str) -> str | None:
    """The known file with one of these digests, in words; None if there is none."""
    for archive in ARCHIVES.values():
        for file in archive.files:
            if gz_sha256 == file.gz_sha256 or sha256 == file.sha256:
                return f"{archive.name}'s {file.name}"
    return None
