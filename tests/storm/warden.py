"""tcpwarden under the storm: as its unit runs it in a container's systemd, two services, one of them with hooks."""
import contextlib
import json
import os
import shutil
import signal
import subprocess

import installed
import judge
from daemon import build_directory
from faults import ABSENT, Target
from network import network_of
from resource_journal import Resource
from roles import Roles
from settings import config_text, service
from waiting import wait_for

CONTROL = "/run/tcpwarden/control.sock"
STATE = "/var/lib/tcpwarden"
CONFIG = "/etc/tcpwarden/tcpwarden.conf"
BACKENDS = "127.0.0.1:7001", "127.0.0.1:7002"
OPEN, HELD, SPARE = "127.0.0.1:5021", "127.0.0.1:5022", "127.0.0.1:5023"
# For builds with AddressSanitizer: our signals are no finding of its own, LeakSanitizer cannot trace in the sandbox, and memory that is
# free is not kept from use.
UNIT = """[Service]
WatchdogSec=1s
LimitCORE=0
Environment=ASAN_OPTIONS=handle_segv=0:detect_leaks=0:quarantine_size_mb=0:thread_local_quarantine_size_kb=0
"""
RELAYS, RELAYS_MOST = 2, 3
COMMAND_S = 90
PROGRAMS = {"sbin/tcpwarden": "supervisor/tcpwarden", "libexec/tcpwarden/steward": "steward/steward", "libexec/tcpwarden/relay": "relay/relay"}


class Warden:
    name = "tcpwarden"
    fronts = {"open": (OPEN, 0.7), "held": (HELD, 0.3)}
    backends = BACKENDS

    def __init__(self, directory, other_build):
        self.builds = [build_directory(), other_build or build_directory()]
        self.turned = 0
        self.stage = os.path.join(directory, "stage")
        self._exits = contextlib.ExitStack()
        self.stopped = set()

    def __enter__(self):
        self.lab = self._exits.enter_context(installed.booted(self.stage))
        self.root = f"/proc/{self.lab.pid}/root"
        self.roles = Roles(self.root)
        self.prefix = os.path.dirname(os.path.dirname(self.lab.run("sh", "-c", "command -v tcpwarden").stdout.strip()))
        self.lab.write("/run/systemd/system/tcpwarden.service.d/storm.conf", UNIT)
        self.lab.run("systemctl", "daemon-reload")
        self.lab.run("install", "-d", "-o", "tcpwarden", "-g", "tcpwarden", STATE, "-m", "755")
        self.resource = Resource(f"{self.root}{STATE}/resource", seen_as=f"{STATE}/resource", refuses="none", fails="none")
        # Whose children hooks are when their steward has died.
        self.resource.reapers.add("1")
        return self

    def __exit__(self, *exception):
        self._exits.close()

    def inside(self):
        return network_of(self.lab.pid)

    def start(self):
        """With a relay more at first: the sockets of one that is gone stay with another."""
        self.configure(another=True)
        self.lab.run("systemctl", "start", "tcpwarden")
        wait_for(lambda: not self.roles.pair_amiss(RELAYS_MOST - 1), "all relays", 30)
        self.configure()
        wait_for(lambda: self.ctl("reload")[0] == 0, "a reload", 30)
        wait_for(lambda: self.roles.pair_amiss(RELAYS_MOST - 1) is ABSENT, "a relay that is gone", 30)

    # What an operator does

    def configure(self, quick=30, second=False, listener=False, spare=False, another=False):
        """quick: dead_after, in seconds; the others: whether these are there (another: a relay more)."""
        backends = BACKENDS if second else BACKENDS[:1]
        policy = {"client": {"dead_after": f"{quick}s"}, "backend": {"dead_after": f"{quick}s"}, "balance": "least-connections"}
        services = [service("open", [OPEN, *(["127.0.0.2:5021"] if listener else [])], backends, **policy),
                    service("held", HELD, backends, hooks=self.resource.config(), **policy)]
        if spare:
            services.append(service("spare", SPARE, "127.0.0.1:9", hooks=self.resource.config()))
        text = config_text({"workers": RELAYS_MOST if another else RELAYS, "state_directory": STATE, "control": {"socket": CONTROL}, "hang_after": "1s",
                            "orphan_timeout": "30s", "drain_timeout": "10m", "upgrade_timeout": "10s", "services": services})
        path = self.root + CONFIG
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def ctl(self, *words):
        """(exit status, output). The program is that of this machine; the socket is seen through the container's root."""
        command = [os.path.join(build_directory(), "src", "ctl", "tcpwardenctl"), "--socket", self.root + CONTROL, "--json", *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"tcpwardenctl {' '.join(words)}: no answer within {COMMAND_S} s") from None
        return done.returncode, done.stdout

    def status(self):
        code, text = self.ctl("status")
        return json.loads(text) if code == 0 else None

    def _reload(self, chance, *words):
        self.configure(chance.randint(20, 60), *(chance.random() < 0.5 for _ in range(4)))
        return "" if self.ctl("reload", *words)[0] == 0 else "failed"

    def _drain(self, chance):
        """The second backend: with the only one clients are refused, as they must be."""
        self.configure(second=True)
        wait_for(lambda: self.ctl("reload")[0] == 0, "a reload", COMMAND_S)
        drained = self.ctl("drain", f"open/{BACKENDS[1]}")[0] == 0
        # Whatever became of that.
        wait_for(lambda: self.ctl("resume", f"open/{BACKENDS[1]}")[0] == 0, "a backend that is in use again", COMMAND_S)
        return "" if drained else "failed"

    def _upgrade(self, chance):
        """To the other version, which is installed as packages do it, by turns."""
        self.turned += 1
        for there, here in PROGRAMS.items():
            path = f"{self.root}{self.prefix}/{there}"
            shutil.copy(os.path.join(self.builds[self.turned % 2], "src", here), path + ".new")
            os.rename(path + ".new", path)
        return "" if self.ctl("upgrade")[0] == 0 else "given up"

    def _operator_amiss(self):
        status = self.status()
        if not status or status["state"] != "running":
            return f"status: {status and status['state']}"
        return "an upgrade" if status["upgrade"]["state"] == "under way" else ""

    # What happens to roles

    def _send(self, find, number):
        def fault(chance):
            victim = find()
            if not victim:
                return "gone"
            victim.kill(number)
        return fault

    def _stop_holder(self, index):
        """It sleeps anyway; so the pair is whole, but for its relay's death."""
        def fault(chance):
            holders, _ = self.roles.pair(index)
            for holder in holders:
                holder.kill(signal.SIGSTOP)
                self.stopped.add(holder)
        return fault

    def _steward_amiss(self):
        steward = self.roles.role("steward")
        if not steward or steward.state == "T":
            return f"steward {steward}"
        status = self.status()
        return "" if status and status["state"] in ("running", "reloading") else "no status"

    def _supervisor_amiss(self):
        p = self.roles.supervisor()
        if not p or p.state == "T":
            return f"supervisor {p}"
        inner = self.roles.inner_pid(p)
        self.resource.reapers.add(str(inner))
        shown = self.lab.run("systemctl", "show", "-p", "ActiveState", "-p", "SubState", "-p", "MainPID", "tcpwarden").stdout.split()
        return "" if {"ActiveState=active", "SubState=running", f"MainPID={inner}"} <= set(shown) else str(shown)

    def _pair(self, index):
        def relay():
            return next(iter(self.roles.pair(index)[1]), None)

        def holder():
            return next(iter(self.roles.pair(index)[0]), None)

        def amiss():
            found = self.roles.pair_amiss(index)
            return "no such pair" if found is ABSENT and index < RELAYS else found
        return Target(f"pair {index}", amiss, {
            "relay SIGKILL": (5, self._send(relay, signal.SIGKILL)), "relay SIGSTOP": (3, self._send(relay, signal.SIGSTOP)),
            "relay SIGSEGV": (2, self._send(relay, signal.SIGSEGV)), "holder SIGKILL": (4, self._send(holder, signal.SIGKILL)),
            "holder SIGSTOP": (1, self._stop_holder(index))}, 2.0)

    def targets(self):
        def steward():
            return self.roles.role("steward")
        supervisor = self.roles.supervisor
        return [*(self._pair(i) for i in range(RELAYS_MOST)),
                Target("steward", self._steward_amiss, {
                    "SIGKILL": (4, self._send(steward, signal.SIGKILL)), "SIGSTOP": (2, self._send(steward, signal.SIGSTOP)),
                    "SIGSEGV": (1, self._send(steward, signal.SIGSEGV))}, 8.0),
                Target("supervisor", self._supervisor_amiss, {
                    "SIGKILL": (3, self._send(supervisor, signal.SIGKILL)), "SIGSTOP": (2, self._send(supervisor, signal.SIGSTOP)),
                    "SIGSEGV": (1, self._send(supervisor, signal.SIGSEGV))}, 12.0),
                Target("operator", self._operator_amiss, {
                    "reload": (5, self._reload), "reload --apply": (2, lambda chance: self._reload(chance, "--apply")),
                    "drain and resume": (2, self._drain), "upgrade": (4, self._upgrade)}, 3.0)]

    # The books

    def wait_sessions(self, held):
        """All that are held have their lease: hooks have done what there was to do."""
        wait_for(lambda: (s := self.status()) and s["leases"]["held"] >= held, lambda: f"{held} leases: {self.status()}", 60)

    def size(self):
        return self.roles.size()

    def calm(self):
        """After the last fault."""
        for holder in self.stopped:
            holder.kill(signal.SIGCONT)
        self.configure()
        wait_for(lambda: self.ctl("reload")[0] == 0, "a reload", 30)

    def end(self, books):
        """When all clients have gone."""
        def left():
            status = self.status()
            return "no status" if not status else [status["sessions"], status["leases"]] if status["sessions"] or any(status["leases"].values()) else ""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not left(), "", 60)
        if what := left():
            books.left.append(f"sessions and leases: {what}")
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not judge.grown(books.idle[0], self.size()), "", 20)
        books.idle = (books.idle[0], self.size())
        self.lab.run("systemctl", "stop", "tcpwarden", timeout=120)
        books.left += [f"after its end: {title}" for title in installed.processes(self.lab)]
        counts, books.leases_wrong = self.resource.judge()
        books.leases = dict(counts)
        if not counts["leases"]:
            books.leases_wrong.append("no lease was taken")
        self.lab.run("journalctl", "--sync", timeout=COMMAND_S)
        books.log = self.lab.run("journalctl", "--no-pager", "-o", "short-monotonic", "-u", "tcpwarden", timeout=10 * COMMAND_S).stdout.splitlines()
