"""The option --scheduler, the options for its certificates, and the client that connects to it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from .errors import print_message

__all__ = ["Scheduler", "connected", "connection", "scheduler_option"]


class Scheduler(NamedTuple):
    """Address of a Dask scheduler, and files for TLS; Dask's configuration supplies those that are None."""

    address: str
    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None


_ADDRESS = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Run on the workers of the Dask scheduler at this address, such as tcp://host:8786; on the cores of this "
    "machine if not given (the variable DASK_SCHEDULER_ADDRESS alone has no effect).",
)
_FILE = click.Path(exists=True, dir_okay=False)
_TLS = (
    click.option(
        "--tls-ca-file",
        metavar="PEM",
        type=_FILE,
        help="For a scheduler at tls://: certificate of the authority that signs the cluster's certificates.",
    ),
    click.option("--tls-cert", metavar="PEM", type=_FILE, help="Certificate to present to the scheduler."),
    click.option("--tls-key", metavar="PEM", type=_FILE, help="Private key of --tls-cert, if not in the same file."),
)


def scheduler_option(command):
    """Add the options of a command that can run on a cluster; its argument `scheduler` is a Scheduler, or None."""

    @functools.wraps(command)
    def with_scheduler(*args, scheduler, tls_ca_file, tls_cert, tls_key, **kwargs):
        files = (tls_ca_file, tls_cert, tls_key)
        if scheduler is None and any(files):
            raise click.UsageError("--tls-ca-file, --tls-cert and --tls-key are for a connection to --scheduler.")
        return command(*args, scheduler=None if scheduler is None else Scheduler(scheduler, *files), **kwargs)

    for option in reversed((_ADDRESS, *_TLS)):
        with_scheduler = option(with_scheduler)
    return with_scheduler


@contextlib.contextmanager
def connected(scheduler: Scheduler | None) -> Iterator[None]:
    """Connect a client to this scheduler while the block lasts; without a scheduler, do nothing."""
    if scheduler is None:
        yield
        return
    with connection(scheduler) as client:
        if not client.scheduler_info()["workers"]:
            print_message(f"the scheduler at {scheduler.address} has no workers yet; waiting for them.")
        yield


@contextlib.contextmanager
def connection(scheduler: Scheduler) -> Iterator[Any]:
    """Connect a client while the block lasts, and give it; the scheduler may have no workers."""
    from distributed import Client

    _check_address(scheduler.address)
    security = _security(scheduler)
    try:
        # A default client would remain the default even when it cannot connect.
        client = Client(scheduler.address, security=security, set_as_default=False)
    except (OSError, ValueError) as error:
        remedy = "A scheduler must run there; its address is such as tcp://host:8786, or tls://host:8786 with TLS."
        if security.require_encryption:
            remedy = "One must run there, use TLS, and have a certificate of the same authority as --tls-cert."
        raise _wrong(f"cannot connect to a Dask scheduler at {scheduler.address!r} ({error}). {remedy}") from None
    with client, client.as_current():
        yield client


def _check_address(address):
    """Refuse text that is no address: a client would fail with it too, but leave a thread that never ends."""
    from distributed.comm.addressing import get_address_host_port

    try:
        get_address_host_port(address)
    except ValueError as error:
        host = address.rpartition("://")[2].partition(":")[0]
        raise _wrong(f"must be an address such as tcp://{host}:8786; got {address!r} ({error}).") from None


def _security(scheduler):
    from distributed import Security

    fields = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    given = {name: file for name, file in zip(fields, scheduler[1:], strict=True) if file is not None}
    encrypted = scheduler.address.startswith("tls://")
    if given and not encrypted:
        raise _wrong(
            f"must begin with tls:// where --tls-ca-file, --tls-cert or --tls-key are given; got "
            f"{scheduler.address!r}, which is not encrypted."
        )
    # Dask's configuration supplies the files that are not given.
    security = Security(require_encryption=True, **given) if encrypted else Security()
    known = security.get_tls_config_for_role("client")
    if encrypted and not (known["ca_file"] and known["cert"]):
        raise _wrong(
            f"{scheduler.address} needs certificates. Give --tls-ca-file and --tls-cert, and --tls-key where the key "
            "is in a file of its own, or set distributed.comm.tls in Dask's configuration."
        )
    try:
        security.get_connection_args("client")
    except OSError as error:
        raise _wrong(
            f"the files for TLS cannot be used ({error}). --tls-ca-file and --tls-cert must be certificates in PEM, "
            "and --tls-key the private key of --tls-cert."
        ) from None
    return security


def _wrong(text):
    return click.BadParameter(text, param_hint="'--scheduler'")
