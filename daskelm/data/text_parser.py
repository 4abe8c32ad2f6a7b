"""Blocks of text as numbers and codes, by pandas' C reader, with errors that name file, line and column."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..exceptions import DataError, InputTypeError
from .coded_columns import CodedBlock
from .dates import REMEDY, must_hold, seconds_of
from .text_fields import case_variants, lookalike, number_of, records, truth_of
from .text_form import AFTER_LAST, TextForm, TextOptions
from .text_lines import undecodable

__all__ = ["BlockParser"]

# From so many fields in a row on, a block of numbers is read as one long column: pandas takes 45 us for each column.
_WIDE = 100
# True and false have one of these letters, and numbers have none. To search for one byte takes no time.
_LETTERS_OF_TRUTH = (b"r", b"R", b"s", b"S")
_LINE_FEED = ord("\n")


class BlockParser:
    """Reads blocks of text, and decides which columns are numbers, truth values or text.

    A column is decided by all blocks read so far. If it held numbers and text comes later, `changed` is set: what was
    read before must be read again, from the first block on, with the same parser.

    Parameters
    ----------
    path : str
        The file, for errors.
    form : TextForm
        Its form.
    options : TextOptions
        How it is read.
    keep : sequence of int
        Places of the fields to keep, in the order of the columns of the result.
    dates : mapping of int to str or None
        Places of the fields that are dates, which become seconds, and their formats.
    """

    def __init__(
        self,
        path: str,
        form: TextForm,
        options: TextOptions,
        keep: Sequence[int],
        dates: Mapping[int, str | None] | None = None,
    ):
        self.dates = dates or {}
        self.path, self.form, self.options, self.keep = path, form, options, list(keep)
        self.n_fields = len(form.names)
        self.changed = False
        # The first text, and its line, of columns that hold numbers too.
        self.odd: dict[int, tuple[str, int]] = {}
        # The kind of each field: "number", "truth", "text"; or none yet, if all its rows are gaps.
        self._kinds, self._all_decided = np.full(self.n_fields, None, object), False
        # Fields that pandas reads as numbers by itself. It takes "1,5" for 15 if commas stand between thousands.
        self._fast = np.full(self.n_fields, options.thousands is None)
        # A date such as 20130619 is no number.
        self._fast[list(self.dates)] = False
        self._reading = _reading(form, options)

    def parse(self, line: int, block: bytes) -> CodedBlock:
        """Rows of a block whose first line has number `line`.

        Raises
        ------
        DataError
            A row of another length.
        InputTypeError
            A column of dates, or of numbers in a form that is not read.
        FileFormatError
            Bytes that are no text in the encoding.
        """
        if self.n_fields >= _WIDE and (numbers := self._wide(block)) is not None:
            if not self._all_decided:
                self._kinds[~np.isnan(numbers).all(axis=0)] = "number"
                self._all_decided = all(self._kinds)
            return CodedBlock(numbers if self.keep == list(range(self.n_fields)) else numbers[:, self.keep], {})
        self._check_first(line, block)
        frame = self._frame(line, block)
        self._check_short(line, block, frame)
        if self._hides_truths(block, frame):
            frame = self._frame(line, block)
        numbers, levels = np.empty((len(frame), len(self.keep))), {}
        columns = {place: self._column(line, block, place, frame[place]) for place in {*self.keep, *self.form.left_out}}
        for i, place in enumerate(self.keep):
            values, found = columns[place]
            numbers[:, i] = values
            if found is not None:
                levels[i] = found
        return CodedBlock(numbers, levels)

    def _frame(self, line, block):
        """The fields as a frame whose columns are float64, or objects: texts, and NaN for gaps."""
        while True:
            kinds: Any = {i: float if fast else object for i, fast in enumerate(self._fast)}
            kinds = float if self._fast.all() else object if not self._fast.any() else kinds
            try:
                return self._reading(block, range(self.n_fields), kinds)
            except UnicodeDecodeError as error:
                raise self._undecodable(line, block, error) from None
            except ValueError as error:
                if "EOF inside string" in str(error):
                    raise self._open_quote(line, block) from None
                self._check_lengths(line, block)
                odd = self._odd(line, block, error)
            self._fast[odd] = False

    def _odd(self, line, block, error):
        """Places of the fields that are no numbers everywhere."""
        try:
            frame = self._reading(block, range(self.n_fields), None)
        except UnicodeDecodeError as wrong:
            raise self._undecodable(line, block, wrong) from None
        except ValueError:
            frame = None
        odd = [] if frame is None else [i for i in range(self.n_fields) if frame[i].dtype.kind not in "fiu"]
        odd = [i for i in odd if self._fast[i]]
        if not odd:
            raise DataError(
                f"{self.path}: the block from line {line} on cannot be read ({' '.join(str(error).split())}). Mend the "
                "file, or name its delimiter."
            ) from None
        return odd

    def _undecodable(self, line, block, error):
        for number, one in enumerate(block.split(b"\n"), line):
            try:
                one.decode()
            except UnicodeDecodeError as inside:
                line, error = number, inside
                break
        return undecodable(self.path, line, error)

    def _open_quote(self, line, block):
        *_, last = self._records(line, block)
        return DataError(f"{self.path}, line {last.line}: a quote opens a field that does not end. Mend the file.")

    def _wide(self, block):
        """A block of numbers alone, of many columns, read as one column; None if it is not as simple as that."""
        delimiter = self.form.delimiter
        if not self._fast.all() or b'"' in block or (self.options.comment or "\0").encode() in block:
            return None
        if any(letter in block for letter in _LETTERS_OF_TRUTH) or AFTER_LAST in self.form.left_out.values():
            return None
        if delimiter is None:
            lines = [line.split() for line in block.split(b"\n") if line.strip()]
            if any(len(line) != self.n_fields for line in lines):
                return None
            n_rows, text = len(lines), b"\n".join([field for line in lines for field in line])
        else:
            marks = _marks_of_lines(block, delimiter)
            if not marks.all():
                block = b"\n".join([line for line in block.split(b"\n") if line.strip()])
                marks = _marks_of_lines(block, delimiter)
            # A line of another length would shift those below.
            if (marks != self.n_fields - 1).any():
                return None
            n_rows, text = len(marks), block.translate(bytes.maketrans(delimiter.encode(), b"\n"))
        try:
            column = self._reading(text, [0], float, skip_blank_lines=False)
        except ValueError:
            return None
        if len(column) != n_rows * self.n_fields:
            return None
        return column[0].to_numpy().reshape(n_rows, self.n_fields)

    def _hides_truths(self, block, frame):
        """Whether columns that pandas read as 0 and 1 may hold true and false, which it takes for numbers."""
        odd = [i for i in np.flatnonzero(self._fast) if len(frame) and _zeros_and_ones(frame[i].to_numpy())]
        if not odd or not any(letter in block for letter in _LETTERS_OF_TRUTH):
            return False
        self._fast[odd] = False
        return True

    def _column(self, line, block, place, values) -> tuple[np.ndarray, list[str] | None]:
        """Numbers of a column, or its codes and their levels."""
        if values.dtype.kind == "f":
            values = values.to_numpy()
            if self.form.left_out.get(place) == AFTER_LAST:
                self._check_empty(line, block, place, np.isnan(values).all())
            if self._kinds[place] is None and not np.isnan(values).all():
                self._kinds[place] = "number"
            return values, None
        import pandas

        codes, found = pandas.factorize(values.to_numpy(), use_na_sentinel=True)
        texts = [str(text).strip() for text in found]
        if place in self.form.left_out:
            if self.form.left_out[place] == AFTER_LAST:
                self._check_empty(line, block, place, all(map(self.options.is_missing, texts)))
            return codes, None
        gaps = np.array([self.options.is_missing(text) for text in texts] + [True])
        filled = [text for text, gap in zip(texts, gaps[:-1], strict=True) if not gap]
        if not filled:
            return np.full(len(codes), np.nan), None
        if place in self.dates:
            seconds = np.full(len(gaps), np.nan)
            seconds[~gaps] = self._seconds(line, block, place, filled)
            return seconds[codes], None
        self._decide(line, block, place, filled)
        if self._kinds[place] != "text":
            read = truth_of if self._kinds[place] == "truth" else self._number
            table = [np.nan if gap else read(text) for text, gap in zip(texts, gaps[:-1], strict=True)]
            return np.array([*table, np.nan], float)[codes], None
        # Texts that differ in the white space around them are one level.
        levels = {text: i for i, text in enumerate(dict.fromkeys(filled))}
        table = [np.nan if gap else levels[text] for text, gap in zip(texts, gaps[:-1], strict=True)]
        return np.array([*table, np.nan], float)[codes], list(levels)

    def _seconds(self, line, block, place, texts):
        """Seconds of dates, which are no gaps."""
        form = self.dates[place]
        seconds = seconds_of(texts, form)
        if (wrong := np.isnan(seconds)).any():
            text = texts[int(np.argmax(wrong))]
            number = self._line_of(line, block, lambda fields: len(fields) > place and fields[place] == text)
            where = f"{self.path}, line {number}: column {self.form.names[place]!r}"
            raise DataError(f"{where} {must_hold(form)}; got {text!r}. {REMEDY}")
        return seconds

    def _number(self, text):
        return number_of(text, self.options.decimal, self.options.thousands)

    def _decide(self, line, block, place, texts):
        """Decide what a column is by the texts of a block, which are no gaps."""
        before = self._kinds[place]
        if before == "text":
            return
        if all(truth_of(text) is not None for text in texts):
            kind = "truth"
        elif all(self._number(text) is not None for text in texts):
            kind = "number"
        else:
            kind = "text"
            self._refuse_lookalikes(line, block, place, texts)
        if before is not None and kind != before:
            kind, self.changed = "text", True
        if kind == "text" and self.options.numbers_only:
            self._refuse_text(line, block, place, next(text for text in texts if self._number(text) is None))
        self._kinds[place] = kind
        if kind == "text" and place in self.keep and (before or any(self._number(text) is not None for text in texts)):
            odd = next((text for text in texts if self._number(text) is None), texts[0])
            found = self._line_of(line, block, lambda fields: len(fields) > place and fields[place] == odd)
            self.odd[self.keep.index(place)] = odd, found

    def _refuse_lookalikes(self, line, block, place, texts):
        """Refuse a column whose texts all were meant as numbers or dates."""
        odd = None
        for text in texts:
            if self._number(text) is None and truth_of(text) is None:
                meant = lookalike(text)
                if meant is None:
                    return
                odd = odd or (text, *meant)
        if odd is not None:
            text, what, remedy = odd
            name = self.form.names[place]
            number = self._line_of(line, block, lambda fields: len(fields) > place and fields[place] == text)
            raise InputTypeError(
                f"{self.path}, line {number}: column {name!r} must hold numbers or text; got {text!r}, which looks "
                f"like {what}. For such columns, {remedy}."
            )

    def _refuse_text(self, line, block, place, text):
        number = self._line_of(line, block, lambda fields: len(fields) > place and fields[place] == text)
        raise InputTypeError(
            f"{self.path}, line {number}: column {self.form.names[place]!r} must hold numbers; got text {text!r}. Drop "
            "text columns or code them as numbers first."
        )

    def _check_empty(self, line, block, place, empty):
        if not empty:
            number = self._line_of(line, block, lambda fields: len(fields) > place and bool(fields[place]))
            raise DataError(
                f"{self.path}, line {number}: each line must end with a delimiter, as the first lines do; got a field "
                "behind it. Give the column a name, or header=."
            )

    def _check_first(self, line, block):
        """Check the length of the first row, which pandas takes as the number of fields of the others."""
        for record in self._records(line, block):
            if len(record.fields) != self.n_fields:
                raise self._wrong_length(record)
            return

    def _check_short(self, line, block, frame):
        """Check the lengths of rows if some may be short: pandas fills them up with gaps."""
        if self.n_fields == 1 or not frame[self.n_fields - 1].isna().any():
            return
        odd = b'"' in block or (self.options.comment or "\0").encode() in block
        marks = None if self.form.delimiter is None or odd else block.count(self.form.delimiter.encode())
        if marks != len(frame) * (self.n_fields - 1):
            self._check_lengths(line, block)

    def _check_lengths(self, line, block):
        for record in self._records(line, block):
            if len(record.fields) != self.n_fields:
                raise self._wrong_length(record)

    def _wrong_length(self, record):
        got = len(record.fields)
        quote = " (a quote there may not be closed)" if any("\n" in one for one in record.fields) else ""
        return DataError(
            f"{self.path}, line {record.line}: every line must have {self.n_fields} fields; got {got}{quote}. Mend the "
            "file, or say how it is written: delimiter=, comment=, skiprows=."
        )

    def _line_of(self, line, block, is_there: Callable[[list[str]], bool]):
        return next((record.line for record in self._records(line, block) if is_there(record.fields)), line)

    def _records(self, line, block):
        return records(_lines(block), line, self.form.delimiter, self.options.comment)


def _marks_of_lines(block, delimiter) -> np.ndarray:
    """How often each line of a block has the delimiter."""
    # `bytes.count` and `bytes.replace` search for each of them anew, which takes ten times as long.
    codes = np.frombuffer(block, np.uint8)
    places, ends = codes == ord(delimiter), (np.flatnonzero(codes == _LINE_FEED) + 1).tolist()
    ends += [len(codes)] if not ends or ends[-1] < len(codes) else []
    return np.array([np.count_nonzero(places[begin:end]) for begin, end in pairwise([0, *ends])])


def _zeros_and_ones(values):
    """Whether all numbers are 0, 1 or NaN; most columns show in their first rows that they are not."""
    return all(np.isin(part, (0.0, 1.0)).sum() == len(part) - np.isnan(part).sum() for part in (values[:8], values))


def _lines(block):
    begin = 0
    while begin < len(block):
        end = block.find(b"\n", begin) + 1 or len(block)
        yield block[begin:end].decode(errors="replace")
        begin = end


def _reading(form, options):
    """A function that reads a block with pandas' C reader."""
    import pandas

    version = tuple(int(part) for part in re.findall(r"\d+", pandas.__version__)[:2])
    settings: dict = {
        "sep": r"\s+" if form.delimiter is None else form.delimiter,
        "header": None,
        "index_col": False,
        "engine": "c",
        "low_memory": False,
        "keep_default_na": False,
        "na_values": sorted(case_variants() | options.words) + sorted(options.numbers),
        "decimal": options.decimal,
        "comment": options.comment,
        "encoding": "utf-8",
    }
    if version < (3, 1):
        # Before pandas 3.1, numbers may differ from what was written in the last digit without this.
        settings["float_precision"] = "round_trip"

    def read(block, names, dtype, **more):
        # To skip blanks costs a sixth of the time.
        more["skipinitialspace"] = b" " in block
        return pandas.read_csv(io.BytesIO(block), names=names, dtype=dtype, **settings, **more)

    return read
