"""Lines of text files, compressed or not, in any encoding, as blocks of bytes in UTF-8 that end with a record."""

from __future__ import annotations

import codecs
import contextlib
import lzma
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

from ..exceptions import DaskelmError, DataError, FileFormatError, FileMissingError, MissingExtraError, ParameterError

__all__ = ["COMPRESSED", "TextFile", "blocks_of_lines", "undecodable"]

# Endings of compressed files that fsspec reads, and the names of its readers.
COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".lzma": "lzma", ".zst": "zstd", ".zip": "zip"}
_UTF8 = {"utf-8", "ascii"}
_BOM = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# A record may be as many times longer than a block, before a quote at its beginning is taken for one that never ends.
_LONGEST_RECORD = 8
_LEAST_READ = 2**16
_LINE_FEED = ord("\n")


class TextFile:
    """A text file that can be opened several times; a named pipe, which cannot, is copied to a temporary file first.

    Opened, it reads as UTF-8 without a byte order mark and with line feeds alone at the ends of lines.
    """

    def __init__(self, path, encoding: str = "utf-8"):
        self.path = os.fspath(path)
        self._copy: IO[bytes] | None = None
        try:
            self.encoding = codecs.lookup(encoding).name
        except (LookupError, TypeError):
            raise ParameterError(
                f"encoding must be one that Python has, such as 'latin-1' or 'utf-16'; got {encoding!r}."
            ) from None

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Utf8]:
        """The file, open at its beginning.

        Raises
        ------
        FileMissingError, FileFormatError
            No such file; a folder; bytes that are not compressed as the name says, or not in the encoding.
        MissingExtraError
            The package that reads the compression is not installed.
        """
        with contextlib.ExitStack() as stack, self._readable():
            try:
                raw: IO[bytes] = self._copy or stack.enter_context(open(self.path, "rb"))
            except FileNotFoundError:
                raise FileMissingError(f"{self.path}: no such file.") from None
            except IsADirectoryError:
                raise FileFormatError(f"{self.path} is a folder; give the name of a file in it.") from None
            if stat.S_ISFIFO(os.fstat(raw.fileno()).st_mode):
                self._copy = tempfile.TemporaryFile()  # noqa: SIM115
                shutil.copyfileobj(raw, self._copy)
                raw = self._copy
            raw.seek(0)
            file = self._decompressed(raw)
            if file is not raw:
                stack.callback(file.close)
            yield _Utf8(file, self.encoding, self.path)

    def close(self) -> None:
        """Close the copy of a named pipe."""
        if self._copy is not None:
            self._copy.close()

    def _decompressed(self, raw):
        name = COMPRESSED.get(os.path.splitext(self.path.lower())[1])
        if name is None:
            return raw
        from fsspec.compression import compr

        if name not in compr:
            raise MissingExtraError(
                f"{self.path} is compressed with {name}, whose reader is not installed. Use pip install zstandard, or "
                "decompress the file first."
            )
        if name == "zip":
            names = zipfile.ZipFile(raw).namelist()
            if len(names) != 1:
                raise FileFormatError(
                    f"{self.path} must hold one file; got {len(names)}: {', '.join(names[:4])}. Unpack it first."
                )
            raw.seek(0)
        return compr[name](raw, mode="rb")

    @contextlib.contextmanager
    def _readable(self):
        try:
            yield
        except UnicodeDecodeError as error:
            raise FileFormatError(
                f"{self.path} must be text in {self.encoding.upper()} ({error}). Give its encoding, such as "
                "encoding='latin-1' or 'cp1252', or convert it, for example with iconv."
            ) from None
        except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from None
        except OSError as error:
            # Readers of gzip and bzip2 raise errors of the system without a number for bytes that they cannot read.
            if error.errno is not None or isinstance(error, DaskelmError):
                raise
            raise self._damaged(error) from None

    def _damaged(self, error):
        return FileFormatError(f"{self.path} is truncated or not compressed as its name says ({error}).")


class _Utf8:
    """A binary file read as UTF-8, with line feeds at the ends of lines."""

    def __init__(self, file, encoding, path):
        self._file, self._path, self._begun = file, path, False
        self._decoder: Any = None if encoding in _UTF8 else codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding

    def read(self, n_bytes: int) -> bytes:
        """About so many bytes; none at the end of the file."""
        while True:
            data = self._file.read(n_bytes)
            ended = len(data) == 0
            if not self._begun:
                self._begun, data = True, self._checked_begin(data)
            if self._decoder is not None:
                data = self._decoder.decode(data, ended).encode()
            if data.endswith(b"\r") and not ended:
                # A line feed may follow, which belongs to the same end of a line.
                more = self._file.read(2 if "16" in self._encoding else 4 if "32" in self._encoding else 1)
                data += more if self._decoder is None else self._decoder.decode(more).encode()
            if b"\0" in data:
                raise FileFormatError(
                    f"{self._path} must be text; got bytes of zero in it. If it is text in UTF-16, give "
                    "encoding='utf-16'."
                )
            if data or ended:
                return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data

    def _checked_begin(self, data):
        if self._decoder is None:
            if data[:2] in _BOM:
                raise FileFormatError(f"{self._path} must be text in UTF-8; got UTF-16. Give encoding='utf-16'.")
            return data.removeprefix(codecs.BOM_UTF8)
        return data


def undecodable(path: str, line: int, error: UnicodeDecodeError) -> FileFormatError:
    """The error for a line that is no text in UTF-8."""
    return FileFormatError(
        f"{path}, line {line}: the file must be text in UTF-8 ({error}). Give its encoding, such as encoding='latin-1' "
        "or 'cp1252', or convert it, for example with iconv."
    )


def blocks_of_lines(
    file: _Utf8, head: bytes, first_line: int, n_bytes: Callable[[], int], delimiter: str | None, comment: str | None
) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole records, each with the number of its first line.

    Parameters
    ----------
    file : open TextFile
        The rest of the file.
    head : bytes
        Bytes read already, from the first line of a record on.
    first_line : int
        Number of that line in the file.
    n_bytes : callable
        Size of the next block in bytes.
    delimiter, comment : str or None
        Separator of fields, white space if None, and the beginning of comments.

    Raises
    ------
    DataError
        A quote opens a field that does not end in many blocks.
    """
    quotes = _quotes(delimiter, comment)
    rest, ended, wanted = head, False, n_bytes() - len(head)
    while not ended:
        data = file.read(max(wanted, _LEAST_READ))
        ended = not data
        if b'"' in rest or b'"' in data or (b"\n" in rest and b"\n" not in data):
            rest, data = b"", rest + data
            cut = _cut(data, quotes)
        else:
            cut = data.rfind(b"\n") + 1
        cut = len(data) if ended else cut
        if cut or ended:
            # The bytes are copied once.
            block, rest = b"".join((rest, memoryview(data)[:cut])), data[cut:]
            if block:
                yield first_line, block
            first_line += int(np.count_nonzero(np.frombuffer(block, np.uint8) == _LINE_FEED))
            wanted = n_bytes() - len(rest)
        else:
            rest += data
            wanted = len(rest)
            if b"\n" in rest and len(rest) > _LONGEST_RECORD * n_bytes():
                raise DataError(
                    f"{file._path}, line {first_line}: a quote opens a field here or in the next lines that does not "
                    "end. Mend the file."
                )


def _quotes(delimiter, comment):
    """The form of a comment, or of a field in quotes, which ends or does not."""
    before = r" \t\n" if delimiter is None else re.escape(delimiter) + r"\n "
    comments = rf"{re.escape(comment)}[^\n]*|" if comment else ""
    return re.compile(rf'{comments}(?<![^{before}])"[^"]*(?:""[^"]*)*"?'.encode())


def _cut(data, quotes):
    """The place behind the last line feed that ends a record; 0 if there is none."""
    end = data.rfind(b"\n") + 1
    if not end or b'"' not in data:
        return end
    inside = [match.span() for match in quotes.finditer(data) if b"\n" in match[0]]
    for begin, stop in reversed(inside):
        if begin < end <= stop:
            end = data.rfind(b"\n", 0, begin) + 1
    return end
