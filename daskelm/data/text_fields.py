"""Fields of text tables: records split into fields, words for a gap, and what is a number or looks like one."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

from ..exceptions import DataError

__all__ = ["MISSING", "Record", "case_variants", "lookalike", "number_of", "records", "truth_of"]

# Words that mean a gap, in any case: those of pandas and R, of databases, spreadsheets, weather stations and UCI.
MISSING = frozenset(
    ("", "na", "n/a", "null", "none", "nan", "nat", "?", "-", ".", "*", "#n/a", "#na", "<na>", "-nan", "#n/a n/a")
    + ("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan")
)
_NUMBER = r"[+-]?(?:\d+{point}?\d*|{point}\d+)(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?"
# The sign of the exponent is asked for, as Fortran writes it: 0.1D+04. A code such as 5d2 stays a text.
_FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]\d{2,3})", re.ASCII)
_BLANK_FIELD = re.compile(r'"(?:[^"]|"")*"\S*|\S+')
_DATE = re.compile(r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:[T ]+\d{1,2}:\d\d.*)?")
_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d.*)?")
# Texts that were meant as numbers, by their form: what they are, and the remedy.
_LOOKALIKES = (
    (re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d*"), "a number with separators of thousands", "give thousands=','"),
    (re.compile(r"[+-]?\d{1,3}(?:,\d{3}){2,}"), "a number with separators of thousands", "give thousands=','"),
    (
        re.compile(r"[+-]?[1-9]\d{0,2},\d{3}"),
        "a number with a separator of thousands, or with a decimal comma",
        "give thousands=',' or decimal=','",
    ),
    (re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?"), "a number with a decimal comma", "give decimal=','"),
    (
        re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d*|[+-]?\d{1,3}(?:\.\d{3}){2,}"),
        "a number with a decimal comma and points between thousands",
        "give decimal=',' and thousands='.'",
    ),
    (re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?"), "a number with a decimal point", "give decimal='.'"),
    (re.compile(r"[+-]?\d+(?:_\d+)+\.?\d*"), "a number with underscores", "write it without them"),
    (re.compile(r"[+-]?0[xX][0-9a-fA-F]+"), "a hexadecimal number", "write it in decimal digits"),
    (re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)[dD][+-]?\d+"), "a number with D for the exponent", "write E in place of D"),
    (
        re.compile(r"[+-]?[$€£¥]?\s?[+-]?\d[\d.,]*\s?[%$€£¥]?"),
        "a number with a sign of percent or money, or with odd separators",
        "remove what is no digit, for example with sed",
    ),
    (
        _DATE,
        "a date",
        "name the column in dates=, which writes seconds since 1970, or leave it out with exclude=",
    ),
    (
        _TIME,
        "a time of the day",
        "leave the column out with exclude=, or write it as a number first, such as the hour",
    ),
)


class Record(NamedTuple):
    """A record of a text table: its first and last line in the file, and its fields without white space around."""

    line: int
    last_line: int
    fields: list[str]


def records(
    lines: Iterable[str], first_line: int, delimiter: str | None, comment: str | None = None
) -> Iterator[Record]:
    """The records of lines, blank ones left out; fields are separated by white space if the delimiter is None.

    Raises
    ------
    DataError
        A field is longer than 128 KiB, as after a quote that is never closed.
    """
    cut = (_uncommented(line, comment) for line in lines) if comment else iter(lines)
    if delimiter is None:
        for number, line in enumerate(cut, first_line):
            if fields := [_unquoted(field) for field in _BLANK_FIELD.findall(line)]:
                yield Record(number, number, fields)
        return
    reader = csv.reader(cut, delimiter=delimiter, skipinitialspace=True)
    while True:
        begin = reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"line {first_line + begin}: the fields cannot be found ({error}). Mend the file."
            ) from None
        if fields and (len(fields) > 1 or fields[0].strip() or reader.line_num > begin + 1):
            yield Record(first_line + begin, first_line + reader.line_num - 1, [field.strip() for field in fields])


def _uncommented(line, comment):
    place = line.find(comment)
    while place >= 0 and line.count('"', 0, place) % 2:
        place = line.find(comment, place + 1)
    return line if place < 0 else line[:place] + "\n"


def _unquoted(field):
    return field[1:].replace('""', "\0").replace('"', "").replace("\0", '"') if field.startswith('"') else field


@cache
def case_variants() -> frozenset[str]:
    """The words for a gap in the usual spellings of upper and lower case; short ones in all."""
    found = {spelt for word in MISSING for spelt in (word, word.upper(), word.capitalize(), word.title())}
    short = [word for word in MISSING if len(word) < 4]
    return frozenset(found.union(*(map("".join, product(*((c, c.upper()) for c in word))) for word in short)))


@cache
def _number_form(decimal, thousands):
    plain = _NUMBER.format(point=re.escape(decimal))
    if thousands is None:
        return re.compile(plain, re.IGNORECASE | re.ASCII)
    # The last group has three digits; those before may have two, as in India.
    grouped = rf"[+-]?\d{{1,3}}(?:{re.escape(thousands)}\d{{2,3}})*{re.escape(thousands)}\d{{3}}"
    return re.compile(rf"{plain}|{grouped}(?:{re.escape(decimal)}\d*)?", re.IGNORECASE | re.ASCII)


def number_of(field: str, decimal: str = ".", thousands: str | None = None) -> float | None:
    """The number that a field holds, with Fortran's D for the exponent too; None if it holds none."""
    if _number_form(decimal, thousands).fullmatch(field):
        return float((field if thousands is None else field.replace(thousands, "")).replace(decimal, "."))
    fortran = _FORTRAN.fullmatch(field.replace(decimal, "."))
    return float(f"{fortran[1]}E{fortran[2]}") if fortran else None


def truth_of(field: str) -> float | None:
    """1 for true, 0 for false, in any case; None for other fields."""
    return {"true": 1.0, "false": 0.0}.get(field.lower())


def lookalike(field: str) -> tuple[str, str] | None:
    """The kind of number or time that a text was meant as, and the remedy; None for other texts."""
    return next(((what, remedy) for form, what, remedy in _LOOKALIKES if form.fullmatch(field)), None)
