"""Where an import reads from: files, and what can be read only once, kept sealed meanwhile.

A source has a `name`, a method `chunks()` that yields its bytes from the start, again and again,
and a method `read(offset, length)` that several processes may call at the same time.
"""

import hashlib
import os
import stat
import tempfile
from contextlib import contextmanager

from connections.json_format.issues import FileRefused

CHUNK_SIZE = 1024 * 1024  # bytes


class FileSource:
    """A regular file. Reading what has changed since the first time raises FileRefused."""

    def __init__(self, path):
        self.path, self.name = path, file_name(path)
        self._state = None

    def chunks(self):
        with self._open() as file:
            while chunk := file.read(CHUNK_SIZE):
                yield chunk
            self._check(file)

    def read(self, offset, length):
        """Bytes of the file. Safe to be called from several processes."""
        with self._open() as file:
            return os.pread(file.fileno(), length, offset)

    @contextmanager
    def _open(self):
        try:
            with open(self.path, "rb") as file:
                self._check(file)
                yield file
        except OSError as error:
            raise FileRefused("unreadable_file", self.name, reason=error.strerror or "") from None

    def _check(self, file):
        found = os.fstat(file.fileno())
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if self._state is None:
            self._state = state
        elif state != self._state:
            raise FileRefused("file_changed", file=self.name)


class SpooledSource:
    """What can be read only once (a pipe, an upload), kept in sealed chunks on disk.

    `seal` and `unseal` take the bytes of a chunk and the name of its place. The bytes are given
    to write(), or come from a binary `stream`: that is read only as far as anybody asks, so that
    what is refused at its beginning is not waited for.
    """

    def __init__(self, name, seal, unseal, stream=None):
        self.name, self.size = name, 0
        self._seal, self._unseal, self._stream = seal, unseal, stream
        self._file = tempfile.TemporaryFile()
        self._chunk_spans, self._pending = [], bytearray()
        self._sha256 = hashlib.sha256()

    def write(self, data):
        self._pending += data
        self._sha256.update(data)
        self.size += len(data)
        while len(self._pending) >= CHUNK_SIZE:
            self._flush(CHUNK_SIZE)

    def _flush(self, length):
        token = self._seal(bytes(self._pending[:length]), f"chunk/{len(self._chunk_spans)}")
        del self._pending[:length]
        self._file.seek(0, os.SEEK_END)
        place = self._file.tell()
        self._file.write(token)
        self._file.flush()
        self._chunk_spans.append((place, len(token)))

    def sealed_chunks(self):
        """The chunks as they are kept: still sealed, for `chunk/<position>`."""
        self.finish()
        for position in range(len(self._chunk_spans)):
            yield self._read_sealed_chunk(position)

    def finish(self):
        """Seal what is still in memory."""
        if self._pending:
            self._flush(len(self._pending))

    def _read_sealed_chunk(self, position):
        start, length = self._chunk_spans[position]
        return os.pread(self._file.fileno(), length, start)  # others may read at the same time

    def chunks(self):
        position = 0
        while position < len(self._chunk_spans) or self._read_next_chunk():
            yield self.chunk(position)
            position += 1

    def _read_next_chunk(self):
        """Keep the next chunk. False at the end."""
        kept = len(self._chunk_spans)
        try:
            while self._stream and len(self._chunk_spans) == kept:
                if data := self._stream.read(CHUNK_SIZE - len(self._pending)):
                    self.write(data)
                else:
                    self._stream = None
        except OSError as error:
            raise FileRefused("unreadable_file", self.name, reason=error.strerror or "") from None
        if not self._stream:
            self.finish()
        return len(self._chunk_spans) > kept

    def chunk(self, position):
        return self._unseal(self._read_sealed_chunk(position), f"chunk/{position}")

    def read(self, offset, length):
        return read_chunks(self.chunk, offset, length)

    @property
    def sha256(self):
        return self._sha256.hexdigest()

    def close(self):
        self._file.close()


def read_chunks(chunk, offset, length):
    """Bytes out of a source kept in chunks of CHUNK bytes; `chunk(position)` opens one."""
    first, last = offset // CHUNK_SIZE, (offset + length - 1) // CHUNK_SIZE
    data = b"".join(chunk(position) for position in range(first, last + 1))
    return data[offset - first * CHUNK_SIZE :][:length]


def open_source(path, stdin, seal, unseal):
    """The source for a path or `-`; what is no regular file is read into sealed chunks."""
    if path != "-":
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                return FileSource(path)
            stream = open(path, "rb")
        except OSError as error:
            reason = error.strerror or ""
            raise FileRefused("unreadable_file", file_name(path), reason=reason) from None
    else:
        stream = stdin
    return SpooledSource(file_name(path), seal, unseal, stream)


def file_name(path):
    """The name of the file at a path, as text that can be stored: it may be in any encoding."""
    return os.fsencode(os.path.basename(path)).decode(errors="replace")
