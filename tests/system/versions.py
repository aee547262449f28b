"""Versions of the programs: what is installed, and upgrades from one to the other."""
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

import daemon
from peers import End, connect
from waiting import wait_for

OVER = "upgrade: (done|given up)"


def upgrade(warden, meanwhile=None):
    """SIGUSR2; returns whether it was done."""
    before = len(warden.log.matching(OVER))
    warden.signal(signal.SIGUSR2)
    if meanwhile:
        meanwhile()
    wait_for(lambda: len(warden.log.matching(OVER)) > before, lambda: f"the upgrade's end\n{warden.log_tail()}", 90)
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket", 30)
    return "done" in warden.log.matching(OVER)[-1].text


class Pings:
    """Sessions that exchange bytes with an echo backend all the time; the longest that one of them had to wait."""

    def __init__(self, address, count):
        self.clients = [connect(address) for _ in range(count)]
        self.longest = 0.0
        self.failed = None
        self.rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.wait_round()

    def _run(self):
        try:
            while not self._over.is_set():
                for client in self.clients:
                    began = time.monotonic()
                    client.send(random.choice((10, 1000, 30_000))).read(client.sent - client.received)
                    self.longest = max(self.longest, time.monotonic() - began)
                self.rounds += 1
        except (OSError, AssertionError) as e:
            self.failed = e

    def wait_round(self):
        """Every session has exchanged bytes since now."""
        rounds = self.rounds
        wait_for(lambda: self.failed or self.rounds >= rounds + 2, "a round of all sessions", 60)
        assert not self.failed, self.failed
        return self

    def wait_failed(self):
        """One of them has been ended."""
        return wait_for(lambda: self.failed, "the end of a session", 30)

    def stop(self):
        self.wait_round()
        self._over.set()
        self._thread.join()
        for client in self.clients:
            client.finish()
            assert client.read_to_end() == End("eof", 0)
            client.close()


ROLES = {"supervisor": "tcpwarden", "steward": "steward", "relay": "relay"}


class Installed:
    """The programs of a daemon, as links that can be turned to others, as a package does it."""

    def __init__(self, directory):
        self.directory = directory
        self.turn()

    def path(self, role):
        return os.path.join(self.directory, ROLES[role])

    def turn(self, build=None, copy=None, **faults):
        """All to those of that build, or to copies of them, which are other programs; faults: role="what it does wrong"."""
        for role, name in ROLES.items():
            target = os.path.join(build or daemon.build_directory(), "src", role, name)
            if copy:
                target = shutil.copy(target, os.path.join(self.directory, f"{name}-{copy}"))
            if role in faults:
                fake = "heir" if role == "relay" else "faulty"
                target = os.path.join(self.directory, f"{fake}-{faults[role]}" + ("" if role == "relay" else f"-{role}"))
                shutil.copy(os.path.join(daemon.build_directory(), "tests", "system", "fake", fake), target)
                os.chmod(target, 0o755)
            os.symlink(target, self.path(role) + ".new")
            os.rename(self.path(role) + ".new", self.path(role))


@pytest.fixture
def installed(through, scratch):
    """installed(backends, ...): a daemon and its programs. before: called with it before it starts."""
    def make(backends, environment=None, before=None, **more):
        programs = Installed(scratch)
        build = daemon.build_directory()
        warden = through(backends, start=False, daemon={"environment": {
            "TCPWARDEN_LIBEXECDIR": f"{scratch}:{os.path.join(build, 'src', 'steward')}",
            **{f"TCPWARDEN_REAL_{role}": os.path.join(build, "src", role, name) for role, name in ROLES.items()},
            **(environment or {})}}, **more)
        of_build = warden.program
        warden.program = lambda *parts: programs.path("supervisor") if parts == ("supervisor", "tcpwarden") else of_build(*parts)
        if before:
            before(warden)
        return warden.start(), programs
    return make


@pytest.fixture(scope="session")
def another_version():
    """A build of the same sources as another version: with a ledger extension and another default. Set TCPWARDEN_BUILD_TEST_VERSION to one that is there."""
    ready = os.environ.get("TCPWARDEN_BUILD_TEST_VERSION")
    if ready:
        yield ready
        return
    with open(os.path.join(daemon.build_directory(), "config.status")) as f:
        source = re.search(r"^srcdir='(.*)'$", f.read(), re.M)[1]
    directory = tempfile.mkdtemp(prefix="tcpwarden-version-")
    os.chmod(directory, 0o755)
    for command in ([os.path.join(daemon.build_directory(), source, "configure"), "-q", "--enable-test-version", "CFLAGS=-O1 -g"],
                    ["make", "-s", "-j2", "src/supervisor/tcpwarden", "src/steward/steward", "src/relay/relay"]):
        made = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=900)
        assert made.returncode == 0, made.stderr
    yield directory
    shutil.rmtree(directory)
