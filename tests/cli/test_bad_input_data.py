"""Data that no model can be trained on: every kind of file, and every place that holds none."""

import pytest
from bad_input import TINY, Table, refuses

CASES: Table = {
    # the data
    "an unknown data set": ("--data minst", "unknown dataset 'minst'. Did you mean 'mnist'?"),
    "an unknown data set far from all": ("--data faces", "There are: digits, sprites, mnist, fash"),
    "no name": ("--data=", "data are named by a text, and this one is empty; there are: digits"),
    "a missing file": ("--data nowhere/x.npy", "'nowhere/x.npy': no such file"),
    "a folder instead of a file": ("--data ./thesis", "is a folder without PNG or JPEG files"),
    "an empty file": ("--data empty", "neither .npy, .npz nor IDX"),
    "a truncated array": ("--data truncated.npy", "344 are there"),
    "a header cut off": ("--data stump.npy", "stump.npy: damaged or incomplete"),
    "a zip cut off": ("--data cut.npz", "cut.npz: damaged or incomplete"),
    "a table of one row": ("--data table.csv", "table.csv: holds one image (or row)"),
    "a foreign file": ("--data stump", "stump: neither .npy, .npz nor IDX"),
    "a picture": ("--data picture.png", "begins with 89 50 4e 47"),
    "an IDX header that lies": (
        "--data lying-idx3-ubyte", "declares 784000 bytes of data and 444 are there",
    ),
    "an IDX header that asks for exabytes": ("--data huge-idx3-ubyte", "are read"),
    "bytes after the data": ("--data surplus-idx3-ubyte", "444 bytes of data and 445 are there"),
    "IDX floats": ("--data floats-idx3-ubyte", "0x0d (32-bit floats)"),
    "labels instead of images": ("--data labels-idx1-ubyte", "an IDX file of rank 1, but images"),
    "a gzip cut off": ("--data cut-idx3-ubyte.gz", "cut-idx3-ubyte.gz: damaged"),
    "an IDX file of no images": ("--data none-idx3-ubyte", "is empty"),
    "labels of another count": ("--data pair-images-idx3-ubyte", "37 images but 20 labels"),
    "labels of another count in an npz": ("--data labels.npz", "37 images but 36 labels"),
    "arrays of unknown names": ("--data names.npz", "holds the arrays 'pictures'"),
    "pixels above 1 for a Bernoulli": ("--data outside.npy", "pixel 6 (value 1.5)"),
    "pixels below 0 for a Bernoulli": ("--data below.npy", "outside [0, 1]"),
    "pixels outside in the test part only": ("--data outside-test.npz", "test images: "),
    "pixels outside to be drawn": (
        "--data outside.npy --likelihood gaussian --binarize static",
        "binarization 'static': 1 of",
    ),
    "NaN": ("--data nan.npy", "1 of 444 values are NaN or infinite"),
    "NaN for a Gaussian": ("--data nan.npy --likelihood gaussian", "index (3, 6) (nan)"),
    "infinity": ("--data inf.npy", "index (3, 6) (inf)"),
    "zero images": ("--data zero.npy", "zero.npy: is empty"),
    "one image": ("--data one.npy", "train and test need one each"),
    "channels first": ("--data channels.npy", "(3, 8, 8) look as if channels came first"),
    "words": ("--data words.npy", "save a plain array of integers or floats"),
    "Python objects": ("--data objects.npy", "Python objects"),
    "a link that leads to itself": ("--data loop.npy", "'loop.npy': no such file; check the path"),
    "a file below a link that leads to itself": ("--data loop/x.npy", "no such file; check the"),
    "a name with a byte of zero": ("--data 'a\0b.npy'", "no such file; check the path"),
    "a name too long": (f"--data {'x' * 300}.npy", "no such file; check the path"),
    "an MNIST folder that is a file": (
        "--data mnist --data-dir tiny.npz", "tiny.npz is not a folder; name a folder with all",
    ),
    "an MNIST folder that is a link to itself": (
        "--data mnist --data-dir loop", "loop is not a folder; name a folder with all",
    ),
    "a subset of another kind": ("--subset middle:3", "it must be of the form first:N, last:N"),
    "a subset of none": ("--subset first:0", "with numbers of at least 1"),
    "a subset of more than there is": ("--subset last:28", "asks for more than 27 images"),
    "a subset drawn by too large a seed": ("--subset draw:4294967296:3:4", "the seed of a draw is"),
    "grey floats for a categorical": (
        "--likelihood categorical --data below.npy", "needs pixels of whole levels (uint8)",
    ),
    "integers beyond a byte": ("--data wide.npy", "from 300 to 300"),
    "an MNIST folder that is no folder": ("--data mnist --data-dir nowhere", "is not a folder"),
    "an MNIST folder with one file of four": (
        "--data mnist --data-dir partial", "partial lacks train-labels-idx1-ubyte",
    ),
    "another set under MNIST's names": (
        "--data mnist --data-dir foreign", "is not mnist's train-images-idx3-ubyte",
    ),
    "another set under Fashion-MNIST's names": (
        "--data fashion-mnist --data-dir foreign", "another set",
    ),
    "no network for MNIST": ("--data mnist", "no mirror delivered train-images-idx3-ubyte.gz"),
    "no network for Fashion-MNIST": ("--data fashion-mnist", "(https://raw.githubusercontent"),
    "no network, and what to do": ("--data mnist", "choose the dataset 'digits', which needs no"),
}  # fmt: skip

ROWS: Table = {
    name: (f"{TINY} {options} --out never", fragment) for name, (options, fragment) in CASES.items()
}


@pytest.mark.parametrize("case", ROWS)
def test_data_that_cannot_be_used_are_refused(case: str, world, capsys) -> None:
    refuses(world, *ROWS[case], capsys)
