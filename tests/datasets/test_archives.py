"Archives and downloads that are too large, too slow, damaged or lead elsewhere are refused."

import gzip
import http.server
import io
import tarfile
import threading

import pytest

from analognas.core import FileFormatError
from analognas.datasets import archives
from analognas.datasets.archives import archive_members, fetch


def packed(path, mode="w:gz", **files):
    with tarfile.open(path, mode) as tar:
        for name, raw in files.items():
            member = tarfile.TarInfo(f"../../{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_are_found_by_their_name_packed_or_not(tmp_path, mode):
    archive = packed(tmp_path / "a.tar", mode, one=b"1", two=b"22")
    assert archive_members(archive, ["two", "one"], 10, 10**6) == {"two": b"22", "one": b"1"}
    assert list(tmp_path.iterdir()) == [archive]  # nothing was unpacked to disk


def test_any_flipped_byte_of_a_gzipped_archive_is_noticed(tmp_path):
    raw = packed(tmp_path / "a.tar.gz", one=bytes(range(256)) * 40).read_bytes()
    whole = archive_members(tmp_path / "a.tar.gz", ["one"], 10**6, 10**6)
    header = 10  # bytes; those of time and system mean nothing
    for at in range(header, len(raw)):
        broken = bytearray(raw)
        broken[at] ^= 0x10
        (tmp_path / "b.tar.gz").write_bytes(broken)
        try:
            assert archive_members(tmp_path / "b.tar.gz", ["one"], 10**6, 10**6) == whole
        except FileFormatError as e:
            assert "b.tar.gz" in str(e)
        else:
            assert gzip.decompress(bytes(broken)) == gzip.decompress(raw)


def test_a_member_or_an_archive_that_is_too_large_is_refused(tmp_path):
    archive = packed(tmp_path / "a.tar.gz", one=bytes(10**6), two=b"2")
    with pytest.raises(FileFormatError, match="1,000,000 bytes, of at most 1,000"):
        archive_members(archive, ["one"], 1000, 10**7)
    with pytest.raises(FileFormatError, match="unpacks to more than 100,000 bytes"):
        archive_members(archive, ["two"], 1000, 10**5)


def test_links_and_missing_members_are_no_files(tmp_path):
    with tarfile.open(tmp_path / "links.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("one")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(FileFormatError, match=r"links\.tar\.gz.*lacks \['one'\]"):
        archive_members(tmp_path / "links.tar.gz", ["one"], 1000, 10**6)


class Endless(http.server.BaseHTTPRequestHandler):
    "Sends without end, or nothing at all."

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while self.path == "/endless":
            try:
                self.wfile.write(bytes(2**16))
            except OSError:
                return
        self.server.leave.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.leave = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.leave.set()
    server.shutdown()
    server.server_close()


def test_a_download_without_end_is_ended(address, monkeypatch):
    monkeypatch.setattr(archives, "MAX_DOWNLOAD", 10**6)
    with pytest.raises(FileFormatError, match="gives more than 1,000,000 bytes"):
        fetch(f"{address}/endless")


def test_a_server_that_sends_nothing_is_given_up(address, monkeypatch):
    monkeypatch.setattr(archives, "TIMEOUT", 0.2)
    with pytest.raises(FileFormatError, match="cannot be fetched"):
        fetch(f"{address}/silent")
