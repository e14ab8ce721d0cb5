"""Sources that an import reads: files, and sealed copies of what can be read only once."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, Protocol

from connections.json_format.issues import FileRefused

CHUNK_SIZE = 1024 * 1024  # bytes

# Encrypt or decrypt the bytes of a chunk, bound to the name of its place.
Seal = Callable[[bytes, str], bytes]


class Source(Protocol):
    """Bytes with the name of their file, read as often as needed and by several processes."""

    name: str

    def chunks(self) -> Iterator[bytes]:
        """All bytes, from the start."""

    def read(self, offset: int, length: int) -> bytes:
        """Some of the bytes."""


class FileSource:
    """A regular file. Raises FileRefused if it has changed since it was first read."""

    def __init__(self, path: str) -> None:
        self.path, self.name = path, file_name(path)
        self._state: tuple[int, ...] | None = None

    def chunks(self) -> Iterator[bytes]:
        with self._open() as file:
            while chunk := file.read(CHUNK_SIZE):
                yield chunk
            self._check_unchanged(file)

    def read(self, offset: int, length: int) -> bytes:
        with self._open() as file:
            return os.pread(file.fileno(), length, offset)

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        try:
            with open(self.path, "rb") as file:
                self._check_unchanged(file)
                yield file
        except OSError as error:
            raise _unreadable(self.name, error) from None

    def _check_unchanged(self, file: IO[bytes]) -> None:
        found = os.fstat(file.fileno())
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if self._state is None:
            self._state = state
        elif state != self._state:
            raise FileRefused("file_changed", self.name)


class SpooledSource:
    """A pipe or an upload, which can be read only once: a copy in sealed chunks on disk.

    The bytes are given to write(), or come from a binary `stream`. A stream is read only as far
    as chunks are asked for, so that nobody waits for the rest of one that is refused early.
    """

    def __init__(
        self, name: str, seal: Seal, unseal: Seal, stream: BinaryIO | None = None
    ) -> None:
        self.name, self.size = name, 0
        self._seal, self._unseal, self._stream = seal, unseal, stream
        self._file = tempfile.TemporaryFile()
        self._chunk_spans: list[tuple[int, int]] = []  # offset and length in the file
        self._pending = bytearray()
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._pending += data
        self._sha256.update(data)
        self.size += len(data)
        while len(self._pending) >= CHUNK_SIZE:
            self._flush(CHUNK_SIZE)

    def _flush(self, length: int) -> None:
        token = self._seal(bytes(self._pending[:length]), f"chunk/{len(self._chunk_spans)}")
        del self._pending[:length]
        offset = self._file.tell()  # the end: pread() leaves it where it is
        self._file.write(token)
        self._file.flush()
        self._chunk_spans.append((offset, len(token)))

    def chunks(self) -> Iterator[bytes]:
        position = 0
        while position < len(self._chunk_spans) or self._read_next_chunk():
            yield self.read_chunk(position)
            position += 1

    def _read_next_chunk(self) -> bool:
        """Copy the next chunk of the stream. False at its end."""
        count = len(self._chunk_spans)
        try:
            while self._stream and len(self._chunk_spans) == count:
                if data := self._stream.read(CHUNK_SIZE - len(self._pending)):
                    self.write(data)
                else:
                    self._stream = None
        except OSError as error:
            raise _unreadable(self.name, error) from None
        if not self._stream and self._pending:
            self._flush(len(self._pending))
        return len(self._chunk_spans) > count

    def read_chunk(self, position: int) -> bytes:
        start, length = self._chunk_spans[position]
        token = os.pread(self._file.fileno(), length, start)  # others may read at the same time
        return self._unseal(token, f"chunk/{position}")

    def read(self, offset: int, length: int) -> bytes:
        return read_chunks(self.read_chunk, offset, length)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def close(self) -> None:
        self._file.close()


def read_chunks(read_chunk: Callable[[int], bytes], offset: int, length: int) -> bytes:
    """Bytes of a source that is kept in chunks of CHUNK_SIZE, each read by its position."""
    first, last = offset // CHUNK_SIZE, (offset + length - 1) // CHUNK_SIZE
    data = b"".join(read_chunk(position) for position in range(first, last + 1))
    return data[offset - first * CHUNK_SIZE :][:length]


def open_source(
    path: str, stdin: BinaryIO, seal: Seal, unseal: Seal
) -> FileSource | SpooledSource:
    """The source for a path, or for standard input (`-`). Raises FileRefused.

    Anything but a regular file is copied into sealed chunks.
    """
    stream = stdin
    if path != "-":
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                return FileSource(path)
            stream = open(path, "rb")
        except OSError as error:
            raise _unreadable(file_name(path), error) from None
    return SpooledSource(file_name(path), seal, unseal, stream)


def _unreadable(name: str, error: OSError) -> FileRefused:
    return FileRefused("unreadable_file", name, reason=error.strerror or "")


def file_name(path: str) -> str:
    """The name of the file at a path, which may be in any encoding, as text to be stored."""
    return os.fsencode(os.path.basename(path)).decode(errors="replace")
