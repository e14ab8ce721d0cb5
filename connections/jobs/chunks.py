"""What a run is to do, kept in sealed chunks until it is done."""

from django.db import transaction

from connections.encryption import keyring
from connections.json_format.stream.sources import read_chunks
from connections.models import ImportChunk, ImportRun
from connections.models.runs import chunk_binding


class ChunkSource:
    """An ImportRun's chunks as a source."""

    def __init__(self, run):
        self.run, self.name = run, run.file_name
        self._cached = None, b""

    def chunks(self):
        for chunk in self.run.chunks.order_by("position").iterator(chunk_size=1):  # 1.4 MB each
            yield self._open(chunk)

    def read_chunk(self, position):
        return self._open(self.run.chunks.get(position=position))

    def read(self, offset, length):
        return read_chunks(self._cached_chunk, offset, length)

    def _cached_chunk(self, position):
        # Where one read ends in a chunk, the next begins: it is opened once.
        if self._cached[0] != position:
            self._cached = position, self.read_chunk(position)
        return self._cached[1]

    def _open(self, chunk):
        return keyring.unseal_bytes(chunk.token, chunk_binding(self.run, chunk.position))


@transaction.atomic
def store_upload(source, user):
    """Store a source for the hour, each chunk sealed for its place."""
    run = ImportRun.objects.create(
        user=user, file_name=source.name[:255], size=source.size, sha256=""
    )
    store_chunks(run, source.chunks())
    run.sha256 = source.sha256
    run.save(update_fields=["sha256"])
    return run


def store_chunks(run, pieces):
    """Store pieces (bytes) of what a run is to do, each sealed for its place."""
    for position, data in enumerate(pieces):
        ImportChunk.objects.create(
            run=run,
            position=position,
            token=keyring.seal_bytes(data, chunk_binding(run, position)),
        )
