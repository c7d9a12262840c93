"""End the workers of a pool with the program that started them, if it is killed: else they would wait for ever."""

import multiprocessing
import os
from functools import cache
from threading import Thread


def follow() -> None:
    """Call this in a worker; elsewhere it does nothing."""
    _follow(os.getpid())


@cache
def _follow(_: int) -> None:  # once for each process, also for one that was forked after its program called this
    if parent := multiprocessing.parent_process():

        def wait() -> None:
            parent.join()
            os._exit(1)

        Thread(target=wait, daemon=True).start()
