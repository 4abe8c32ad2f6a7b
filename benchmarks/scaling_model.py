"""Time of a fit: a formula, its constants, and which of its terms is the largest.

There are n gram tasks of N / n rows. Each of p workers of one thread runs m = ceil(n / p) of them one after the other.
Packed sums have P = 4 L (L + 1) + 8 L (c + 2) bytes, and a merge adds s of them:

    T         = start + max(compute + reading, storage, scheduler) + reduction + solve
    compute   = m (N / n) (L (L + 1 + 2 c) / R + L (e + 2 d / G)) + m P / M
    reading   = m (N / n) 8 (d + c) / D
    storage   = N 8 (d + c) / S
    scheduler = (n + (n - 1) / (s - 1)) max(t_s + p t_p, t_c)
    reduction = p 8 L d / B + ceil(log_s p) (s - 1) (P / B + P / M) + 2 P / B_c + 3 q cells
    solve     = u L^3 + v L^2, with other u and v where the penalty is chosen
    start     = t_0 + p t_v + n t_b

n, s and the number of cells of the ledger come from daskelm itself. The other constants are measured:

* in one worker: R and G (rates of products), e (an activation), D (reading with checks and digests), M (merging);
* between two workers and to the client: B and B_c (bytes a second);
* in the simulation, in seconds: t_s (scheduler, per task), t_p (scheduler, per task and worker), t_c (client, per
  task), t_v (client, per worker), t_b (client, to build and send a task);
* in a process of its own: u and v (solving), q (a cell of the ledger);
* with a fit of few rows: t_0.

S, the rate at which all workers together can read from shared storage, is assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from daskelm.data.targets import RegressionTargets
from daskelm.hdf5.rows import Hdf5Rows
from daskelm.passes.memory import block_rows, rows_per_task, split_every
from daskelm.sums.provenance import Table

N_TARGETS = 3
TERMS = ("compute", "reading", "storage", "scheduler", "reduction", "solve", "start")


@dataclass(frozen=True)
class Constants:
    """Constants of the model: seconds, or bytes or operations per second."""

    product: float
    projection: float
    activation: float
    reading: float
    merging: float
    between: float
    to_client: float
    per_task: float
    per_task_and_worker: float
    client_per_task: float
    per_worker: float
    build_per_task: float
    cholesky: float
    cholesky_square: float
    eigen: float
    eigen_square: float
    cell: float
    fixed: float
    storage: float = 20e9

    def terms(self, p: int, N: int, L: int, d: int, c: int = N_TARGETS, *, gcv=True, cores=None) -> dict[str, float]:
        """Seconds of each term; give `cores` if there are fewer cores than workers."""
        n, s, P = n_tasks(N, L, d, p), split_every(L), 4 * L * (L + 1) + 8 * L * (c + 2)
        merges = (n - 1) / (s - 1)
        busy = min(p, cores or p)
        rows = math.ceil(n / busy) * N / n
        rounds = math.ceil(math.log(p, s) - 1e-9) if p > 1 else 0
        row_bytes = 8 * (d + c)
        per_row = L * (L + 1 + 2 * c) / self.product + L * (self.activation + 2 * d / self.projection)
        return {
            "compute": rows * per_row + math.ceil(n / busy) * P / self.merging,
            "reading": rows * row_bytes / self.reading,
            "storage": N * row_bytes / self.storage,
            "scheduler": (n + merges) * max(self.per_task + p * self.per_task_and_worker, self.client_per_task),
            "reduction": p * 8 * L * d / self.between * (p > 1)
            + rounds * (s - 1) * P * (1 / self.between + 1 / self.merging)
            + 2 * P / self.to_client
            + 3 * self.cell * N / cell_rows(d, c),
            "solve": self.solving(L, gcv=gcv),
            "start": self.fixed + p * self.per_worker + n * self.build_per_task,
        }

    def solving(self, L: int, *, gcv=True) -> float:
        """Seconds to solve: by eigenvectors where the penalty is chosen, else by Cholesky."""
        if gcv:
            return self.eigen * L**3 + self.eigen_square * L**2
        return self.cholesky * L**3 + self.cholesky_square * L**2

    def seconds(self, *args, **kwargs) -> float:
        """Seconds of the whole fit."""
        t = self.terms(*args, **kwargs)
        working = max(t["compute"] + t["reading"], t["storage"], t["scheduler"])
        return working + t["reduction"] + t["solve"] + t["start"]


def n_tasks(N: int, L: int, d: int, p: int) -> int:
    """Number of gram tasks that daskelm makes of N rows."""
    block = block_rows(L, d)
    return math.ceil(N / (math.ceil(rows_per_task(N, L, d, p) / block) * block))


def cell_rows(d: int, c: int) -> int:
    """Number of rows of a cell of the ledger."""
    X, y = (Hdf5Rows((), 0, 0, 2, n_columns, np.dtype(float)) for n_columns in (d, c))
    return Table(X, y, None, RegressionTargets(c, "float64")).cell_rows


def limiting(constants, p, N, L, d) -> str:
    """Name of the term that takes the most time, among terms that follow one another."""
    t = constants.terms(p, N, L, d)
    # The start is work of the client and the scheduler, too.
    t["scheduler"] += t.pop("start")
    working = {"compute": t["compute"] + t["reading"], "storage": t["storage"], "scheduler": t["scheduler"]}
    most = max(working, key=working.__getitem__)
    working_terms = ("compute", "reading") if most == "compute" else (most,)
    return max((*working_terms, "reduction", "solve"), key=t.__getitem__)
