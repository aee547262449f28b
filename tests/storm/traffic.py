"""What the sessions do meanwhile: some stay and move checked bytes both ways all the time, others come, so many a second, and end in
every way that there is. All of it is tcpload's."""
import contextlib
import time

from load import LoadBackend, LoadClient
from waiting import wait_for

PACE_MS = 500          # between two messages of a session, each way
MEAN_BYTES = 3300      # of a message; sizes are spread over their magnitudes
SIZES = "1:16384"
BULK = {"sizes": "65536:262144", "pace": 250}
BULK_MEAN_BYTES = 160_000
KINDS = "fin=3,ask=2,late=2,client_rst,backend_rst,abrupt"
LONGER = 1.25          # a session has so much more to say than it can within the time; the rest follows without pauses
STUCK_S = 60.0         # in which nobody receives anything


class Traffic:
    """`fronts`: name: (address, share of the sessions and connects); `backends`: addresses, on which tcpload answers."""

    def __init__(self, directory, inside, fronts, backends, sessions, connects, seconds, seed):
        self.directory, self.inside = directory, inside
        self.fronts, self.sessions, self.connects, self.seconds, self.seed = fronts, sessions, connects, seconds, seed
        self.loads = {}
        with inside():
            for i, address in enumerate(backends):
                self.loads[f"backend {i}"] = LoadBackend(directory, address=address)

    def _client(self, name, address, **options):
        self.seed += 1
        with self.inside():
            self.loads[name] = LoadClient(self.directory, address, seed=self.seed, deadline=int(10 * self.seconds + 600), **options)

    def _stay(self, name, address, count, mean, **options):
        size = int(self.seconds * LONGER * 1000 / options["pace"] * mean)
        # By no means all at once: that would be another test.
        self._client(name, address, connections=count, parallel=count, rate=max(100, count // 5), kinds="fin", up=f"{size}:{int(1.1 * size)}",
                     down=f"{size}:{int(1.1 * size)}", **options)

    def start_sessions(self):
        for name, (address, share) in self.fronts.items():
            count = round(self.sessions * share)
            bulk = max(1, count // 100)
            self._stay(f"sessions {name}", address, count - bulk, MEAN_BYTES, sizes=SIZES, pace=PACE_MS)
            self._stay(f"bulk {name}", address, bulk, BULK_MEAN_BYTES, **BULK)
        wait_for(lambda: sum(load.progress()["opened"] for load in self.stayers()) == self.sessions, "all sessions", 60)

    def start_connects(self):
        for name, (address, share) in self.fronts.items():
            self._client(f"connects {name}", address, connections=1_000_000, parallel=10_000, rate=round(self.connects * share), kinds=KINDS,
                         up="0:20000", down="0:20000", sizes="1:16384")

    def stayers(self):
        return [load for name, load in self.loads.items() if name.startswith(("sessions", "bulk"))]

    def clients(self):
        return [load for name, load in self.loads.items() if not name.startswith("backend")]

    def running(self):
        return all(load.running for load in self.loads.values())

    def finish(self):
        """Everyone comes to the end. {name: result of tcpload}"""
        for load in self.loads.values():
            load.popen.send_signal(12)  # SIGUSR2
        received, since = -1, time.monotonic()
        while any(load.running for load in self.clients()):
            now = sum(load.progress()["received"] for name, load in self.loads.items() if name.startswith("backend"))
            if now != received:
                received, since = now, time.monotonic()
            elif time.monotonic() - since > STUCK_S:
                break  # the judge sees who is stuck
            time.sleep(0.2)
        with contextlib.suppress(AssertionError):
            for name, load in self.loads.items():
                if name.startswith("backend"):
                    wait_for(lambda: load.progress()["open"] == 0, "the end of all connections", 20)
        # Clients first: what ends a backend's connections is not to be counted against them.
        loads = [(name, self.loads[name]) for name in sorted(self.loads, key=lambda name: name.startswith("backend"))]
        return {name: load.wait(clean=False) if not load.running else self._stop(load) for name, load in loads}

    @staticmethod
    def _stop(load):
        load.popen.terminate()
        return load.wait(30, clean=False)

    def close(self):
        for load in self.loads.values():
            load.close()
