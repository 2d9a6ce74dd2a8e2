"""DBOS as the engine: a job is a workflow of its own, which has no steps and carries nothing but its id."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

from auwgent.fleet.engine import Work
from auwgent.store.dialects import ALIVE
from auwgent.store.line import Job

NAME = "auwgent"
WORKFLOW = "auwgent.run"
VERSION = "auwgent"  # to DBOS all programs are of one version: which run is for whom is told by its queue
MIDDLE = 1_000_000_000  # DBOS takes the smallest priority first
IDLE = 4.0  # seconds that a transaction may do nothing, in a process that was stopped or cut off
OVER = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
SWEPT, SWEEP = (
    30.0,
    2_000,
)  # seconds between two times that jobs which are over are forgotten, and how many at once

log = logging.getLogger("auwgent.fleet")


class Dbos:
    """DBOS in this process. Its own service for failover is not asked: who is dead is known to the store."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._made: DBOSClient | None = None
        self._guard, self._making = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._takes = False
        logging.getLogger("dbos").setLevel(logging.ERROR)

    def prepare(self) -> None:
        DBOS.migrate(self._url)

    def hand(self, connection: Any, jobs: Sequence[Job]) -> None:
        client = self._client()
        for job in jobs:
            client.enqueue_in_transaction(
                connection,
                {
                    "workflow_name": WORKFLOW,
                    "queue_name": job.queue,
                    "workflow_id": job.id,
                    "app_version": VERSION,
                    "priority": max(1, min(2 * MIDDLE, MIDDLE - job.priority)),
                },
                job.id,
            )

    def waiting(self, jobs: Collection[str]) -> set[str]:
        if not jobs:
            return set()
        found = self._client().list_workflows(
            workflow_ids=list(jobs), status=["ENQUEUED", "DELAYED"], load_input=False, load_output=False
        )
        return {one.workflow_id for one in found}

    def take(self, worker: str, queues: Mapping[str, float], concurrency: int, work: Work) -> None:
        loop = asyncio.get_running_loop()
        DBOS(
            config={
                "name": NAME,
                "system_database_url": self._url,
                "application_version": VERSION,
                "executor_id": worker,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "ERROR",
                "run_migrations": False,
                "use_listen_notify": False,  # of messages between workflows, of which there are none
                "sys_db_pool_size": 4,
                "sys_db_idle_transaction_timeout_sec": IDLE,
                # What meets a connection that broke is done again by DBOS, or found by the store's lookout. To ask
                # each time before whether it broke would be every third transaction of a worker.
                "db_engine_kwargs": {
                    "pool_pre_ping": False,
                    "connect_args": {"application_name": "auwgent_queue", **ALIVE},
                },
                "max_executor_threads": 4,
            }
        )

        async def carry_out(job: str) -> None:
            await asyncio.wrap_future(_begun(loop, work, job))

        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(carry_out)
        DBOS.listen_queues(list(queues))
        self._takes = True
        threading.Thread(target=self._begin, args=(queues, concurrency), daemon=True).start()

    def close(self, seconds: float = 0) -> None:
        self._stop.set()
        with self._guard:
            if self._takes:
                self._takes = False
                DBOS.destroy(workflow_completion_timeout_sec=round(seconds), destroy_registry=True)
            if self._made is not None:
                self._made.destroy()
                self._made = None

    def _begin(self, queues: Mapping[str, float], concurrency: int) -> None:
        with self._guard:
            if not self._takes:
                return
            DBOS.launch()
            for queue, seconds in queues.items():
                DBOS.register_queue(
                    queue,
                    worker_concurrency=concurrency,
                    polling_interval_sec=seconds,
                    on_conflict="always_update",
                )
        while not self._stop.wait(SWEPT):
            self._sweep(list(queues))

    def _sweep(self, queues: list[str]) -> None:
        """Forget jobs that are over: DBOS keeps them for ever."""
        try:
            client = self._client()
            over = client.list_workflows(
                queue_name=queues, status=OVER, limit=SWEEP, load_input=False, load_output=False
            )
            if over:
                client.delete_workflows([one.workflow_id for one in over])
        except Exception as error:  # of the network, or of another worker that does the same
            log.warning("jobs that are over could not be forgotten: %s", type(error).__name__)

    def _client(self) -> DBOSClient:
        with self._making:
            if self._made is None:
                self._made = DBOSClient(
                    system_database_url=self._url,
                    serializer=DBOSPortableJSONSerializer(),
                    application_name=NAME,
                    system_database_pool_size=2,
                    retry_connection_errors=False,
                    lazy=True,
                )
        return self._made


def _begun(loop: asyncio.AbstractEventLoop, work: Work, job: str) -> Future[None]:
    """Begin a job in the event loop of its worker. DBOS ends its own side when it is closed, and not the job."""
    done: Future[None] = Future()

    async def carry_out() -> None:
        try:
            await work(job)
        finally:
            if done.set_running_or_notify_cancel():
                done.set_result(None)

    asyncio.run_coroutine_threadsafe(carry_out(), loop)
    return done
