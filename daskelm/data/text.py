"""Tables in text files (CSV, white space; plain or compressed) as blocks of numbers and codes, in bounded memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence

from ..exceptions import DataError, InputTypeError, TableWarning
from ..hdf5.columns import Column
from .coded_columns import CodedBlock
from .dates import date_places
from .selected_columns import select_columns
from .text_fields import number_of
from .text_form import TextOptions, find_form
from .text_lines import COMPRESSED, TextFile, blocks_of_lines, undecodable
from .text_parser import BlockParser

__all__ = ["TextTable", "is_text_path"]

_SUFFIXES = (".csv", ".txt", ".tsv", ".dat", ".data", ".tab", ".psv", ".asc", ".prn")
# Bytes and fields of a block. A field takes about 50 bytes while it is read, beside its text.
_BLOCK_BYTES, _BLOCK_FIELDS = 2**22, 2**19
_HEAD_BYTES, _MOST_HEAD_BYTES, _HEAD_LINES = 2**18, 2**24, 5
# A column of text with more numbers than this among its levels, and nearly nothing else, has typing errors.
_MANY_NUMBERS = 100


def is_text_path(path) -> bool:
    """Whether the name is that of a text table: .csv, .txt, .tsv, .dat and the like, possibly compressed (.csv.gz)."""
    stem, suffix = os.path.splitext(os.fspath(path).lower())
    return (stem if suffix in COMPRESSED else stem + suffix).endswith(_SUFFIXES)


class TextTable:
    """A text table whose form was found from its first lines.

    Parameters
    ----------
    path : str or path-like
        The file.
    options : TextOptions
        What is known of its form.
    columns, exclude : sequence of str and int, or None
        Names or places of the columns to take, or to leave out.
    dates : sequence of str and int, mapping of these to formats, or None
        Columns of dates, which become seconds.

    Attributes
    ----------
    names : list of str or None
        Names of the columns that are taken, if the file has them.
    odd : dict
        The first text, and its line, of the columns that hold numbers and text, by their places; complete once all
        blocks were read.
    notes, warnings : list of str
        What was decided about the form of the file, and what may be meant otherwise.
    """

    def __init__(self, path, options: TextOptions, columns=None, exclude=None, dates=None):
        self.path, self.options = os.fspath(path), options
        self._file = TextFile(path, options.encoding)
        try:
            self._form = self._found()
        except BaseException:
            self.close()
            raise
        kept = [place for place in range(len(self._form.names)) if place not in self._form.left_out]
        names = [self._form.names[place] for place in kept]
        chosen = select_columns(names, columns, exclude)
        self._keep = [kept[place] for place in chosen]
        self._dates = {kept[place]: form for place, form in date_places(names, dates).items()}
        self.names = [names[place] for place in chosen] if self._form.has_names else None
        self.odd: dict[int, tuple[str, int]] = {}
        self.notes, self.warnings = self._form.notes, self._form.warnings

    def _found(self):
        with self._file.opened() as file:
            head, begin, whole = _head(file, self.options.skiprows)
            # The last line may be cut within.
            end = len(head) if whole else head.rfind(b"\n") + 1
            try:
                lines = head[:end].decode().splitlines(keepends=True)
            except UnicodeDecodeError as error:
                raise undecodable(self.path, begin + head.count(b"\n", 0, error.start), error) from None
        return find_form(self.path, lines, begin, self.options, whole=whole)

    def close(self) -> None:
        """Close the copy of a file that cannot be read twice."""
        self._file.close()

    def blocks(self) -> Iterator[CodedBlock | None]:
        """Blocks of rows; None if a column of numbers turned out to be text, and all blocks come once more."""
        parser = BlockParser(self.path, self._form, self.options, self._keep, self._dates)
        self.odd = parser.odd
        while True:
            parser.changed = False
            for block in self._pass(parser):
                # Once a column has changed, the rest is read to find all others.
                if not parser.changed:
                    yield block
            if not parser.changed:
                return
            yield None

    def judge(self, described: Sequence[Column] | None) -> None:
        """Refuse columns of numbers with a few texts, and warn of those with more, once all blocks were read."""
        known = described or ()
        for place, (odd, line) in self.odd.items():
            column, options = known[place], self.options
            levels = column.levels or ()
            numbers = sum(number_of(str(one), options.decimal, options.thousands) is not None for one in levels)
            where = f"{self.path}, line {line}: column {column.name!r} holds numbers, and text such as {odd!r}"
            if numbers > _MANY_NUMBERS and len(levels) - numbers < numbers / 50:
                raise InputTypeError(
                    f"{where}. If such words are gaps, name them in missing_values=; else mend them, or leave the "
                    f"column out with exclude=[{column.name!r}]."
                )
            if numbers:
                warnings.warn(
                    f"{where}. It is taken as a category of {len(levels)} levels. If such words are gaps, name "
                    "them in missing_values=.",
                    TableWarning,
                    stacklevel=4,
                )

    def _pass(self, parser):
        per_field, n_rows = 8.0, 0
        with self._file.opened() as file:
            head, line, _ = _head(file, self.options.skiprows)
            skipped = head.split(b"\n", self._form.begin - line)
            head, line = skipped[-1], self._form.begin
            blocks = blocks_of_lines(
                file,
                head,
                line,
                lambda: int(min(_BLOCK_BYTES, _BLOCK_FIELDS * per_field)),
                self._form.delimiter,
                self.options.comment,
            )
            for line, block in blocks:
                if block.isspace():
                    continue
                coded = parser.parse(line, block)
                n_rows += len(coded.numbers)
                per_field = len(block) / max(len(coded.numbers) * len(self._form.names), 1)
                yield coded
        if not n_rows:
            raise DataError(f"{self.path} must hold at least one row of numbers; got a header only.")


def _head(file, skiprows):
    """The first bytes after the lines to skip, the number of their first line, and whether the file ends with them."""
    head, left, whole = b"", skiprows, False
    while not whole:
        data = file.read(_HEAD_BYTES)
        whole, head = not data, head + data
        if left:
            lines = head.split(b"\n", left)
            left, head = left - len(lines) + 1, lines[-1]
        if not left and (head.count(b"\n") >= _HEAD_LINES or len(head) > _MOST_HEAD_BYTES):
            break
    return (b"" if left else head), skiprows + 1, whole
