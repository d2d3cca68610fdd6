"""What happens to a fleet: replicas die, Postgres goes away and comes back, the bucket fails in every way it knows."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.postgres import Cluster
    from tests.replicas.fleet import Replica
    from tests.s3_faults import FaultProxy

_SHARES: Final = (0.0, 0.1, 0.1, 0.3, 1.0)
"""How many of the bucket's requests come to harm, for a while: some of the time none of them gets through."""


class Chaos:
    """Does harm for a while, and counts it in `done`; afterwards everything is there and well.

    `forgetful_until`: when (of time.monotonic) the last crash of Postgres was over, which may have lost what was committed
    before and need not be durable.
    """

    def __init__(self, replicas: Sequence[Replica], cluster: Cluster, bucket: FaultProxy, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.forgetful_until = -math.inf
        self._replicas = replicas
        self._cluster = cluster
        self._bucket = bucket
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._ends = itertools.cycle((SIGKILL, SIGKILL, SIGTERM, SIGKILL))
        self._crashes = itertools.cycle((SIGQUIT, SIGINT))

    async def rage(self, seconds: float) -> None:
        """All of it at once."""
        end = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for harm in (self._end_replicas, self._restart_postgres, self._harm_the_bucket):
                group.create_task(harm(end))

    async def _end_replicas(self, end: float) -> None:
        while await self._pause_until(end, 0.2, 2):
            victims = self._chance.sample(self._replicas, self._chance.choice((1, 1, 2)))
            for victim in victims:
                await self._end(victim)
            await self._pause(0, 1)
            for victim in victims:
                victim.start()
            for victim in victims:
                await _ready(victim)

    async def _end(self, victim: Replica) -> None:
        how = next(self._ends)
        self.done[f"replicas ended with {how.name}"] += 1
        await asyncio.to_thread(victim.kill if how == SIGKILL else victim.stop)

    async def _restart_postgres(self, end: float) -> None:
        while await self._pause_until(end, 4, 10):
            how = next(self._crashes)
            self.done[f"Postgres ended with {how.name}"] += 1
            if how == SIGQUIT:
                self.forgetful_until = math.inf
            await asyncio.to_thread(self._cluster.stop, how)
            await self._pause(0, 2)
            await asyncio.to_thread(self._cluster.start)
            if how == SIGQUIT:
                self.forgetful_until = time.monotonic()

    async def _harm_the_bucket(self, end: float) -> None:
        while await self._pause_until(end, 0.5, 2.5):
            self._bucket.share = self._chance.choice(_SHARES)
        self._bucket.share = 0

    async def _pause_until(self, end: float, least: float, most: float) -> bool:
        """Whether there is still time after a pause."""
        await self._pause(least, most)
        return asyncio.get_running_loop().time() < end

    async def _pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(least, most))


async def _ready(replica: Replica) -> None:
    """One that could not start, without database or bucket, is started again, as whoever looks after it would."""
    while not await asyncio.to_thread(replica.wait_until_ready):
        await asyncio.sleep(0.2)
        replica.start()
