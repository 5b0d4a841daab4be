"""Connections beside MPI by which rank 0 learns that another rank has died, and how.

MPI itself would wait for a dead rank for ever. A connection that the system closes tells within
milliseconds; one to a machine that has lost its power or its network, after a few seconds.
"""

import json
import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from scratchvae.errors import WorkerError
from scratchvae.mpi.guardian import LOST, OWN_WORDS, abort, say

CONNECT_SECONDS = 10.0
ALIVE = (("TCP_KEEPIDLE", 2), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 4))  # seconds, and attempts
FAREWELL = b"\n"
TOKEN = 16
SIOCGIFADDR = 0x8915


class Watch:
    """Rank 0's side: a connection to each other rank, and a thread that reads them all."""

    def __init__(self, size: int) -> None:
        self.token = os.urandom(TOKEN)
        self.listener = socket.create_server(("", 0), backlog=size)
        self.port = self.listener.getsockname()[1]
        self.size = size
        self.sockets: dict[int, socket.socket] = {}
        self._over = threading.Event()

    def where(self) -> tuple[list[str], int, bytes]:
        """What another rank needs to connect: addresses to try, a port and a secret."""
        return own_addresses(), self.port, self.token

    def accept(self) -> None:
        """Wait for the connections of all other ranks; ``WorkerError`` if one does not come."""
        until = time.monotonic() + CONNECT_SECONDS
        with self.listener:
            while len(self.sockets) < self.size - 1:
                self.listener.settimeout(max(until - time.monotonic(), 0.01))
                try:
                    found, _ = self.listener.accept()
                    found.settimeout(1.0)
                    said = _receive(found, TOKEN + 4)
                except OSError:
                    if time.monotonic() < until:
                        continue
                    missing = sorted({*range(1, self.size)} - set(self.sockets))
                    raise WorkerError(
                        f"rank {missing[0]} does not reach rank 0 by TCP within "
                        f"{CONNECT_SECONDS:.0f} s: allow connections among the job's machines"
                    ) from None
                if said[:TOKEN] != self.token:
                    found.close()
                    continue
                _keep_alive(found)
                found.sendall(self.token)
                self.sockets[struct.unpack("!I", said[TOKEN:])[0]] = found

    def start(self, describe: Callable[[int], str]) -> None:
        """End the job, in a sentence, when a rank ends before :meth:`close`.

        ``describe`` names a rank and its machine.
        """
        self._describe = describe
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """The ranks may end now."""
        self._over.set()
        for each in self.sockets.values():
            with suppress(OSError):
                each.sendall(FAREWELL)

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for rank, each in self.sockets.items():
                each.setblocking(True)
                selector.register(each, selectors.EVENT_READ, rank)
            while not self._over.is_set():
                for key, _ in selector.select(0.2):
                    try:
                        said = self.sockets[key.data].recv(1 << 16)
                    except OSError as error:
                        said = json.dumps([LOST, f"no connection ({error})"]).encode()
                    if not self._over.is_set():
                        self._end(key.data, said)

    def _end(self, rank: int, said: bytes) -> None:
        code, words = LOST, "has ended without a word, as if killed or out of memory"
        if said:
            with suppress(ValueError):
                code, words = json.loads(said)
                words = f"cannot go on: {words}"
                self._over.wait(OWN_WORDS)  # rank 0 may have found the same mistake
        sys.stdout.flush()
        say(f"{self._describe(rank)} {words}; the job ends, and what is on disk is whole")
        abort(code)


class Tether:
    """The other ranks' side: the connection to rank 0, whose end is theirs."""

    def __init__(self, rank: int, addresses: list[str], port: int, token: bytes) -> None:
        """``WorkerError`` if none of rank 0's addresses can be reached."""
        for address in addresses:
            with suppress(OSError):
                found = socket.create_connection((address, port), timeout=2.0)
                found.sendall(token + struct.pack("!I", rank))
                if _receive(found, TOKEN) == token:
                    break
                found.close()
        else:
            raise WorkerError(
                f"rank {rank} on {socket.gethostname()} does not reach rank 0 by TCP at any of "
                f"{', '.join(addresses)}: allow connections among the job's machines"
            )
        found.settimeout(None)
        _keep_alive(found)
        self.socket = found
        self._over = False
        threading.Thread(target=self._read, daemon=True).start()

    def report(self, code: int, sentence: str) -> None:
        """Tell rank 0 why this rank cannot go on, and wait for the end of the job."""
        with suppress(OSError):
            self.socket.sendall(json.dumps([code, sentence]).encode())
            time.sleep(CONNECT_SECONDS / 2)

    def _read(self) -> None:
        said = b""
        with suppress(OSError):
            said = self.socket.recv(1)
        if said != FAREWELL:  # rank 0 has ended, and the launcher is told with which code
            time.sleep(OWN_WORDS)
            os._exit(LOST)


def own_addresses() -> list[str]:
    """The IPv4 addresses of this machine, as other machines may know them; its own last."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            with suppress(OSError, ImportError):
                import fcntl

                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(any_socket.fileno(), SIOCGIFADDR, request)
                found.append(socket.inet_ntoa(answer[20:24]))
    with suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    unique = dict.fromkeys([*found, "127.0.0.1"])
    return sorted(unique, key=lambda address: address.startswith("127."))


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in ALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _receive(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = connection.recv(length - len(found))
        if not more:
            raise ConnectionResetError("closed")
        found += more
    return found
