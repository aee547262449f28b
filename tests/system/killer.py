"""Kills a process of a daemon again and again, beside the test."""
import os
import random
import signal
import threading
import time


class Killer:
    """find() gives a pid or None; interval: seconds between two kills, or (least, most) for random ones."""

    def __init__(self, find, interval, seed=1):
        self.find, self.interval = find, interval
        self.random = random.Random(seed)
        self.kills = 0
        self._victims = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._over.wait(self.random.uniform(*self.interval) if isinstance(self.interval, tuple) else self.interval):
            pid = self.find()
            if not pid or pid in self._victims:
                continue
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.kills += 1
            self._victims = {pid}

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()


def wait_kills(killer, count, load, deadline=120):
    """Until so many kills have happened, or the load is over."""
    end = time.monotonic() + deadline
    while killer.kills < count and load.running and time.monotonic() < end:
        time.sleep(0.02)
