"""Uploads are sealed chunk by chunk as they arrive, so that none is on a disk in clear text."""

from django.contrib.auth import SESSION_KEY
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

from connections.encryption import keyring
from connections.json_format.stream.sources import SpooledSource

MAX_UPLOAD = 200 * 1024 * 1024


class SealedUploadHandler(FileUploadHandler):
    """The only upload handler of the project. Takes one file a request, and only with a session.

    A body is read before permissions are checked: others must not be able to fill the disk.
    """

    source = None

    def new_file(self, *args, **kwargs):
        super().new_file(*args, **kwargs)
        if self.source or SESSION_KEY not in self.request.session:
            raise SkipFile
        self.source = SpooledSource(self.file_name, keyring.seal_bytes, keyring.unseal_bytes)

    def receive_data_chunk(self, raw_data, start):
        if start <= MAX_UPLOAD:  # the form refuses a larger file
            self.source.write(raw_data)

    def file_complete(self, file_size):
        """An UploadedFile whose `file` is the SpooledSource."""
        return UploadedFile(
            self.source, self.file_name, self.content_type, file_size, self.charset
        )
