"""Clusters with TLS, from end to end; who has no certificate is refused. And the page that says how to start one."""

import contextlib
import logging
import os
import pickle
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import dask
import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster, Security
from test_docs import blocks

from daskelm import ELMRegressor, from_hdf5, load, make_hdf5
from daskelm.cli import cli
from daskelm.cli.scheduler import Scheduler, connected
from daskelm.cluster.client import current_client

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "clusters.md"
N, D = 2000, 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
T = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)


def openssl(line, folder):
    subprocess.run(["openssl", *shlex.split(line)], cwd=folder, check=True, capture_output=True)


def make_certificates(folder):
    """An authority, and a certificate that it signed, with a key."""
    folder.mkdir()
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem", folder)
    openssl("req -new -newkey rsa:2048 -nodes -subj /CN=cluster -keyout key.pem -out request.pem", folder)
    openssl("x509 -req -in request.pem -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -out certificate.pem", folder)
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "theirs")


def security(folder):
    files = {"tls_ca_file": folder / "ca.pem"}
    for role in ("client", "scheduler", "worker"):
        files |= {f"tls_{role}_cert": folder / "certificate.pem", f"tls_{role}_key": folder / "key.pem"}
    return Security(require_encryption=True, **{name: str(path) for name, path in files.items()})


@pytest.fixture(scope="module")
def tls_cluster(ours):
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        protocol="tls",
        security=security(ours),
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit="2GiB",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_hdf5(X, "X.h5")
    make_hdf5(T, "T.h5")
    return tmp_path


def options(folder, ca=None):
    return f"--tls-ca-file {(ca or folder)}/ca.pem --tls-cert {folder}/certificate.pem --tls-key {folder}/key.pem"


def invoke(line):
    return CliRunner().invoke(cli, shlex.split(line), prog_name="daskelm")


def run(line):
    result = invoke(line)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(line):
    """What the command says in one line when it is refused."""
    result = invoke(line)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert current_client() is None
    assert result.stderr.count("\n") == 1
    return result.stderr


# End to end


def test_the_command_from_end_to_end(tls_cluster, ours, folder, no_client):
    address = tls_cluster.scheduler_address
    assert address.startswith("tls://")
    at = f"--scheduler {address} {options(ours)}"
    told = run(f"check X.h5 T.h5 --into sums.h5 --neurons 30 {at}")
    assert re.search(r"ok +workers +2 with 2 thread", told)
    run(f"init X.h5 model.h5 --neurons 30 {at}")
    run(f"accumulate model.h5 X.h5 T.h5 --into sums.h5 {at}")
    run("solve model.h5 sums.h5")
    run(f"predict model.h5 X.h5 --out Y.h5 {at}")
    expected = ELMRegressor(30, random_state=0).fit(X, T)
    np.testing.assert_allclose(np.asarray(from_hdf5("Y.h5")), expected.predict(X), rtol=0, atol=1e-8)
    assert float(run(f"score model.h5 X.h5 T.h5 {at}")) == pytest.approx(expected.score(X, T), abs=1e-8)
    assert current_client() is None


def test_python_from_end_to_end_and_all_is_encrypted(tls_cluster, ours, folder):
    with Client(tls_cluster.scheduler_address, security=security(ours)) as client:
        model = ELMRegressor(30, random_state=0).fit("X.h5", "T.h5", checkpoint="sums.h5")
        predicted = np.asarray(model.predict("X.h5"))
        assert all(address.startswith("tls://") for address in client.scheduler_info()["workers"])
        # Nothing of the connection goes where the model goes.
        assert b"pem" not in pickle.dumps(model)
    np.testing.assert_allclose(predicted, ELMRegressor(30, random_state=0).fit(X, T).predict(X), rtol=0, atol=1e-8)


def test_certificates_from_the_configuration_of_dask(tls_cluster, ours, folder):
    files = {"ca-file": "ca.pem", "client.cert": "certificate.pem", "client.key": "key.pem"}
    settings = {f"distributed.comm.tls.{name}": str(ours / file) for name, file in files.items()}
    with dask.config.set(settings):
        assert "workers" in run(f"check --scheduler {tls_cluster.scheduler_address}")
        # One of the options takes the place of one of the settings.
        assert "workers" in run(f"check --scheduler {tls_cluster.scheduler_address} --tls-ca-file {ours}/ca.pem")
    with connected(Scheduler(tls_cluster.scheduler_address, *(str(ours / file) for file in files.values()))):
        assert current_client() is not None


# Refused


@pytest.fixture
def impatient():
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        yield


@pytest.mark.parametrize("with_what", ["no TLS", "another authority", "a certificate of another authority"])
def test_who_has_no_certificate_is_refused(tls_cluster, ours, theirs, folder, no_client, impatient, with_what):
    address = tls_cluster.scheduler_address
    before = tls_cluster.scheduler.transition_counter
    line = {
        "no TLS": f"--scheduler {address.replace('tls://', 'tcp://')}",
        "another authority": f"--scheduler {address} {options(theirs)}",
        # It trusts ours, and shows what ours did not sign.
        "a certificate of another authority": f"--scheduler {address} {options(theirs, ca=ours)}",
    }[with_what]
    told = refused(f"init X.h5 model.h5 {line}")
    assert f"'--scheduler': cannot connect to a Dask scheduler at '{line.split()[1]}' (" in told
    remedy = "or tls://host:8786 with TLS" if with_what == "no TLS" else "a certificate of the same authority"
    assert remedy in told
    assert not os.path.exists("model.h5")
    assert tls_cluster.scheduler.transition_counter == before


def test_workers_refuse_too(tls_cluster, ours):
    """Of a connection without a certificate neither scheduler nor worker reads a byte."""
    with Client(tls_cluster.scheduler_address, security=security(ours), set_as_default=False) as client:
        addresses = [tls_cluster.scheduler_address, *client.scheduler_info()["workers"]]
    assert len(addresses) == 3
    context = ssl.create_default_context(cafile=str(ours / "ca.pem"))
    context.check_hostname = False
    for address in addresses:
        host, port = address.removeprefix("tls://").split(":")
        with (
            socket.create_connection((host, int(port)), timeout=60) as plain,
            pytest.raises(ssl.SSLError, match="(?i)certificate.required|handshake.failure"),
            context.wrap_socket(plain) as connection,
        ):
            # With TLS 1.3 it is the first answer that says so.
            connection.recv(1)


# Mistakes


@pytest.mark.parametrize(
    ("line", "text"),
    {
        "--tls-cert {ours}/certificate.pem": "--tls-key are for a connection to --scheduler",
        "--scheduler tcp://127.0.0.1:1 {tls}": "must begin with tls:// where .* got 'tcp://127.0.0.1:1', which",
        "--scheduler tls://127.0.0.1:1": "tls://127.0.0.1:1 needs certificates. Give --tls-ca-file and --tls-cert, and",
        "--scheduler tls://127.0.0.1:1 --tls-ca-file {ours}/ca.pem": "needs certificates",
        "--scheduler tls://127.0.0.1:1 --tls-ca-file none.pem": "'--tls-ca-file': File 'none.pem' does not exist",
        "--scheduler tls://127.0.0.1:1 {tls} --tls-cert X.h5": "the files for TLS cannot be used",
        "--scheduler tls://127.0.0.1:1 {tls} --tls-key {theirs}/key.pem": "cannot be used .* the private key of",
    }.items(),
)
def test_mistakes_with_certificates(ours, theirs, folder, no_client, line, text):
    line = line.format(ours=ours, theirs=theirs, tls=options(ours))
    for command in ("init X.h5 model.h5", "check"):
        assert re.search(text, refused(f"{command} {line}"))
    assert not os.path.exists("model.h5")


def test_all_commands_with_a_scheduler_take_certificates():
    names = {name: {parameter.name for parameter in command.params} for name, command in cli.commands.items()}
    tls = {"tls_ca_file", "tls_cert", "tls_key"}
    assert {name for name, found in names.items() if "scheduler" in found} == {
        name for name, found in names.items() if tls & found
    }
    assert all(tls <= found or not tls & found for found in names.values())


# The page


SSH = """#!/bin/bash
# In the place of ssh: the command, on this machine and not on the one that is named.
echo "$1" >> "$SSH_LOG"
shift
exec bash -c "$*"
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def settings(code, port):
    """The first block with settings that are true here."""
    mine = {"head": "127.0.0.1", "nodes": '"localhost 127.0.0.1"', "threads": "1", "port": port}
    mine["bin"] = Path(sys.executable).parent
    for name, value in mine.items():
        code, n = re.subn(rf"^{name}=\S.*?(?= +#)", f"{name}={value}", code, flags=re.M)
        assert n == 1, name
    return code


@pytest.mark.full
@pytest.mark.parametrize("protocol", ["tls", "tcp"])
def test_the_page_runs_as_it_is_printed(folder, protocol):
    make_hdf5(X, "dataX.h5")
    make_hdf5(T, "dataT.h5")
    programs = folder / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(SSH)
    (programs / "ssh").chmod(0o755)
    (programs / "daskelm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daskelm "$@"\n')
    (programs / "daskelm").chmod(0o755)
    port = free_port()
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SSH_LOG": str(folder / "ssh.log"),
        "ADDRESS": f"{protocol}://127.0.0.1:{port}",
    }
    page = [block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language in ("bash", "python")]
    assert all(block.opt_out is not None and block.opt_out["test"] == "tests/cli/test_tls.py" for block in page)
    started = []
    try:
        for i, block in enumerate(page):
            if protocol == "tcp" and re.search("openssl|Security|accumulate", block.code):
                continue
            code = settings(block.code, port) if i == 0 else block.code
            what = [sys.executable, "-c"] if block.language == "python" else ["bash", "-euo", "pipefail", "-c"]
            if "daskelm check" in block.code and "init" not in block.code:
                wait_for_workers(folder, protocol, port)
            with open("said.txt", "w+") as said:
                # All that it starts is of its own group, to be ended whatever happens.
                process = subprocess.Popen(
                    [*what, code], env=environment, stdout=said, stderr=said, start_new_session=True
                )
                started.append(process.pid)
                status = process.wait(timeout=120)
                said.seek(0)
                assert status == 0, f"{PAGE.name}, line {block.line}: exit code {status}\n{said.read()}"
        wait(lambda: not list(folder.glob("*.pid")), "the workers to end with the scheduler")
    finally:
        for group in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
    assert (folder / "ssh.log").read_text().split() == ["127.0.0.1", "localhost", "127.0.0.1", "127.0.0.1"]
    if protocol == "tcp":
        return
    lines = (folder / "check.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 6
    expected = ELMRegressor(200, random_state=0).fit(X, T)
    np.testing.assert_allclose(np.asarray(from_hdf5("predictedY.h5")), expected.predict(X), rtol=0, atol=1e-8)
    assert load("model.h5").hidden_layer_.n_neurons == 200


def wait(until, what):
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.2)


def wait_for_workers(folder, protocol, port):
    """What a person does by looking."""
    encrypted = {"security": security(folder / "certificates")} if protocol == "tls" else {}
    with Client(f"{protocol}://127.0.0.1:{port}", set_as_default=False, timeout=60, **encrypted) as client:
        client.wait_for_workers(2, timeout=60)
