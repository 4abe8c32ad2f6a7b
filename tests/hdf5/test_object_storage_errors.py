"""Object storage that fails: missing, damaged and changed objects, servers, permissions and packages."""

import http.server
import threading
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest
import s3fs
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry, known_implementations
from object_store import D, N, X, configure, put, write

from daskelm import ELMRegressor, from_hdf5
from daskelm.exceptions import FileAccessError, FileFormatError, FileMissingError, MissingExtraError, ParameterError
from daskelm.hdf5 import remote as remote_files
from daskelm.hdf5 import remote_rows
from daskelm.hdf5.rows import open_rows


def test_a_look_up_all_over_the_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(remote_files, "PAGE_BYTES", 512)
    monkeypatch.setattr(remote_files, "_MOST_LOOKED_UP", 20_000)
    with h5py.File(tmp_path / "X.h5", "w") as file:
        for i in range(50):
            file[f"data{i}"] = np.arange(1000.0)
    fsspec.filesystem("memory").put(str(tmp_path / "X.h5"), "/X.h5")
    with pytest.raises(FileFormatError, match="lies in too many places of the file.*Name the dataset.*h5repack"):
        from_hdf5("memory://X.h5")
    np.testing.assert_array_equal(from_hdf5("memory://X.h5", dataset="data7").compute(), np.arange(1000.0))
    MemoryFileSystem.store.clear()


def test_missing_files_and_buckets_are_told(s3):
    for url in ("s3://bucket/none.h5", "s3://no-bucket/X.h5"):
        with pytest.raises(FileMissingError, match=f"{url}: no such file or bucket"):
            from_hdf5(url)
    with pytest.raises(FileMissingError, match="no file matches this pattern"):
        from_hdf5("s3://bucket/X-*.h5")
    put(s3, write("X.h5"), "folder/X.h5")
    with pytest.raises(FileFormatError, match="s3://bucket/folder is a folder"):
        from_hdf5("s3://bucket/folder")


def test_files_that_are_not_hdf5_are_told(s3):
    Path("text.h5").write_text("1 2 3\n" * 1000)
    Path("empty.h5").write_bytes(b"")
    data = Path(write("X.h5")).read_bytes()
    Path("short.h5").write_bytes(data[: len(data) // 2])
    for name in ("text.h5", "empty.h5", "short.h5"):
        with pytest.raises(FileFormatError, match=f"s3://bucket/{name} cannot be read as HDF5: it is truncated"):
            from_hdf5(put(s3, name))


def test_damaged_rows_are_told(s3):
    write("X.h5", chunks=(1000, D), compression="gzip", fletcher32=True)
    data = bytearray(Path("X.h5").read_bytes())
    data[-3000:-2000] = bytes(1000)
    Path("X.h5").write_bytes(data)
    with pytest.raises(FileFormatError, match="rows .* of '/data' cannot be read; the file is truncated or damaged"):
        from_hdf5(put(s3, "X.h5")).compute()


def test_numbers_that_lie_in_other_files_are_refused(s3):
    write("X.h5")
    with h5py.File("links.h5", "w") as file:
        file["external"] = h5py.ExternalLink("X.h5", "/data")
        layout = h5py.VirtualLayout((N, D), "f8")
        layout[:] = h5py.VirtualSource("X.h5", "data", (N, D))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (10, 2), "f8", external=[("raw.bin", 0, 160)])
        file["data"] = X
        file["soft"] = h5py.SoftLink("/data")
    url = put(s3, "links.h5")
    for name in ("external", "virtual", "raw"):
        with pytest.raises(FileFormatError, match="must lie in this file itself"):
            from_hdf5(url, dataset=name)
    np.testing.assert_array_equal(from_hdf5(url, dataset="soft").compute(), X)


def test_an_object_that_changes_while_it_is_in_use_is_told(s3):
    url = put(s3, write("X.h5", chunks=(100, D)))
    lazy, rows = from_hdf5(url, chunks=1000), open_rows(url)
    put(s3, write("X.h5", X + 1, chunks=(100, D)))
    with pytest.raises(FileFormatError, match="X.h5 changed while it was in use: .* got another version of the file"):
        lazy.compute()
    assert from_hdf5(url).name != lazy.name
    assert rows.parts[0].modified != open_rows(url).parts[0].modified


def read_around(url, change, start):
    """Read rows, change the object, and read others."""
    with open_rows(url).open() as reader:
        reader.read(0, 10)
        change()
        reader.read(start, start + 10)


def test_an_object_that_changes_after_it_was_opened_is_told(s3, monkeypatch):
    url = put(s3, write("X.h5", chunks=(100, D)))
    # With the same layout, so that nothing fails by itself.
    with pytest.raises(FileFormatError, match="changed while it was in use"):
        read_around(url, lambda: put(s3, write("X.h5", X + 2, chunks=(100, D))), 2000)
    # An error of the caller's own is not hidden by another one.
    with pytest.raises(RuntimeError, match="own"):
        read_around(url, lambda: (put(s3, write("X.h5", X + 3, chunks=(100, D))), fail()), 0)
    monkeypatch.setattr(remote_rows, "_WINDOW_BYTES", 2**16)
    with pytest.raises((FileFormatError, FileAccessError), match="X.h5"):
        read_around(url, lambda: put(s3, write("X.h5", X[:300], chunks=(100, D))), 3000)


def fail():
    raise RuntimeError("own")


def test_servers_that_cannot_be_reached_are_told(s3, monkeypatch):
    nowhere = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setitem(fsspec.config.conf, "s3", nowhere)
    with pytest.raises(FileAccessError, match="X.h5 cannot be read .*Could not connect.*settings of fsspec"):
        from_hdf5("s3://bucket/X.h5")


def test_permissions_that_lack_are_told(on_fetch):
    url, set_happens = on_fetch

    def forbid():
        raise PermissionError("Forbidden")

    set_happens(staticmethod(forbid))
    with pytest.raises(FileAccessError, match="PermissionError: Forbidden.* this process has the permission"):
        from_hdf5(url)


def test_packages_that_lack_are_told(monkeypatch):
    monkeypatch.setitem(known_implementations, "s3", {"class": "no_such_package.S3", "err": "Install s3fs"})
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(MissingExtraError, match=r"Install s3fs.*pip install 'daskelm\[s3\]'"):
        from_hdf5("s3://bucket/X.h5")
    with pytest.raises(ParameterError, match="fsspec must know the protocol of a URL; got .*nosuch"):
        from_hdf5("nosuch://bucket/X.h5")


def test_urls_with_passwords_or_datasets_are_refused():
    with pytest.raises(ParameterError, match="must not hold a user name, a password or a token") as error:
        from_hdf5("ftp://me:secret@host/X.h5")
    assert "secret" not in str(error.value)
    with pytest.raises(ParameterError, match=r"from_hdf5\('s3://bucket/X.h5', dataset='data'\)"):
        from_hdf5("s3://bucket/X.h5::data")
    with pytest.raises(FileMissingError, match="A URL is a str"):
        from_hdf5(Path("s3://bucket/X.h5"))


def test_signatures_of_urls_are_not_kept():
    from daskelm.hdf5.paths import place_of

    signed = place_of("https://host/X.h5?X-Amz-Signature=secret")
    assert signed.startswith("https://host/X.h5?")
    assert "secret" not in signed
    assert signed != place_of("https://host/X.h5?X-Amz-Signature=other")
    assert place_of("https://host/X.h5") == "https://host/X.h5"


def test_workers_that_do_not_see_an_object_are_told_before_any_work(client, s3):
    # They have no settings.
    url = put(s3, write("X.h5", chunks=(100, D)))
    fsspec.filesystem("memory").put("X.h5", "/X.h5")
    with pytest.raises(FileMissingError, match="memory://X.h5 must be visible on every worker at this URL.*no such"):
        ELMRegressor(5, random_state=0).fit("memory://X.h5", from_hdf5("X.h5")[:, 0])
    MemoryFileSystem.store.clear()
    environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    settings = {"s3": {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}}
    before = client.run(configure, settings, environment)
    client.run(_retry_once)
    with pytest.raises(FileMissingError, match="X.h5 must be visible on every worker at this URL.*Could not connect"):
        ELMRegressor(5, random_state=0).initialize("X.h5").accumulate(url, "X.h5")
    for worker, was in before.items():
        client.run(configure, *was, workers=[worker])


def _retry_once():
    import s3fs

    s3fs.S3FileSystem.retries = 1


class _Web(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *message):
        pass


def test_web_servers_without_byte_ranges_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("X.h5")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_port}"
        with pytest.raises(FileFormatError, match="its server must give parts of a file"):
            from_hdf5(f"{url}/X.h5")
        with pytest.raises(FileMissingError, match="none.h5: no such file"):
            from_hdf5(f"{url}/none.h5")
        # A file that is copied whole is read as any other.
        np.testing.assert_array_equal(from_hdf5(f"simplecache::{url}/X.h5").compute(), X)
        web.shutdown()
