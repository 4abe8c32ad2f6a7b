"""The option --scheduler: work is done where it says, and an address that leads nowhere is an error."""

import threading

import click
import pytest

from daskelm.cli.scheduler import Scheduler, connection


@pytest.mark.parametrize("address", ["localhost", "tcp://localhost", "tcp://localhost:http"])
def test_an_address_without_a_port_is_refused_and_leaves_no_thread(address):
    before, rule = threading.active_count(), f"must be an address such as tcp://localhost:8786; got '{address}'"
    with pytest.raises(click.BadParameter, match=rule), connection(Scheduler(address)):
        pass
    assert threading.active_count() == before
