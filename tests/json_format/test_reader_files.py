"""Sources: files that change or cannot be read, and pipes. No database."""

import json
import os

import pytest

from connections.json_format.issues import FileRefused
from connections.json_format.stream import reader, sources, tokenizer
from tests.support.sources import ONE, TWO, refusal, values

BIG = json.dumps([{"token": "x" * 1000}] * 3000)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[{"token":"a"}]', '[{"token":"b"}]'),
        ('[{"token":"a"}]', '[{"token":"a"}] '),
        ('[{"token":"a"}] ', '[{"token":"a"}]'),
        ('[{"token":"a"}]', ""),
        (BIG, f"{BIG[:2_500_100]}y{BIG[2_500_101:]}"),
    ],
    ids=range(5),
)
def test_a_file_that_changes_between_the_passes_stops_the_run(tmp_path, before, after):
    path = tmp_path / "a.json"
    path.write_text(before)
    source = sources.FileSource(path)
    layout = reader.scan(source)
    path.write_text(after)
    with pytest.raises(FileRefused) as caught:
        list(reader.read_entries(source, layout))
    assert (caught.value.issue.code, caught.value.issue.file) == ("file_changed", "a.json")


def test_files_that_cannot_be_read_are_refused(tmp_path):
    def open_it(path):
        return sources.open_source(str(path), None, None, None)

    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(FileRefused) as caught:
            open_it(path)
        assert caught.value.issue.code == "unreadable_file"
    gone = tmp_path / "gone.json"
    gone.write_text("[]")
    source = open_it(gone)
    gone.unlink()
    assert refusal(source) == "unreadable_file"


def test_a_pipe_is_copied_into_sealed_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CHUNK_SIZE", 10)
    spool = tmp_path / "spool"
    monkeypatch.setattr(sources.tempfile, "TemporaryFile", lambda: spool.open("w+b"))
    sealed = []

    def seal(data, place):
        sealed.append(place)
        return bytes(byte ^ 0x55 for byte in data)

    def unseal(token, place):
        assert place in sealed
        return bytes(byte ^ 0x55 for byte in token)

    text = json.dumps([ONE, TWO])
    read_end, write_end = os.pipe()
    os.write(write_end, text.encode())
    os.close(write_end)
    with open(read_end, "rb") as stream:
        source = sources.open_source("-", stream, seal, unseal)
        assert values(source) == [ONE, TWO]
    assert values(source) == [ONE, TWO]
    assert b"accessToken" not in spool.read_bytes()
    assert source.size == len(text) == spool.stat().st_size


def test_a_stream_that_is_refused_is_not_read_to_its_end():
    class Endless:
        served = 0

        def read(self, size):
            self.served += size
            return (b'["' if self.served == size else b"").ljust(size, b"x")

    stream = Endless()
    source = sources.open_source("-", stream, lambda data, _: data, lambda token, _: token)
    assert refusal(source) == "entry_too_large"
    assert stream.served <= 3 * tokenizer.MAX_ENTRY_SIZE
