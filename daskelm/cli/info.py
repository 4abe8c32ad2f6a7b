"""Facts about a file of data, a model or sums: as values for JSON, and as lines of text."""

from __future__ import annotations

import glob
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np

from ..estimators.state import read_model
from ..exceptions import FileFormatError
from ..hdf5.choice import split_choice
from ..hdf5.column_first import column_first_program
from ..hdf5.columns import COLUMNS, columns_of
from ..hdf5.file_rows import some
from ..hdf5.kinds import dtype_of, is_numeric, kind_in_words
from ..hdf5.layout import outsides_of, unwritten_rows
from ..hdf5.links import datasets_in, links_in
from ..hdf5.opening import file_sizes, opened, reading
from ..hdf5.paths import split_dataset
from ..hdf5.rows import files_named, open_rows
from ..hdf5.sparse_layout import layout_of, readable_layouts
from ..hdf5.sparse_rows import SparsePart
from ..layer.neurons import kind_name
from ..parquet.rows import table_facts, table_files
from ..sums.normal_equations import NormalEquations
from ..urls import without_secrets
from .arguments import kind_of

__all__ = ["describe", "draw_facts", "layer_facts", "lines", "named"]

# Gaps, which are NaN, are counted in files of so many numbers at most, since all of them must be read.
_COUNTED_NUMBERS = 2**23
# Largest number of row ranges of one source that are printed as text; --json lists them all.
_RANGES = 6


def named(name: str) -> list[str]:
    """The files that a name on the command line stands for: those of a glob, unless a file has this very name."""
    path, dataset = split_dataset(name)
    if dataset is None and os.path.isdir(path):
        return table_files(path)
    if not glob.has_magic(path) or os.path.exists(path):
        return [name]
    return [file if dataset is None else f"{file}::{dataset}" for file in files_named(path)]


def describe(name: str) -> dict:
    """Facts about a file, as values for JSON; for FILE::DATASET, about that dataset alone."""
    path, asked = split_choice(name)
    kind = kind_of(path)
    facts = {"file": without_secrets(path), "kind": kind, "bytes": file_sizes([path])[path]}
    if kind in ("Parquet", "Arrow"):
        return facts | table_facts(path)
    rows = None
    if asked.dataset or asked.columns:
        rows = open_rows(path, asked.dataset, None, asked.columns, asked.transpose)
    if kind == "data" and rows is not None:
        taken = {"rows": rows.n_rows, "columns": rows.n_columns} if asked.columns or asked.transpose else {}
        return facts | _one_dataset(rows.parts[0], path, asked.dataset) | ({"taken": taken} if taken else {})
    if kind == "data":
        return facts | _all_datasets(path)
    if kind == "model":
        return facts | _model(path)
    if kind == "sums":
        return facts | _sums(path)
    raise FileFormatError(
        f"{path} is neither a daskelm file nor HDF5, Parquet or Arrow. Text and .npy are converted with make-hdf5."
    )


def _all_datasets(path):
    def facts(file):
        own = datasets_in(file)
        # The description of the columns of a table is shown with the table.
        tables = {name: item for name, item in own.items() if name.removesuffix(COLUMNS) not in own.keys() - {name}}
        sparse = readable_layouts(file, path)
        # The vectors of a sparse table are shown as one.
        tables = {name: item for name, item in tables.items() if name.rpartition("/")[0] not in sparse}
        found = {"datasets": [_sparse_facts(file, name, layout) for name, layout in sparse.items()]}
        found["datasets"] += [_facts(name, item) for name, item in tables.items()]
        links = [{"name": name, "to": link.target, "there": link.there} for name, link in links_in(file).items()]
        return found | ({"links": links} if links else {})

    with opened(path) as (file, remote), reading(path, "its list of datasets"):
        return facts(file) if remote is None else remote.call(facts, file)


def _sparse_facts(file, name, layout):
    values = file[layout.values]
    facts = _facts(name, values)
    return facts | {"shape": list(layout.shape), "dtype": f"sparse {values.dtype}", "kept": len(values)}


def _one_dataset(part, path, name):
    with opened(part.path) as (file, remote), reading(part.path, f"the description of {part.dataset!r}"):
        if isinstance(part, SparsePart):
            layout = layout_of(file[part.dataset], part.path)
            return {"datasets": [_sparse_facts(file, (name or part.dataset).lstrip("/"), layout)]}
        get = file.get if remote is None else partial(remote.call, file.get)
        facts = partial(_facts, (name or part.dataset).lstrip("/"), get(part.dataset))
        found = facts() if remote is None else remote.call(facts)
    # If the name is a link, the dataset may lie in another file, under another name.
    here = part.path in (path, os.path.abspath(path))
    return {"datasets": [found | ({} if here else {"in": f"{without_secrets(part.path)}::{part.dataset.lstrip('/')}"})]}


def _facts(name, item):
    chunks = None if item.chunks is None else list(item.chunks)
    facts = {
        "name": name,
        "shape": list(item.shape or ()),
        "dtype": str(item.dtype) if is_numeric(item) else kind_in_words(item),
    }
    made = item.id.get_create_plist()
    # HDF5 may add to the name of a filter where to find it.
    filters = [re.split("[:;]", made.get_filter(i)[3].decode())[0] for i in range(made.get_nfilters())]
    facts |= {"chunks": chunks, "filters": filters}
    if item.ndim == 2 and (program := column_first_program(item)):
        facts["written_on_its_side_by"] = program
    if item.shape and (sources := list(dict.fromkeys(outside.file for outside in outsides_of(item)))):
        facts["reads_from"] = sources
    if item.shape and (holes := unwritten_rows(item)):
        facts["unwritten"] = [list(run) for run in holes]
    return facts | _facts_of_columns(item, dtype_of(item), whole="unwritten" not in facts and "reads_from" not in facts)


def _facts_of_columns(item, dtype, whole):
    """Names, levels and gaps of the columns of a table; `whole` says that all of it lies in the file."""
    if dtype is None or dtype.kind not in "fiub" or item.ndim not in (1, 2):
        return {}
    columns = columns_of(item, item.file.filename)
    facts: dict = {}
    if columns is not None:
        facts["columns"] = [
            {"name": one.name} | ({} if one.levels is None else {"levels": list(one.levels)}) for one in columns
        ]
    near = item.file.driver != "fileobj" and item.size <= _COUNTED_NUMBERS
    if dtype.kind == "f" and whole and near and item.size and (counts := np.isnan(item[()]).sum(axis=0)).any():
        names = [one.name for one in columns] if columns else range(counts.size)
        facts["gaps"] = {str(name): int(n) for name, n in zip(names, np.atleast_1d(counts), strict=True) if n}
    return facts


def layer_facts(layer) -> dict:
    """Inputs, neurons by kind, type and fingerprint of a hidden layer."""
    kinds: Counter = Counter()
    for group in layer.groups:
        kinds[kind_name(group.kind)] += len(group)
    return {
        "inputs": layer.n_features,
        "neurons": layer.n_neurons,
        "kinds": dict(kinds),
        "dtype": layer.dtype.name,
        "standardized": layer.scale is not None,
        **_coding_facts(layer.coding),
        "fingerprint": layer.fingerprint,
    }


def _coding_facts(coding) -> dict:
    """Numbers of levels of each category, and columns whose gaps have an input; empty without these."""
    if coding is None:
        return {}
    levels = {str(one.column): len(one.levels) for one in coding.categories}
    return ({"levels": levels} if levels else {}) | ({"gaps_in": coding.gaps.tolist()} if coding.takes_gaps else {})


def draw_facts(draws) -> dict:
    """How neurons were drawn by rows, and the errors of the draws that were chosen from; nothing for random ones."""
    groups = [group for group in draws.neurons if isinstance(group, tuple)]
    if draws.errors is None and all(len(group) == 2 for group in groups):
        return {}
    names = [f"{number} {kind_name(kind)} {draw[0]}" for number, kind, *draw in groups if draw]
    return {"draws": names or ["random"]} | ({} if draws.errors is None else {"draw_errors": dict(draws.errors)})


def _model(path):
    name, params, fitted = read_model(path)
    layer, solution, sums, targets = (getattr(fitted, part, None) for part in ("layer", "solution", "sums", "targets"))
    facts = {"class": name} | ({} if layer is None else layer_facts(layer))
    if fitted is not None and (drawn := draw_facts(fitted.draws)):
        facts |= drawn
    facts |= {name: params[name] for name in ("random_state", "alpha") if name in params}
    if (classes := getattr(targets, "classes", None)) is not None:
        facts["classes"] = classes.tolist()
    columns = getattr(fitted, "columns", None)
    if columns is not None and columns.names is not None:
        facts["input_names"] = list(columns.names)
    if columns is not None and columns.targets:
        facts["target_names"] = list(columns.targets)
    facts["solved"] = solution is not None
    if solution is not None:
        condition = solution.condition_number
        facts |= {
            "targets": len(solution.coef),
            "alpha_used": np.asarray(solution.alpha).tolist(),
            "alpha_chosen_by": solution.chosen_by,
            "rank": solution.rank,
            "condition_number": condition if math.isfinite(condition) else None,
        }
    return facts | ({} if sums is None else {"rows_inside": sums.n_samples})


def _sums(path):
    sums = NormalEquations.load(path)
    sources = [
        {
            "paths": sorted(map(without_secrets, source.paths)),
            "rows": source.n_rows,
            "ranges": [list(rows) for rows in source.ranges],
        }
        | ({"targets": sorted(map(without_secrets, source.targets))} if source.targets else {})
        for source in sums.ledger.sources.values()
    ]
    return {
        "rows": sums.ledger.n_rows,
        "sources": sources,
        "rows_from_memory": sums.ledger.n_unknown,
        "sum_of_weights": sums.sum_weights,
        "summed_in": sums.precision,
        "neurons": sums.n_neurons,
        "targets": sums.n_targets,
        "targets_are": sums.targets,
        "fingerprint": sums.fingerprint,
    }


def _remarks(item):
    """Texts on what is unusual about a dataset."""
    if "kept" in item:
        yield f"{item['kept']:,} numbers kept"
    if "in" in item:
        yield f"in {item['in']}"
    if "written_on_its_side_by" in item:
        yield f"written on its side by {item['written_on_its_side_by']}: FILE::{item['name']}.T"
    if "reads_from" in item:
        yield f"read from {some(item['reads_from'])}"
    if runs := [f"{start}:{stop}" for start, stop in item.get("unwritten", [])]:
        yield f"rows never written: {some(runs)}"
    if columns := item.get("columns"):
        names = [one["name"] + (f" ({len(one['levels'])} levels)" if "levels" in one else "") for one in columns]
        yield f"columns {some(names)}"
    if gaps := item.get("gaps"):
        yield f"gaps: {some(f'{n} in {name}' for name, n in gaps.items())}"


def _gaps(column):
    return f", {column['nulls']} nulls" if column["nulls"] else ""


def lines(facts: dict) -> Iterator[str]:
    """The facts as lines of text."""
    facts = dict(facts)
    yield f"{facts.pop('file')}: {facts.pop('kind')}, {facts.pop('bytes'):,} bytes"
    if (columns := facts.pop("columns", None)) is not None:
        groups, rows = facts.pop("groups"), facts.pop("rows")
        yield f"  {rows} rows in {groups['number']} groups of at most {groups['most_rows']}, {len(columns)} columns"
        yield from (f"  {column['name']}  {column['type']}{_gaps(column)}" for column in columns)
    for item in facts.pop("datasets", []):
        chunks = "not chunked" if item["chunks"] is None else f"chunks {tuple(item['chunks'])}"
        details = [item["dtype"], chunks, *item["filters"], *_remarks(item)]
        yield f"  {item['name']}  {tuple(item['shape'])} {', '.join(details)}"
    if taken := facts.pop("taken", None):
        yield f"  taken as {taken['rows']:,} rows of {taken['columns']:,} columns"
    for link in facts.pop("links", []):
        yield f"  {link['name']}  link to {link['to']}{', which is not there' if link['there'] is False else ''}"
    kinds = facts.pop("kinds", None)
    if kinds is not None:
        facts["neurons"] = f"{facts['neurons']} ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"
    sources = facts.pop("sources", [])
    if errors := facts.pop("draw_errors", None):
        facts["draw_errors"] = ", ".join(f"{name} {error:.3g}" for name, error in errors.items())
    if draws := facts.get("draws"):
        facts["draws"] = ", ".join(draws)
    names = facts.get("input_names") or range(facts.get("inputs", 0))
    if levels := facts.pop("levels", None):
        facts["levels"] = some(f"{n} of {names[int(i)]}" for i, n in levels.items())
    if "gaps_in" in facts:
        facts["gaps_in"] = some(names[i] for i in facts["gaps_in"]) or "no column of the sample"
    for key in ("input_names", "target_names"):
        if key in facts:
            facts[key] = some(facts[key])
    for name, value in facts.items():
        yield f"  {name.replace('_', ' '):<18}{value}"
    for source in sources:
        yield f"  {source['rows']} rows of {', '.join(source['paths']) or 'a file whose name is not known'}"
        ranges = [f"{start}:{stop}" for start, stop in source["ranges"]]
        more = f" and {len(ranges) - _RANGES} more ranges" if len(ranges) > _RANGES else ""
        yield f"    {' '.join(ranges[:_RANGES])}{more}"
        if targets := source.get("targets"):
            yield f"    target {some(targets)}"
