"""The bytes to send: exact, from where they are, more than once where that can be."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import tempfile
import threading
from array import array

import pytest

from s3accel.errors import ConfigError, SourceError
from s3accel.transfer import source as source_module
from s3accel.transfer.source import StreamSource, open_source
from s3accel.transfer.streams import StreamParts

DATA = bytes(range(251)) * 40  # 251 is prime, so swapped blocks show


def part_bytes(source, offset, length):
    """The same bytes by all the ways a part can be read."""
    by_blocks = b"".join(bytes(block) for block in source.open_part(offset, length).blocks(1000))
    room = bytearray(length)
    view = memoryview(room)
    slots = [view[start : start + 333] for start in range(0, length, 333)]
    part = source.open_part(offset, length)
    part.readinto_exact(slots)
    assert part.remaining == 0
    assert bytes(room) == by_blocks
    shown = source.open_part(offset, length).view(length)
    assert shown is None or bytes(shown) == by_blocks
    return by_blocks


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(DATA)
    return path


def check(source, expected):
    assert source.size == len(expected)
    assert source.rewindable
    end = len(expected)
    for offset, length in {
        (0, end),
        (min(5, end), min(100, end - min(5, end))),
        (end, 0),
        (end // 2, end - end // 2),
    }:
        assert part_bytes(source, offset, length) == expected[offset : offset + length]
    source.check_unchanged()


def test_path(path):
    for given in (path, str(path)):
        source = open_source(given)
        check(source, DATA)
        source.close()


@pytest.mark.parametrize(
    "data", [DATA, bytearray(DATA), memoryview(DATA), memoryview(DATA)[10:], array("I", range(500))], ids=str
)
def test_memory_without_copies(data):
    source = open_source(data)
    check(source, bytes(memoryview(data).cast("B")))
    view = source.open_part(3, 10).view(10)
    assert view is not None
    assert view.obj is memoryview(data).obj


def test_empty_memory():
    for data in (b"", array("I"), memoryview(b"")):
        check(open_source(data), b"")


def test_mmap_is_released_again(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        source = open_source(mapped)
        check(source, DATA)
        source.close()


def test_memory_that_is_not_contiguous_is_refused():
    with pytest.raises(ConfigError, match="contiguous"):
        open_source(memoryview(DATA)[::2])


@pytest.mark.parametrize("start", [0, 7])
def test_a_file_is_read_from_where_it_stands(path, start):
    with open(path, "rb") as file:
        file.read(start)
        source = open_source(file)
        check(source, DATA[start:])
        assert file.tell() == start
        source.close()
        assert file.tell() == start
        source.close(consumed=True)
        assert file.tell() == len(DATA)
        assert not file.closed


@pytest.mark.parametrize("start", [0, 7])
def test_seekable_objects_that_are_no_plain_files(path, start):
    file = io.BytesIO(DATA)
    file.seek(start)
    source = open_source(file)
    check(source, DATA[start:])
    source.close()
    assert file.tell() == start
    source.close(consumed=True)
    assert file.tell() == len(DATA)


def test_gzip_files_give_what_is_in_them_not_what_is_below(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(DATA))
    with gzip.open(path) as file:
        file.read(3)
        check(open_source(file), DATA[3:])


def test_what_a_writer_has_not_flushed_yet_is_sent_too(path):
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"tail")
        file.seek(2)
        check(open_source(file), (DATA + b"tail")[2:])


def test_temporary_file_wrapper():
    with tempfile.NamedTemporaryFile() as file:
        file.write(DATA)
        file.seek(9)
        check(open_source(file), DATA[9:])


def test_a_position_behind_the_end_is_an_empty_source(path):
    with open(path, "rb") as file:
        file.seek(10**6)
        assert open_source(file).size == 0


def test_parts_of_one_file_are_read_in_parallel(path):
    source = open_source(path)
    got = {}

    def read(number):
        got[number] = part_bytes(source, number * 1000, 1000)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"".join(got[number] for number in range(10)) == DATA[:10_000]


def test_a_file_that_got_shorter_ends_early(path):
    source = open_source(path)
    part = source.open_part(0, len(DATA))
    os.truncate(path, 500)
    with pytest.raises(SourceError, match=r"ended early.* byte 500.* 10040 bytes"):
        list(part.blocks(100))
    with pytest.raises(SourceError, match="ended early"):
        source.open_part(400, 200).readinto_exact([memoryview(bytearray(200))])
    with pytest.raises(SourceError, match=r"changed while .* now it has 500"):
        source.check_unchanged()


def test_a_file_written_to_while_it_is_read(path):
    source = open_source(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match="changed while it was read"):
        source.check_unchanged()


def test_a_seekable_object_that_ends_early():
    file = io.BytesIO(DATA)
    source = open_source(file)
    file.truncate(100)
    with pytest.raises(SourceError, match="ended early: at byte 100 of 10040"):
        list(source.open_part(0, 200).blocks(200))


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        open_source(tmp_path / "absent")
    with pytest.raises(SourceError, match="directory"):
        open_source(tmp_path)
    with pytest.raises(ConfigError, match="binary mode"):
        open_source(io.StringIO("x"))
    for thing in (5, None, {"a": 1}):
        with pytest.raises(ConfigError, match="cannot send"):
            open_source(thing)

    async def chunks():
        yield b"x"

    generator = chunks()
    with pytest.raises(ConfigError, match="asynchronous"):
        open_source(generator)


def take_parts(source, part_size, concurrency=2):
    parts = StreamParts(source, part_size, concurrency)
    first = parts.first()
    if first is not None:
        return [part_bytes(first, 0, first.size)]
    found = []
    for _, part, release in parts.parts():
        found.append(part_bytes(part, 0, part.size))
        release()
    return found


@pytest.mark.parametrize("sizes", [[1], [10040], [0, 3, 0, 5000, 1], [4096]])
def test_iterators_are_cut_into_exact_parts(sizes):
    def chunks():
        position = 0
        while position < len(DATA):
            for size in sizes:
                yield DATA[position : position + size]
                position += size

    source = open_source(chunks())
    assert source.size is None
    assert not source.rewindable
    found = take_parts(source, 4096)
    assert [len(part) for part in found] == [4096, 4096, 1848]
    assert b"".join(found) == DATA


def test_streams_that_fit_into_one_part():
    assert take_parts(open_source([DATA]), 1 << 20) == [DATA]
    assert take_parts(open_source(iter([])), 1 << 20) == [b""]


def test_iterators_of_the_wrong_thing():
    with pytest.raises(SourceError, match="gave str, not bytes"):
        take_parts(open_source(["text"]), 100)


def test_pipes_are_streams():
    read, write = os.pipe()

    def fill():
        with open(write, "wb") as file:
            file.write(DATA)

    thread = threading.Thread(target=fill)
    thread.start()
    with open(read, "rb") as file:
        source = open_source(file)
        assert isinstance(source, StreamSource)
        assert b"".join(take_parts(source, 5000)) == DATA
    thread.join()


def test_fifos_by_path(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.write_bytes(DATA))
    thread.start()
    source = open_source(path)
    assert b"".join(take_parts(source, 5000)) == DATA
    source.close()
    thread.join()


class Reader:
    """A file object with read() only that gives little at a time."""

    def __init__(self, data):
        self.file = io.BytesIO(data)

    def read(self, size=-1):
        return self.file.read(min(size, 77))


def test_objects_that_can_only_read():
    assert b"".join(take_parts(open_source(Reader(DATA)), 1000)) == DATA


def test_text_from_a_reader_is_refused():
    class Text:
        def read(self, size):
            return "text"

    with pytest.raises(SourceError, match="binary mode"):
        take_parts(open_source(Text()), 100)


def test_a_stream_that_fails_says_after_which_byte():
    def chunks():
        yield b"x" * 50
        raise OSError("unplugged")

    with pytest.raises(SourceError, match="after byte 0: unplugged"):
        take_parts(open_source(chunks()), 100)


def test_large_parts_go_through_a_temporary_file(monkeypatch):
    monkeypatch.setattr(source_module, "SPOOL_ABOVE", 1000)
    monkeypatch.setattr("s3accel.transfer.streams.SPOOL_ABOVE", 1000)
    parts = take_parts(open_source(DATA[i : i + 9] for i in range(0, len(DATA), 9)), 4000)
    assert [len(part) for part in parts] == [4000, 4000, 2040]
    assert b"".join(parts) == DATA


def test_stream_buffers_are_bounded_and_used_again():
    allocated = set()
    parts = StreamParts(open_source([DATA] * 20), 4096, 8)
    assert parts.first() is None
    for number, part, release in parts.parts():
        allocated.add(id(part.open_part(0, 1).view(1).obj))
        if number > 20:
            break
        release()
    assert len(allocated) == 1
    assert StreamParts(open_source([b""]), 64 << 20, 8).window == 2
    assert StreamParts(open_source([b""]), 5 << 20, 8).window == 8
    assert StreamParts(open_source([b""]), 5 << 20, 1).window == 1
    assert StreamParts(open_source([b""]), 100 << 20, 8).window == 2
