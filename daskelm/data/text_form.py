"""The form of a text table, found from its first lines: delimiter, header, names, a column of row names."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral

import numpy as np

from ..exceptions import DataError, InputTypeError, ParameterError
from .text_fields import MISSING, Record, lookalike, number_of, records, truth_of

__all__ = ["AFTER_LAST", "ROW_NAMES", "TextForm", "TextOptions", "find_form"]

# In this order where all else is equal: a comma may stand in numbers and in texts, blanks in any text.
_DELIMITERS = ("\t", ";", "|", ",", None)
_COMMENTS = ("#", "%", "//")
# Fields that are no columns.
ROW_NAMES, AFTER_LAST = "names of rows", "what follows the last delimiter"


@dataclass(frozen=True)
class TextOptions:
    """How a text table is to be read, as users say it; None is found from the first lines."""

    delimiter: str | None = None
    header: bool | None = None
    skiprows: int = 0
    decimal: str = "."
    thousands: str | None = None
    comment: str | None = None
    encoding: str = "utf-8"
    missing_values: tuple[str | int | float, ...] = ()
    # HP-ELM's interface takes numbers alone.
    numbers_only: bool = False

    def __post_init__(self):
        for name in ("delimiter", "decimal", "thousands", "comment"):
            value = getattr(self, name)
            if value is None and name != "decimal":
                continue
            if not isinstance(value, str) or len(value) != 1 or not value.isascii() or value in '"\n\r':
                or_none = "" if name == "decimal" else ", or None"
                raise ParameterError(f"{name} must be one character{or_none}; got {value!r}.")
        if not isinstance(self.skiprows, Integral) or isinstance(self.skiprows, bool) or self.skiprows < 0:
            raise ParameterError(f"skiprows must be an int >= 0; got {self.skiprows!r}.")
        if self.decimal == self.thousands:
            raise ParameterError(f"decimal and thousands must be different characters; got {self.decimal!r} for both.")
        if self.decimal == self.delimiter:
            raise ParameterError(f"decimal and delimiter must be different characters; got {self.decimal!r} for both.")
        if not isinstance(self.header, bool | None):
            raise ParameterError(f"header must be True, False, or None to find it; got {self.header!r}.")

    def is_missing(self, field: str) -> bool:
        """Whether a field is a gap."""
        if field.lower() in MISSING or field in self.words:
            return True
        number = number_of(field, self.decimal, self.thousands) if self.numbers else None
        return number is not None and number in self.numbers

    @cached_property
    def words(self) -> frozenset[str]:
        """Words for a gap beside the usual ones."""
        return frozenset(map(str, self.missing_values))

    @cached_property
    def numbers(self) -> frozenset[float]:
        """Numbers that mean a gap."""
        found = (number_of(word, self.decimal, self.thousands) for word in self.words)
        return frozenset(number for number in found if number is not None)


@dataclass(frozen=True)
class TextForm:
    """The form of a text table.

    Names are those of all fields of a row; `left_out` are places of fields that are no columns of the table: names of
    rows, and what follows a delimiter at the end of each line. `notes` say what was decided, `warnings` what may be
    meant otherwise.
    """

    delimiter: str | None
    names: list[str]
    has_names: bool
    begin: int
    left_out: dict[int, str]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_form(path: str, lines: list[str], first_line: int, options: TextOptions, *, whole: bool) -> TextForm:
    """The form of a table from its first lines.

    Parameters
    ----------
    path : str
        The file, for errors.
    lines : list of str
        Its first lines, from number `first_line` on; all of them if `whole`.
    first_line : int
        Number of the first of the lines in the file.
    options : TextOptions
        What is known.
    whole : bool
        Whether the file ends with these lines.

    Raises
    ------
    DataError
        No rows; a header with more names, or several less, than a row has fields.
    ParameterError
        A first line that may be a header or not.
    """
    delimiter = options.delimiter if options.delimiter != " " else None
    if options.delimiter is None:
        delimiter = _find_delimiter(lines, options)
    head = list(itertools.islice(records(lines, first_line, delimiter, options.comment), 100))
    if not head:
        raise DataError(f"{path} must hold at least one row of numbers; got an empty file.")
    first, below = head[0], head[1:]
    n_fields = Counter(len(record.fields) for record in below or [first]).most_common(1)[0][0]
    below = [record for record in below if len(record.fields) == n_fields]
    _refuse_comments(path, first, n_fields, options)
    form = _Decided(path, first, below, n_fields, options, delimiter)
    header = options.header if options.header is not None else form.is_header()
    if options.header is False:
        form.refuse_names()
    if header and not below and whole:
        raise DataError(f"{path} must hold at least one row of numbers; got a header only.")
    return form.with_header() if header else form.without_header()


def _find_delimiter(lines, options):
    """The delimiter by which most lines have equally many fields, and most fields are numbers; mostly a mark."""
    best: tuple = ()
    found: str | None = ","
    for place, delimiter in enumerate(_DELIMITERS):
        if delimiter == options.decimal and delimiter is not None:
            continue
        try:
            rows = [record.fields for record in itertools.islice(records(lines, 1, delimiter, options.comment), 100)]
        except DataError:
            continue
        first, rows = rows[:1], rows[1:] or rows
        [(n_fields, often)] = Counter(map(len, rows)).most_common(1) or [(0, 0)]
        if n_fields < 2:
            continue
        fields = [one for row in rows for one in row][:20_000]
        numbers = sum(_is_numeric(one, delimiter, options) for one in fields) / len(fields)
        # Texts have blanks more often than marks.
        numbers += 0.2 * (delimiter is not None)
        rank = (often == len(rows), len(first[0]) in (n_fields, n_fields - 1), numbers, often / len(rows), -place)
        if rank > best:
            best, found = rank, delimiter
    return found


def _is_numeric(field, delimiter, options):
    if field.lower() in MISSING or truth_of(field) is not None:
        return True
    if number_of(field, options.decimal, options.thousands) is not None:
        return True
    return delimiter != "," and number_of(field, ",") is not None


def _refuse_comments(path, first, n_fields, options):
    mark = next((mark for mark in _COMMENTS if first.fields[0].startswith(mark)), None)
    like_a_name = len(first.fields) == n_fields and len(first.fields[0]) > len(mark or "")
    if mark is None or options.header is not None or like_a_name:
        return
    remedy = "comment='#' if these are comments" if mark == "#" else "skiprows= with the number of such lines"
    raise ParameterError(
        f"{path}, line {first.line} begins with {mark!r}, and is neither a row nor names of columns: it has "
        f"{len(first.fields)} fields, and the lines below {n_fields}. Give {remedy}"
        + (", or skiprows= to leave out lines at the beginning." if mark == "#" else ".")
    )


class _Decided:
    """The first record of a table as its header or as a row, beside those below it."""

    def __init__(self, path, first: Record, below: list[Record], n_fields, options, delimiter):
        self.path, self.first, self.n_fields, self.options, self.delimiter = path, first, n_fields, options, delimiter
        self.below, self.rows = below, [record.fields for record in below]
        self.notes = [f"delimiter: {'white space' if delimiter is None else repr(delimiter)}"]
        self.warnings: list[str] = []

    def refuse_names(self) -> None:
        _, names, _ = self._sorted()
        if names:
            place = self.first.fields.index(names[0])
            raise InputTypeError(
                f"{self.path}, line {self.first.line}: column {str(place)!r} must hold numbers, as in the lines below; "
                f"got text {names[0]!r}. Give header=True if the line names the columns, or skiprows= to leave it out."
            )

    def _sorted(self):
        """The fields of the first record that are values, those that are names of values below, and other texts."""
        fields, options = self.first.fields, self.options
        shift = self.n_fields - len(fields)
        numbers, names, texts = [], [], []
        for place, one in enumerate(fields):
            if one.lower() in MISSING:
                continue
            if self._is_value(one):
                numbers.append(one)
                continue
            column = [row[place + shift] for row in self.rows if 0 <= place + shift < len(row)]
            values = [value for value in column if not options.is_missing(value)]
            if values and all(map(self._is_value, values)):
                names.append(one)
            elif one in values:
                numbers.append(one)
            else:
                texts.append(one)
        return numbers, names, texts

    def is_header(self) -> bool:
        """Whether the first record names the columns."""
        numbers, names, texts = self._sorted()
        fields, where = self.first.fields, f"{self.path}, line {self.first.line}"
        if numbers and (names or (texts and self._like_names(numbers))):
            odd = (names or texts)[0]
            raise ParameterError(
                f"{where}: {odd!r} is like the name of a column, and {numbers[0]!r} like a value. Give header=True if "
                "the line names the columns, header=False if it is a row, or skiprows=1 if it is neither."
            )
        if numbers and self._like_names(fields):
            self.warnings.append(
                f"{where}: its numbers ({', '.join(fields[:3])}, ...) are taken as a row, though they rise from field "
                "to field as no other row's do. Give header=True if they name the columns, or header=False if not."
            )
        return not numbers and bool(names or texts)

    def _is_value(self, one):
        return (
            number_of(one, self.options.decimal, self.options.thousands) is not None
            or truth_of(one) is not None
            or lookalike(one) is not None
        )

    def _like_names(self, fields) -> bool:
        """Whether the first record has whole numbers that increase, and the rows below have not."""
        numbers = [number_of(one) for one in fields]
        if len(numbers) < 2 or not self.rows or not _increase(numbers):
            return False
        rows = [[number_of(one, self.options.decimal) for one in row] for row in self.rows]
        if all(_increase(row) for row in rows):
            return False
        fractions = any(number is not None and number % 1 for row in rows for number in row)
        even = len(numbers) > 2 and len(set(np.diff(np.array(numbers, float)))) == 1
        return fractions or even or len(numbers) > 4

    def _refuse_units(self):
        """Refuse a line of texts between the header and columns of numbers, such as one of units."""
        if len(self.rows) < 3:
            return
        second, *others = self.rows
        odd = [
            one
            for place, one in enumerate(second)
            if not (self.options.is_missing(one) or self._is_value(one))
            and all(self._is_value(row[place]) for row in others if not self.options.is_missing(row[place]))
        ]
        if odd and not any(self._is_value(one) for one in second):
            raise InputTypeError(
                f"{self.path}, line {self.below[0].line}: fields must be numbers, as in the lines below; got text "
                f"{odd[0]!r}. If the line holds units, remove it, or leave out both lines with "
                f"skiprows={self.below[0].line}."
            )

    def with_header(self) -> TextForm:
        """The form if the first record names the columns."""
        names, left_out = list(self.first.fields), {}
        where = f"{self.path}, line {self.first.line}"
        if len(names) == self.n_fields - 1 and self.rows:
            if self._ends_empty():
                names.append("")
            elif len(names) == 1 and self.options.delimiter is None and self.delimiter is not None:
                raise ParameterError(
                    f"{where} names one column, and the lines below have two fields with {self.delimiter!r} between. "
                    f"Give delimiter={self.delimiter!r} if the first of them names the row, delimiter=';' and "
                    "decimal=',' if this is a decimal comma, or skiprows= if the line is a title."
                )
            else:
                names.insert(0, "")
        elif len(names) != self.n_fields and self.rows:
            raise DataError(
                f"{where} has {len(names)} fields, and the lines below have {self.n_fields}. Give skiprows= if it is "
                "no header, or the delimiter of the file."
            )
        self._refuse_units()
        if len(names) > 1 and not names[0] and any(names[1:]):
            left_out[0] = ROW_NAMES
            self.warnings.append(
                f"{where}: the first column has no name, and is left out as an index (its first value is "
                f"{self.rows[0][0] if self.rows else ''!r}). Name it in the file if it is an input."
            )
        return self._form(_different(names), left_out, True, f"header: line {self.first.line}")

    def without_header(self) -> TextForm:
        """The form if the first record is a row."""
        self.rows.insert(0, self.first.fields)
        names = [str(place) for place in range(len(self.first.fields) if len(self.rows) == 1 else self.n_fields)]
        return self._form(names, {}, False, "header: none")

    def _ends_empty(self):
        return all(not row[-1] for row in self.rows)

    def _form(self, names, left_out, header, note):
        if len(names) > 1 and self._ends_empty() and (not header or names[-1].startswith("Unnamed: ")):
            left_out[len(names) - 1] = AFTER_LAST
        begin = self.first.last_line + 1 if header else self.first.line
        notes = [*self.notes, note]
        return TextForm(self.delimiter, names, header, begin, left_out, notes, self.warnings)


def _increase(numbers):
    whole = all(number is not None and number % 1 == 0 for number in numbers)
    return whole and all(a < b for a, b in itertools.pairwise(numbers))


def _different(names):
    """Names that differ, with those that occur again numbered as pandas numbers them."""
    seen: Counter = Counter()
    found = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    taken = set(found)
    for place, name in enumerate(found):
        if seen[name]:
            number = seen[name]
            while f"{name}.{number}" in taken:
                number += 1
            found[place] = f"{name}.{number}"
            taken.add(found[place])
        seen[name] += 1
    return found
