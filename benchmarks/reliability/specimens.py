"""Image files drawn at random, .npy, .npz and IDX, most of them damaged in ways that have names.

Every choice comes from one ``random.Random``, so that a seed repeats a file and Hypothesis, which
can stand in for it, makes a bad one smaller.
"""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from benchmarks.reliability.mirror import idx_bytes

DTYPES = ("u1", "u1", "|b1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8")
BOMB = 16 << 20  # bytes of zeros, so that reading them all is seen
KEYS = ("images", "x", "arr_0", "train", "x_train", "test", "x_test", "y", "labels", "y_train")


class Specimen(NamedTuple):
    """A file, and what was done to it; nothing: the reader must accept it."""

    kind: str
    content: bytes
    damage: tuple[str, ...]


def draw(random: Random) -> Specimen:
    """A file of one of the three formats; nine of ten are damaged, once to three times."""
    kind = random.choice(tuple(FORMATS))
    make, damages = FORMATS[kind]
    if random.random() < 0.1:
        return Specimen(kind, make(random), ())
    name = random.choice(tuple(damages))
    content, done = damages[name](random, make), [name]
    for _ in range(random.choice((0, 0, 1, 2))):
        name = random.choice(tuple(BYTES))
        content, done = BYTES[name](random, content), [*done, name]
    return Specimen(kind, content, tuple(done))


# ---- valid files --------------------------------------------------------------------------------


def images(random: Random, dtype: str | None = None, pixels: tuple[int, ...] = ()) -> NDArray[Any]:
    """(N, H, W) or (N, D) of a dtype, in one of the two orders of memory."""
    dtype = dtype or random.choice(DTYPES)
    pixels = pixels or tuple(random.randint(1, 6) for _ in range(random.choice((1, 2, 2))))
    rng = np.random.default_rng(random.getrandbits(32))
    brightest = 2 if dtype == "|b1" else random.choice((2, 256, 256))
    values: NDArray[Any] = rng.integers(0, brightest, (random.randint(2, 9), *pixels))
    if np.dtype(dtype).kind == "f":
        values = values / 8 - 1
    return np.asarray(values.astype(dtype), order=random.choice(("C", "F")))


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    """The .npy file of an array, as NumPy writes it."""
    out = io.BytesIO()
    npy_format.write_array(out, np.asanyarray(array), version)
    return out.getvalue()


def make_npy(random: Random) -> bytes:
    """A valid .npy file."""
    return npy(images(random), random.choice(((1, 0), (2, 0))))


def make_idx(random: Random) -> bytes:
    """A valid IDX file, raw or gzip."""
    content = idx_bytes(images(random, "u1", (random.randint(1, 6), random.randint(1, 6))))
    return gzip.compress(content, mtime=0) if random.random() < 0.5 else content


def members(random: Random) -> dict[str, bytes]:
    """The members of a valid .npz file: images in one part or two, perhaps labels, perhaps more."""
    first = images(random)
    if random.random() < 0.5:
        found = {random.choice(("images", "x", "arr_0")): npy(first)}
        label = random.choice(("labels", "y", ""))
        labelled = {label: len(first)} if label else {}
    else:
        dtype = first.dtype.newbyteorder("<").str
        second = images(random, dtype, first.shape[1:])
        start = random.choice(("", "x_"))
        found = {f"{start}train": npy(first), f"{start}test": npy(second)}
        labelled = {"y_train": len(first)} if random.random() < 0.5 else {}
    found |= {key: npy(np.arange(n)) for key, n in labelled.items()}
    return found | ({"about": b"no array"} if random.random() < 0.2 else {})


def npz(found: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A .npz file of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in found.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, method)
    return out.getvalue()


def make_npz(random: Random) -> bytes:
    """A valid .npz file, compressed or not."""
    return npz(members(random), random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


# ---- damage to any file -------------------------------------------------------------------------

Damage = Callable[[Random, Any], bytes]


def splice(random: Random, content: bytes) -> bytes:
    """Up to eight bytes anywhere give way to up to eight others."""
    at = random.randint(0, max(0, len(content) - 1))
    new = random.randbytes(random.randint(0, 8))
    return content[:at] + new + content[at + random.randint(0, 8) :]


def flip(random: Random, content: bytes) -> bytes:
    """One bit, in the first 200 bytes as often as anywhere."""
    changed = bytearray(content or b"\0")
    end = len(changed) if random.random() < 0.5 else min(200, len(changed))
    changed[random.randint(0, end - 1)] ^= 1 << random.randint(0, 7)
    return bytes(changed)


BYTES: dict[str, Callable[[Random, bytes], bytes]] = {
    "bytes replaced": splice,
    "a bit flipped": flip,
    "truncated": lambda random, content: content[: random.randint(0, len(content))],
    "bytes appended": lambda random, content: content + random.randbytes(random.randint(1, 9)),
}


def of_a_valid_file(change: Callable[[Random, bytes], bytes]) -> Damage:
    """The damage that is done to a file after it was made."""
    return lambda random, make: change(random, make(random))


ANY = {name: of_a_valid_file(change) for name, change in BYTES.items()}

# ---- .npy headers that lie ----------------------------------------------------------------------

DESCRS = (
    "'|O'", "'<f8'", "'>f4'", "'<U3'", "'|V4'", "'<M8[s]'", "'<c8'", "[('a', '|u1')]", "'<i8'",
    "'|b1'", "('<f4', (2,))", "'|S0'", "'<f16'", "'|u1'", "7", "''", "None",
)  # fmt: skip
SHAPES = (
    "(-1, 4)", "(2, -3)", "(2147483648, 2147483648)", "(99999999999999999999, 2)", "(0, 3)", "()",
    "(6,)", "(3, 4)", "(2, 2.0)", "(2, True)", "[2, 2]", "None", "(1, 2, 3, 4)", "(1048577, 1)",
    "(2, 10000000)", f"({'1, ' * 99})", f"({'9' * 4000}, 2)", "((2, 2), 2)",
)  # fmt: skip
ORDERS = ("True", "False", "1", "None")


def lying_npy(random: Random, which: str) -> bytes:
    """A .npy file of which one word of the header is another than the data's."""
    array = images(random)
    words = {"descr": repr(array.dtype.str), "fortran_order": "False", "shape": str(array.shape)}
    words[which] = random.choice({"descr": DESCRS, "shape": SHAPES, "fortran_order": ORDERS}[which])
    text = "{" + ", ".join(f"'{key}': {word}" for key, word in words.items()) + ", }\n"
    version = random.choice((1, 1, 2, 3))
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    data = np.zeros(array.shape, object).tobytes() if words["descr"] == "'|O'" else array.tobytes()
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + data


def long_header(random: Random) -> bytes:
    """A .npy file whose header is said to have up to 4 GiB."""
    length = random.choice((10_001, 65_536, 2**31, 2**32 - 1))
    return b"\x93NUMPY\2\0" + struct.pack("<I", length) + make_npy(random)[10:]


NPY_DAMAGES: dict[str, Damage] = ANY | {
    "npy: another dtype": lambda random, make: lying_npy(random, "descr"),
    "npy: another shape": lambda random, make: lying_npy(random, "shape"),
    "npy: another order": lambda random, make: lying_npy(random, "fortran_order"),
    "npy: a header too long": lambda random, make: long_header(random),
    "npy: pickled objects": lambda random, make: npy(np.array([[None, "a"], [b"c", 1]], object)),
}

# ---- zip archives that lie ----------------------------------------------------------------------


@cache
def zip_bomb(method: int, declared: int) -> bytes:
    """A .npz file of a small array, or one of ``declared`` bytes, before 16 MiB of zeros."""
    small = npy(np.zeros((4, 4), np.uint8))
    grown = small.replace(b"(4, 4)", f"(4, {declared // 4})".encode()) if declared else small
    return npz({"x": grown + bytes(BOMB)}, method)


def changed_member(random: Random) -> bytes:
    """One member damaged before it was archived: no checksum can tell."""
    found = members(random)
    name = random.choice(tuple(found))
    damage = random.choice(tuple(NPY_DAMAGES.values()))
    return npz(found | {name: damage(random, lambda _: found[name])}, zipfile.ZIP_DEFLATED)


def changed_field(random: Random, signature: bytes, offset: int, size: int) -> bytes:
    """A field of a zip header, replaced."""
    content = bytearray(make_npz(random))
    at = content.index(signature) + offset
    content[at : at + size] = random.choice((random.randbytes(size), b"\xff" * size, bytes(size)))
    return bytes(content)


def twice(random: Random) -> bytes:
    """A name that stands for two members, alike or not."""
    found = members(random)
    name = random.choice(tuple(found))
    other = found[name] if random.random() < 0.5 else npy(images(random))
    marked = name[:-1] + "\x7f"  # as long as the name, and renamed when the archive is written
    content = npz(found | {marked: other})
    return content.replace(marked.encode(), name.encode())


def surplus(random: Random) -> bytes:
    """One more member, whose name means something."""
    found = members(random)
    key = random.choice([key for key in KEYS if key not in found])
    return npz(found | {key: npy(images(random))})


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"
NPZ_DAMAGES: dict[str, Damage] = ANY | {
    "npz: a damaged member": lambda random, make: changed_member(random),
    "npz: a name twice": lambda random, make: twice(random),
    "npz: a surplus array": lambda random, make: surplus(random),
    "npz: a lacking array": lambda random, make: npz(dict(list(members(random).items())[1:])),
    "npz: a wrong CRC": lambda random, make: changed_field(random, CENTRAL, 16, 4),
    "npz: wrong sizes": lambda random, make: changed_field(random, CENTRAL, 20, 8),
    "npz: flags": lambda random, make: changed_field(random, CENTRAL, 8, 2),
    "npz: another method": lambda random, make: changed_field(random, CENTRAL, 10, 2),
    "npz: a local header": lambda random, make: changed_field(random, LOCAL, 4, 26),
    "npz: bzip2 or LZMA": lambda random, make: npz(members(random), random.choice((12, 14))),
    "npz: a bomb": lambda random, make: zip_bomb(
        random.choice((8, 8, 12, 14)), random.choice((0, 64, BOMB, BOMB + 16))
    ),
}

# ---- IDX headers that lie -----------------------------------------------------------------------


def lying_idx(random: Random, offset: int, size: int) -> bytes:
    """A field of the header, replaced, raw or under a gzip that is whole."""
    content = bytearray(idx_bytes(images(random, "u1", (random.randint(1, 6), 3))))
    values = (b"\xff", b"\0", random.randbytes(1))
    new = random.choice(values) * size if random.random() < 0.5 else random.randbytes(size)
    content[offset : offset + size] = new
    return gzip.compress(content, mtime=0) if random.random() < 0.5 else bytes(content)


@cache
def gzip_bomb(sizes: tuple[int, int, int]) -> bytes:
    """An IDX header of these sizes before 16 MiB of zeros, in a few kilobytes."""
    header = b"\0\0\x08\3" + struct.pack(">3I", *sizes)
    return gzip.compress(header + bytes(BOMB), mtime=0)


def changed_trailer(random: Random) -> bytes:
    """A gzip file with another checksum or length, or another stream or zeros behind it."""
    content = gzip.compress(idx_bytes(images(random, "u1", (2, 3))), mtime=0)
    end = random.choice((random.randbytes(8), content[-8:-4] + b"\0\0\0\1", content[-8:]))
    return content[:-8] + end + random.choice((b"", gzip.compress(b"more"), bytes(9), content))


IDX_DAMAGES: dict[str, Damage] = ANY | {
    "idx: magic number": lambda random, make: lying_idx(random, 0, 4),
    "idx: dtype code": lambda random, make: lying_idx(random, 2, 1),
    "idx: rank": lambda random, make: lying_idx(random, 3, 1),
    "idx: one size": lambda random, make: lying_idx(random, 4 * random.randint(1, 3), 4),
    "idx: all sizes": lambda random, make: lying_idx(random, 4, 12),
    "idx: a gzip trailer": lambda random, make: changed_trailer(random),
    "idx: a bomb": lambda random, make: gzip_bomb(
        random.choice(((2, 2, 2), (16, 1024, 1024), (2**32 - 1,) * 3, (17, 1024, 1024)))
    ),
}

FORMATS: dict[str, tuple[Callable[[Random], bytes], dict[str, Damage]]] = {
    "IDX": (make_idx, IDX_DAMAGES),
    "npy": (make_npy, NPY_DAMAGES),
    "npz": (make_npz, NPZ_DAMAGES),
}
