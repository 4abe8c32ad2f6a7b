"""A real Dask scheduler with many dummy workers, which speak its protocol and compute nothing.

The scheduler has one process, all workers share a second one, and the client has a third, so that the processor time of
each can be measured. A dummy worker answers each task at once, with a message that says how many bytes the result would
have. When a merge needs results of other workers, it only counts their bytes. It also counts how many leaves are in
each sum.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from distributed import Scheduler
from distributed.batched import BatchedSend
from distributed.comm import connect, listen
from distributed.core import ConnectionPool
from distributed.protocol import Serialized, to_serialize
from distributed.protocol.pickle import dumps
from distributed.versions import get_versions
from distributed.worker import run as run_function

_METRICS = {
    "bandwidth": {"total": 1e8, "workers": {}, "types": {}},
    "digests_total_since_heartbeat": {},
    "managed_bytes": 0,
    "spilled_bytes": {"memory": 0, "disk": 0},
    "memory": 2**28,
    "cpu": 0,
}


class Fleet:
    """All dummy workers of a process, on one event loop.

    Parameters
    ----------
    address : str
        Address of the scheduler.
    partial_bytes : int
        Bytes of the result of a gram or merge task.
    value : callable
        Function of the number of leaves in a sum; a worker sends its result when the sum is requested.
    """

    def __init__(self, address: str, partial_bytes: int, value: Callable[[int], object]):
        self.address, self.partial_bytes, self.value = address, partial_bytes, value
        self.workers: list[DummyWorker] = []
        # Number of leaves in each sum, by key.
        self.leaves: dict = {}
        self.counts: Counter = Counter()
        self.pool = ConnectionPool()
        self.versions = get_versions()

    async def start(self, n_workers: int) -> None:
        """Register the workers at the scheduler."""
        for i in range(n_workers):
            worker = DummyWorker(self, f"dummy-{i}")
            await worker.start()
            self.workers.append(worker)

    async def beat(self) -> None:
        """Send heartbeats, at most 200 a second, as workers of Dask do."""
        scheduler = self.pool(self.address)
        while True:
            pause = max(len(self.workers) / 200 + 1, 0.5) / max(len(self.workers), 1)
            for worker in self.workers:
                await asyncio.sleep(pause)
                await scheduler.heartbeat_worker(
                    address=worker.address, now=time.time(), metrics=_METRICS, executing={}, extensions={}
                )


class DummyWorker:
    """One worker of one thread, as the scheduler sees it."""

    def __init__(self, fleet: Fleet, name: str):
        self.fleet, self.name = fleet, name
        self.data: dict = {}
        self.stream = BatchedSend(interval="2ms")
        self.address = ""
        # Functions that `Client.run` starts may read the id of the worker.
        self.id = name

    async def start(self) -> None:
        """Listen, register, and follow the stream."""
        self.listener = await listen("tcp://127.0.0.1", self.serve, deserialize=False)
        self.address = self.listener.contact_address
        comm = await connect(self.fleet.address, deserialize=False)
        await comm.write(
            {
                "op": "register-worker",
                "reply": False,
                "address": self.address,
                "status": "running",
                "nthreads": 1,
                "name": self.name,
                "now": time.time(),
                "resources": {},
                "memory_limit": 2**36,
                "local_directory": "",
                "services": {},
                "nanny": None,
                "pid": os.getpid(),
                "versions": self.fleet.versions,
                "metrics": _METRICS,
                "extra": {},
                "stimulus_id": f"worker-connect-{self.name}",
                "server_id": self.name,
            },
            serializers=["msgpack"],
        )
        answer = await comm.read()
        if answer["status"] != "OK":
            raise RuntimeError(f"the scheduler refused a worker: {answer}")
        self.stream.start(comm)
        self.following = asyncio.create_task(self.follow(comm))

    async def follow(self, comm) -> None:
        """Handle the messages that the scheduler sends to this worker."""
        counts = self.fleet.counts
        with contextlib.suppress(OSError):
            while True:
                for message in await comm.read():
                    op = message["op"]
                    counts[op] += 1
                    if op == "compute-task":
                        self.compute(message)
                    elif op in ("free-keys", "remove-replicas"):
                        for key in message["keys"]:
                            self.data.pop(key, None)
                    elif op == "steal-request":
                        # Tasks are done as soon as they arrive, so there is none to give away.
                        self.send(op="steal-response", key=message["key"], state=None, id=message["stimulus_id"])

    def compute(self, message) -> None:
        """Pretend to run a task: count the bytes that it would fetch, and report it as finished."""
        fleet, key = self.fleet, message["key"]
        kind = (key[0] if isinstance(key, tuple) else key).partition("-")[0]
        missing = [other for other in message["who_has"] if other not in self.data]
        for other in missing:
            self.data[other] = message["nbytes"][other]
            moved = "layer" if str(other).startswith("layer") else "partial"
            fleet.counts[f"bytes moved: {moved}"] += self.data[other]
            fleet.counts[f"transfers: {moved}"] += 1
        if missing:
            self.send(op="add-keys", keys=missing, id="gather-dep")
        # Every input of a task is a sum, except the layer.
        sums = [other for other in message["who_has"] if not str(other).startswith("layer")]
        fleet.leaves[key] = 1 if kind == "gram" else sum(fleet.leaves[other] for other in sums)
        self.data[key] = fleet.partial_bytes
        fleet.counts[kind] += 1
        now = time.time()
        self.send(
            op="task-finished",
            status="OK",
            key=key,
            run_id=message["run_id"],
            nbytes=self.data[key],
            type=_TYPE,
            typename="NormalEquations",
            metadata={},
            thread=0,
            startstops=[{"action": "compute", "start": now - 1e-3, "stop": now}],
            id=message["stimulus_id"],
        )

    def send(self, *, id: str, **message) -> None:
        self.fleet.counts[f"sent: {message['op']}"] += 1
        self.stream.send(message | {"stimulus_id": id})

    async def serve(self, comm) -> None:
        """Answer requests of clients and of the scheduler."""
        with contextlib.suppress(OSError):
            while not comm.closed():
                message = await comm.read()
                op = message.pop("op", None)
                if op == "get_data":
                    data = {key: to_serialize(self.fleet.value(self.fleet.leaves[key])) for key in message["keys"]}
                    await comm.write({"status": "OK", "data": data})
                    await comm.read()
                elif op == "run":
                    wanted = {name: _plain(message[name]) for name in ("function", "args", "kwargs") if name in message}
                    await comm.write(await run_function(self, comm, **wanted))
                elif message.get("reply", True):
                    raise NotImplementedError(f"a dummy worker was asked for {op!r}")


def _plain(value):
    if isinstance(value, Serialized):
        from distributed.protocol import deserialize

        return deserialize(value.header, value.frames)
    return value


_TYPE = dumps(dict)


def facts() -> dict:
    """Processor seconds of this process, and its resident bytes now and at most."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = {name: 1024 * int(re.search(rf"{name}:\s*(\d+) kB", status)[1]) for name in ("VmRSS", "VmHWM")}
    return {"cpu": time.process_time(), "resident": found["VmRSS"], "peak": found["VmHWM"]}


async def _answer(pipe, counts) -> None:
    """Send `facts` and counts for each request, until a request is false."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, pipe.recv):
        pipe.send(facts() | {"counts": dict(counts)})


async def _schedule(pipe):
    counts: Counter = Counter()

    def counted(op, handler):
        def count(*args, **kwargs):
            counts[op] += 1
            if op == "update-graph":
                counts["graph bytes"] += sum(len(frame) for frame in kwargs["expr_ser"].frames)
            return handler(*args, **kwargs)

        async def count_and_wait(*args, **kwargs):
            return await count(*args, **kwargs)

        return count_and_wait if asyncio.iscoroutinefunction(handler) else count

    async with Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0") as scheduler:
        for op, handler in scheduler.stream_handlers.items():
            scheduler.stream_handlers[op] = counted(op, handler)
        pipe.send(scheduler.address)
        await _answer(pipe, counts)


async def _work(pipe, address, n_workers, partial_bytes, value):
    fleet = Fleet(address, partial_bytes, value)
    await fleet.start(n_workers)
    beating = asyncio.create_task(fleet.beat())
    pipe.send(len(fleet.workers))
    await _answer(pipe, fleet.counts)
    beating.cancel()


def _run(function, *arguments):
    logging.getLogger("distributed").setLevel(logging.ERROR)
    asyncio.run(function(*arguments))


class Simulation:
    """Context manager of a scheduler and dummy workers in two processes; `address` is the scheduler's.

    Parameters
    ----------
    n_workers : int
        Number of dummy workers, of one thread each.
    partial_bytes : int
        Bytes of the result of each task.
    value : callable
        Function of the number of leaves in a sum that gives the value of the sum; it must be picklable.
    """

    def __init__(self, n_workers: int, partial_bytes: int, value: Callable[[int], object]):
        self.arguments = n_workers, partial_bytes, value
        self._pipes: dict = {}
        self._processes: list = []

    def _start(self, name, function, *arguments):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(function, theirs, *arguments), name=name, daemon=True)
        process.start()
        theirs.close()
        self._pipes[name], self._processes = ours, [*self._processes, process]
        return ours.recv()

    def __enter__(self) -> Simulation:
        self.address = self._start("scheduler", _schedule)
        self._start("workers", _work, self.address, *self.arguments)
        return self

    def ask(self) -> dict:
        """`facts` and counts of the scheduler and of the workers, by name."""
        for pipe in self._pipes.values():
            pipe.send(True)
        return {name: pipe.recv() for name, pipe in self._pipes.items()}

    def __exit__(self, *error):
        for process in reversed(self._processes):
            process.terminate()
            process.join(20)
