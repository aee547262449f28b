"""What tests in the lab share: a daemon for each way in which the relay paces the kernel, cases that wait side by side, and what
became of each, by name."""
import contextlib
import datetime
import sys
import threading
import time

import checks
from daemon import Daemon
from settings import service

# The second is the only way for kernels before 6.15. It is taken here for the asking.
PACINGS = {"rto-max": {}, "user-timeout": {"TCPWARDEN_NO_RTO_MAX": "1"}}


def stamp(line):
    """The time of a log line, as time.time() has it."""
    return datetime.datetime.fromisoformat(line.time.replace("Z", "+00:00")).timestamp()


def selected(request, parameter):
    """The values of that parameter in the tests of this module that are to run."""
    items = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    return {item.callspec.params[parameter] for item in items if parameter in item.callspec.params}


def say(request, lines):
    """To whoever runs the tests. Not to stdout: a worker's is heard by nobody."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *lines, sep="\n", file=sys.stderr)


class Stage:
    """Daemons by name, which ends with their pacing. Each has a service for each of its scenes, with the settings() of that."""

    def __init__(self, lab):
        self.lab = lab
        self.daemons = {}
        self.faults = {}  # what the universal checks found

    def start(self, name, pacing, scenes):
        daemon = self.daemons[name] = Daemon({}, environment=PACINGS[pacing])
        for scene in scenes:
            scene.daemon = daemon
        daemon.configure({"services": [service(s.name, s.door, s.backend, **s.settings()) for s in scenes]})
        with self.lab.warden.inside():
            return daemon.start()

    def finish(self):
        """The orderly end of each, and the universal checks."""
        dropped = sum(net.out_of_memory() for net in (self.lab.clients, self.lab.backends, self.lab.warden))
        if dropped:  # shown with what failed
            print(f"the machine was out of memory for TCP: {dropped} packets were dropped")
        for name, daemon in self.daemons.items():
            try:
                checks.before_stop(daemon)
                daemon.stop()
                checks.after_stop(daemon)
            except AssertionError as e:
                self.faults[name] = e

    def check(self, pacing):
        """Raises what the universal checks found for the daemons that are paced so."""
        for name, fault in self.faults.items():
            if name.endswith(pacing):
                raise fault

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for daemon in self.daemons.values():
            with contextlib.suppress(AssertionError):
                daemon.end_by_force()
            daemon.discard()


def side_by_side(calls, pause=0.01):
    """Calls all of them at once, in threads, and waits for all."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
        time.sleep(pause)  # so that they do not all begin in the same moment
    for thread in threads:
        thread.join()
