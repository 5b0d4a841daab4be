"""An npz file in one canonical form: the same arrays always give the same bytes.

An npz is a zip of ``.npy`` members, and a zip leaves much to its writer: times, compression, gaps,
comments, sizes that are said twice. Here nothing is left open. All but the arrays' own bytes
follows from their names, types, shapes and checksums, so that a reader can hold every byte of the
frame against what it must be; what differs anywhere is refused. ``numpy.load`` reads the file.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Zip's own records, always with the 64-bit fields that files beyond 4 GiB need, and with the date
# that stands for none, 1 January 1980.
VERSION, UNIX, DATE, IN_EXTRA = 45, 3 << 8, 0x21, 0xFFFFFFFF
LOCAL = struct.Struct("<4s5H3L2H")  # then the name, then LOCAL_EXTRA
LOCAL_EXTRA = struct.Struct("<2H2Q")
CENTRAL = struct.Struct("<4s6H3L5H2L")  # then the name, then CENTRAL_EXTRA
CENTRAL_EXTRA = struct.Struct("<2H3Q")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")
END = struct.Struct("<4s4H2LH")
LONGEST_NAME = 1000


class FrameError(ValueError):
    """The file differs from what this module writes; the message says where."""


class Member(NamedTuple):
    """An array in its file: name, offsets of its zip record and of its ``.npy``, size, CRC-32."""

    name: str
    start: int
    data: int
    size: int
    crc: int


def write_npz(file: BinaryIO, arrays: Mapping[str, NDArray]) -> None:
    """Write the arrays in the order they are given."""
    members, position = [], 0
    for name, a in arrays.items():
        header, body = npy_header(a.dtype, a.shape), _bytes_of(a)
        crc = zlib.crc32(body, zlib.crc32(header))
        local = _local(name, len(header) + len(body), crc)
        size = len(header) + len(body)
        members.append(Member(name, position, position + len(local), size, crc))
        for piece in (local, header, body):
            file.write(piece)
        position += len(local) + size
    file.write(_ending(members, position))


def npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """The ``.npy`` header, version 1.0 of the format, byte for byte as NumPy 2 writes it."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * (21 - len(repr(shape[0]))) if shape else ""
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


class NpzReader:
    """The members of an open npz, found without reading an array; ``FrameError`` if malformed."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, 2)
        self.members: dict[str, Member] = {}
        self.end = 0  # of the last member
        while (member := self._member(self.end)) is not None:
            if member.name in self.members:
                raise FrameError(f"the array {member.name} is there twice")
            self.members[member.name] = member
            self.end = member.data + member.size

    def _at(self, position: int, count: int) -> bytes:
        self.file.seek(position)
        return self.file.read(count)

    def _member(self, start: int) -> Member | None:
        """The member whose record begins at ``start``; None where the members end."""
        head = self._at(start, LOCAL.size)
        if start and head[:4] == b"PK\x01\x02":
            return None
        if len(head) < LOCAL.size or head[:4] != b"PK\x03\x04":
            raise FrameError(f"no array begins at byte {start}, where one should")
        length, crc = LOCAL.unpack(head)[9], LOCAL.unpack(head)[6]
        rest = self._at(start + LOCAL.size, min(length, LONGEST_NAME) + LOCAL_EXTRA.size)
        name = rest[:length].decode("ascii", "replace").removesuffix(".npy")
        if len(rest) < length + LOCAL_EXTRA.size:
            raise FrameError(f"the array at byte {start} has no whole name")
        size = LOCAL_EXTRA.unpack(rest[length:])[2]
        if head + rest != _local(name, size, crc):
            raise FrameError(f"the record of the array {name} is not the one that is written")
        data = start + LOCAL.size + len(rest)
        if data + size > self.size:
            raise FrameError(
                f"the array {name} is cut off: {size} bytes are declared, "
                f"{self.size - data} are left in the file"
            )
        return Member(name, start, data, size, crc)

    def check_header(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """Check an array's ``.npy`` header and size before any of its bytes are read."""
        member, expected = self.members[name], npy_header(dtype, shape)
        found = self._at(member.data, min(len(expected), member.size))
        if found != expected:
            words = found[10:].decode("ascii", "replace").strip()
            raise FrameError(f"the array {name} is not {dtype.str} {shape}: it says {words}")
        if member.size != len(expected) + _bytes_in(dtype, shape):
            raise FrameError(
                f"the array {name} has {member.size - len(expected)} bytes, "
                f"but {_bytes_in(dtype, shape)} belong to {dtype.str} {shape}"
            )

    def read(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
        """Read an array and check its CRC-32."""
        self.check_header(name, dtype, shape)
        member, header = self.members[name], npy_header(dtype, shape)
        a = np.empty(shape, dtype)
        self.file.seek(member.data + len(header))
        body = _bytes_of(a)
        if self.file.readinto(body) != len(body):  # type: ignore[attr-defined]
            raise FrameError(f"the array {name} is cut off")
        if zlib.crc32(body, zlib.crc32(header)) != member.crc:
            raise FrameError(f"the array {name} is not what its checksum says")
        return a

    def check_ending(self) -> None:
        """Check that the central directory is the one that these members imply."""
        expected = _ending(list(self.members.values()), self.end)
        if self._at(self.end, len(expected) + 1) != expected:
            raise FrameError(f"its ending, from byte {self.end}, is not the one that is written")


def _bytes_in(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    size = dtype.itemsize
    for n in shape:
        size *= n
    return size


def _bytes_of(a: NDArray) -> memoryview:
    """The memory of an array, which must be contiguous."""
    return a.reshape(-1).view(np.uint8).data


def _local(name: str, size: int, crc: int) -> bytes:
    """The record before a member."""
    text = f"{name}.npy".encode()
    fixed: tuple[object, ...] = (b"PK\x03\x04", VERSION, 0, 0, 0, DATE, crc, IN_EXTRA, IN_EXTRA)
    head = LOCAL.pack(*fixed, len(text), LOCAL_EXTRA.size)
    return head + text + LOCAL_EXTRA.pack(1, LOCAL_EXTRA.size - 4, size, size)


def _ending(members: list[Member], position: int) -> bytes:
    """The zip's directory and its end, for members that end at ``position``."""
    records = []
    for member in members:
        text = f"{member.name}.npy".encode()
        fixed: tuple[object, ...] = (b"PK\x01\x02", UNIX | VERSION, VERSION, 0, 0, 0, DATE)
        sizes = (IN_EXTRA, IN_EXTRA, len(text), CENTRAL_EXTRA.size)
        head = CENTRAL.pack(*fixed, member.crc, *sizes, 0, 0, 0, 0o600 << 16, IN_EXTRA)
        extra = (member.size, member.size, member.start)
        records.append(head + text + CENTRAL_EXTRA.pack(1, CENTRAL_EXTRA.size - 4, *extra))
    directory, count = b"".join(records), len(members)
    end64 = END64.pack(b"PK\x06\x06", END64.size - 12, UNIX | VERSION, VERSION, 0, 0,
                       count, count, len(directory), position)  # fmt: skip
    locator = LOCATOR.pack(b"PK\x06\x07", 0, position + len(directory), 1)
    end = END.pack(b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, IN_EXTRA, IN_EXTRA, 0)
    return directory + end64 + locator + end
