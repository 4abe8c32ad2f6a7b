"""The option --scheduler: work is done where it says, and an address that leads nowhere is an error."""

import re
import threading

import click
import numpy as np
import pytest
from command import LABELS, X, finished, process, refused, run
from distributed import Client, LocalCluster

from daskelm import ELMClassifier, from_hdf5
from daskelm.cli.scheduler import Scheduler, connected, connection
from daskelm.cluster.client import current_client


def work_done(cluster):
    """Number of steps that the scheduler has made so far."""
    with Client(cluster, set_as_default=False) as client:
        return client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)


def test_rows_are_worked_on_where_the_scheduler_is(cluster, folder, no_client):
    at = f"--scheduler {cluster.scheduler_address}"
    run(f"init X.h5 model.h5 --neurons 20 --labels labels.h5 {at}")
    for line in (
        "accumulate model.h5 X.h5 labels.h5 --into sums.h5",
        "remove model.h5 X.h5 labels.h5 --rows 0:100 --from sums.h5",
        "predict model.h5 X.h5 --out Y.h5",
        "predict model.h5 X.h5 --out P.h5 --proba",
        "score model.h5 X.h5 labels.h5",
    ):
        before = work_done(cluster)
        run(f"{line} {at}")
        assert work_done(cluster) > before, line
        # The client was there for the duration, and only then.
        assert current_client() is None
        if "remove" in line:
            run("solve model.h5 sums.h5")
    expected = ELMClassifier(20, random_state=0).initialize(X, classes=[0, 1, 2, 3])
    expected.accumulate(X[100:], LABELS[100:]).solve()
    np.testing.assert_allclose(np.asarray(from_hdf5("P.h5")), expected.predict_proba(X), rtol=0, atol=1e-10)


def test_a_scheduler_from_a_process(cluster, folder, model):
    line = ["accumulate", model, "X.h5", "T.h5", "--into", "sums.h5", "--scheduler", cluster.scheduler_address]
    status, out, err = finished(process(*line))
    assert (status, out) == (0, "sums.h5: 600 rows added, 0 were counted already; 600 in all\n")
    assert re.fullmatch(r"(gram: .* rows/s, \d+ s left\n)+", err)


def test_a_scheduler_without_workers_is_told_of(capsys):
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty:
        with connected(Scheduler(empty.scheduler_address)):
            assert current_client().scheduler.address == empty.scheduler_address
        err = capsys.readouterr().err
    assert err == f"daskelm: the scheduler at {empty.scheduler_address} has no workers yet; waiting for them.\n"


def test_a_scheduler_that_is_not_there_leaves_no_client_behind(folder, model, no_client):
    refused("score model.h5 X.h5 T.h5 --scheduler nowhere")
    assert current_client() is None


def test_an_address_in_the_environment_alone_is_not_followed(cluster, folder, model, monkeypatch, no_client):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
    before = work_done(cluster)
    run("accumulate model.h5 X.h5 T.h5 --into sums.h5")
    assert work_done(cluster) == before


@pytest.mark.parametrize("address", ["localhost", "tcp://localhost", "tcp://localhost:http"])
def test_an_address_without_a_port_is_refused_and_leaves_no_thread(address):
    before, rule = threading.active_count(), f"must be an address such as tcp://localhost:8786; got '{address}'"
    with pytest.raises(click.BadParameter, match=rule), connection(Scheduler(address)):
        pass
    assert threading.active_count() == before
