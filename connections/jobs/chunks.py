"""The input of a run, stored in sealed chunks until the run has ended."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from django.db import transaction

from connections.encryption import keyring
from connections.json_format.stream.sources import SpooledSource, read_chunks
from connections.models import ImportChunk, ImportRun
from connections.models.runs import chunk_binding


class ChunkSource:
    """The chunks of a run as a source of bytes."""

    def __init__(self, run: ImportRun):
        self.run, self.name = run, run.file_name
        # The next read begins where the one before ended: mostly in the same chunk.
        self._read_chunk = lru_cache(maxsize=1)(self.read_chunk)

    def chunks(self) -> Iterator[bytes]:
        for chunk in self.run.chunks.order_by("position").iterator(chunk_size=1):  # 1.4 MB each
            yield self._unseal(chunk)

    def read_chunk(self, position: int) -> bytes:
        return self._unseal(self.run.chunks.get(position=position))

    def read(self, offset: int, length: int) -> bytes:
        return read_chunks(self._read_chunk, offset, length)

    def _unseal(self, chunk):
        return keyring.unseal_bytes(chunk.token, chunk_binding(self.run, chunk.position))


@transaction.atomic
def store_upload(source: SpooledSource, user) -> ImportRun:
    """Store an upload as a run of a user, to be confirmed within ImportRun.UPLOAD_RETENTION."""
    run = ImportRun.objects.create(
        user=user, file_name=source.name[:255], size=source.size, sha256=""
    )
    store_chunks(run, source.chunks())
    run.sha256 = source.sha256  # known once the source has been read to its end
    run.save(update_fields=["sha256"])
    return run


def store_chunks(run: ImportRun, chunks: Iterable[bytes]) -> None:
    """Store the input of a run, each chunk sealed for its position."""
    for position, data in enumerate(chunks):
        ImportChunk.objects.create(
            run=run,
            position=position,
            token=keyring.seal_bytes(data, chunk_binding(run, position)),
        )
