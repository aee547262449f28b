"""One tcpwarden: its config, its tree of processes, its log, its control socket."""
import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import process
from hooks import Hooks
from log import Log
from settings import config_text, merged
from waiting import wait_for

START_DEADLINE = 20.0
STOP_DEADLINE = 30.0


def build_directory(kill_points=False):
    return os.environ.get("TCPWARDEN_BUILD_KILLPOINTS" if kill_points else "TCPWARDEN_BUILD", "" if kill_points else os.getcwd())


def separated():
    """As root, with the system users at hand, roles run as different users; else all as one ordinary user."""
    if os.geteuid() != 0:
        return False
    try:
        pwd.getpwnam("tcpwarden"), pwd.getpwnam("tcpwarden-relay")
    except KeyError:
        return False
    return True


def daemon_user():
    """Who owns what the daemon needs, None: we ourselves."""
    return None if os.geteuid() != 0 else "tcpwarden" if separated() else "nobody"


class CtlError(AssertionError):
    def __init__(self, result):
        super().__init__(f"tcpwardenctl exited {result.returncode}: {result.stderr}{result.stdout}")
        self.returncode, self.stdout, self.stderr = result.returncode, result.stdout, result.stderr


class Daemon:
    """`settings` are laid over a base that suits tests. Started by start() or by `with`; stop() is the orderly end."""

    def __init__(self, settings, kill_points=False, environment=None, directory=None, limits=None):
        self.build = build_directory(kill_points)
        self.user = daemon_user()
        self.own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="tcpwarden-test-")
        os.chmod(self.directory, 0o755)
        self.state = os.path.join(self.directory, "state")
        self.run = os.path.join(self.directory, "run")
        self.config_path = os.path.join(self.directory, "tcpwarden.conf")
        self.control = os.path.join(self.run, "control.sock")
        self.log_path = os.path.join(self.directory, "log")
        for path in (self.state, self.run):
            os.makedirs(path, exist_ok=True)
            if self.user:
                shutil.chown(path, self.user)
        self.environment = environment or {}
        self.limits = limits
        self.settings = {}
        self.configure(settings)
        open(self.log_path, "a").close()
        self.log = Log(self.log_path)
        self.popen = None
        self.baseline = {}
        self.known = set()    # every process of the tree that was seen
        self.notified = []    # what was said to the notify socket
        self._notify = None
        # What the universal checks take as given; a test that does harm says so here.
        self.expected_log = []
        self.release_twice = False
        self.acquire_unknown = False
        self.exit_status = 0
        self.check_descriptors = True
        self.hooks = {}
        self.ended = False
        self.store = None       # a Store: what stands in for systemd, over several supervisors
        self.pass_sockets = {}  # name: descriptor of a listening socket, as systemd would pass it

    # Config

    def configure(self, change):
        """Lays a change over the settings in force and writes the file; the daemon is told nothing."""
        base = self.settings or {
            "workers": 1,
            "state_directory": self.state,
            "control": {"socket": self.control},
            "log": {"format": "json"},
            "shutdown_timeout": "2s",
        }
        self.settings = merged(base, change)
        self.write_config(config_text(self.settings))

    def write_config(self, text):
        with open(self.config_path + ".new", "w") as f:
            f.write(text)
        os.chmod(self.config_path + ".new", 0o644)
        os.rename(self.config_path + ".new", self.config_path)

    def new_hooks(self, name="hooks"):
        self.hooks[name] = Hooks(os.path.join(self.directory, name), self.user)
        return self.hooks[name]

    def program(self, *parts):
        return os.path.join(self.build, "src", *parts)

    # Life

    def start(self, ready=True, arguments=(), inside=()):
        """inside: a command that runs another one, as unshare(1)."""
        environment = {
            "PATH": os.environ["PATH"],
            "TCPWARDEN_LIBEXECDIR": f"{self.program('steward')}:{self.program('relay')}",
            "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            **self.environment,
        }
        environment["NOTIFY_SOCKET"] = self._open_notify()
        command = [self.program("supervisor", "tcpwarden"), "--config", self.config_path, *arguments]
        passed = {**self.pass_sockets, **(self.store.passed() if self.store else {})}
        if self.store:
            environment["FDSTORE"] = str(self.store.most)
        if passed:
            # They must stand at 3, 4, ... and the receiver's own number be known, so a shell puts them there and becomes the daemon.
            moves = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(passed.values()))
            moves += "".join(f" {fd}<&-" for fd in passed.values() if fd >= 3 + len(passed))
            environment.update(LISTEN_FDS=str(len(passed)), LISTEN_FDNAMES=":".join(passed))
            command = ["/bin/bash", "-c", f'export LISTEN_PID=$$; exec "$@" {moves}', "bash", *command]
        with open(self.log_path, "a") as log:
            self.popen = subprocess.Popen(
                [*inside, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment, cwd="/",
                start_new_session=True, pass_fds=tuple(passed.values()),
                **({"user": "nobody", "group": grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name, "extra_groups": []}
                   if self.user == "nobody" else {}))
        self.ended = False
        if ready:
            self.wait_ready()
            self.note_baseline()
        return self

    def _open_notify(self):
        if self.store:
            self.store.said.clear()
            return self.store.path
        if self._notify:
            self._notify.close()
        path = os.path.join(self.directory, "notify")
        if os.path.exists(path):
            os.unlink(path)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(path)
        os.chmod(path, 0o777)
        self._notify.setblocking(False)
        self.notified = []
        return path

    def notifications(self):
        if self.store:
            return list(self.store.said)
        while True:
            try:
                self.notified.extend(self._notify.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return self.notified

    def wait_notified(self, what, count=1, deadline=START_DEADLINE):
        def arrived():
            assert self.popen.poll() is None, f"tcpwarden exited {self.popen.returncode}\n{self.log_tail()}"
            return self.notifications().count(what) >= count
        wait_for(arrived, lambda: f"{what} on the notify socket, there is {self.notified}\n{self.log_tail()}", deadline)

    def wait_ready(self, deadline=START_DEADLINE):
        self.wait_notified("READY=1", deadline=deadline)
        self.tree()

    def log_tail(self, lines=60):
        return "log:\n" + "\n".join(line.text for line in self.log.read()[-lines:])

    def signal(self, number):
        os.kill(self.popen.pid, number)

    def wait_exit(self, deadline=STOP_DEADLINE):
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"tcpwarden did not exit within {deadline} s\n{self.tree()}\n{self.log_tail()}") from None

    def stop(self, deadline=STOP_DEADLINE):
        """SIGTERM, and the orderly end that must follow."""
        self.tree()
        self.signal(signal.SIGTERM)
        status = self.wait_exit(deadline)
        assert status == self.exit_status, f"exit status {status}, not {self.exit_status}\n{self.log_tail()}"
        self.ended = True

    def cut_power(self, hooks=True):
        """All its processes die at once: stopped first, so that none sees another one's death and acts on it. hooks: theirs, too."""
        def victims():
            return [p for p in self.tree() if hooks or p.pid == self.popen.pid or p.title.startswith("tcpwarden: ")]
        sent = set()
        # One that waits in vfork(2) for a child that was stopped stays in D, and does nothing more, either.
        while left := [p for p in victims() if p.state != "T" and not (p.state == "D" and p in sent)]:
            for p in left:
                p.kill(signal.SIGSTOP)
                sent.add(p)
        for p in victims():
            p.kill()
        self.popen.wait()
        wait_for(lambda: not victims(), "the end of all processes")

    def end_by_force(self):
        """For tests that failed."""
        if self.popen and self.tree():
            self.cut_power()

    def discard(self):
        process.reap_orphans({self.popen.pid} if self.popen else set())
        self.log.close()
        if self._notify:
            self._notify.close()
        if self.own_directory and not os.environ.get("TCPWARDEN_TEST_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def expect_deaths(self, *roles):
        """The test kills these: what is said about it is no fault."""
        for role in roles:
            self.expected_log += [rf"\b{role}\b.*(signal|process \d+|died|dead)"]
        if "steward" in roles:
            self.expected_log += ["a hook of an earlier steward still runs"]
        self.release_twice = self.acquire_unknown = True

    # Processes

    def tree(self):
        """All living processes of this daemon, also those that its supervisor's death left to us."""
        roots = [self.popen.pid] if self.popen and self.popen.poll() is None else []
        if roots:
            self.known.add(process.Process(self.popen.pid))
        self.known.update(process.children_of(*roots, *(p.pid for p in list(self.known) if p.alive)))
        return [p for p in list(self.known) if p.alive]

    def role(self, title):
        """The one process with that title: "supervisor", "steward", "holder 0", "relay 0"."""
        if title == "supervisor":
            return process.Process(self.popen.pid)
        found = [p for p in self.tree() if p.title == f"tcpwarden: {title}"]
        # A hook's process still has its steward's title before it becomes the hook's program.
        pids = {p.pid for p in found}
        found = [p for p in found if p.parent not in pids]
        return found[0] if len(found) == 1 else None

    def relay_pid(self, index=0):
        """Quick, for those who kill it often: the only child of its holder, or None while there is none."""
        holder = self.role(f"holder {index}")
        try:
            with open(f"/proc/{holder.pid}/task/{holder.pid}/children") as f:
                children = f.read().split()
        except (OSError, AttributeError):
            return None
        return int(children[-1]) if children else None

    def wait_role(self, title, not_this=None, deadline=15.0):
        return wait_for(lambda: (p := self.role(title)) and p != not_this and p, f"a {title}", deadline)

    def roles(self):
        return {p.title.removeprefix("tcpwarden: "): p for p in self.tree()
                if re.match(r"tcpwarden: (steward|holder \d+|relay \d+)$", p.title)}

    def note_baseline(self):
        """Descriptors of each role when nothing happens."""
        self.baseline = {title: p.descriptors() for title, p in {"supervisor": self.role("supervisor"), **self.roles()}.items()}

    # Control

    def ctl_run(self, *arguments, json_lines=False, timeout=30):
        command = [self.program("ctl", "tcpwardenctl"), "--socket", self.control]
        return subprocess.run([*command, *(["--json"] if json_lines else []), *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout)

    def ctl(self, *arguments, **more):
        """Text output; raises CtlError unless it exits 0."""
        result = self.ctl_run(*arguments, **more)
        if result.returncode != 0:
            raise CtlError(result)
        return result.stdout

    def ctl_json(self, *arguments):
        return [json.loads(line) for line in self.ctl(*arguments, json_lines=True).splitlines()]

    def sessions(self):
        """Those that live, as tcpwardenctl --json gives them."""
        return [o for o in self.ctl_json("sessions") if "client" in o]

    def wait_sessions(self, count, deadline=15.0):
        def listed():
            result = self.ctl_run("sessions", json_lines=True)
            if result.returncode:
                return result.stderr  # a steward that starts again does not listen for a moment
            return [json.loads(line) for line in result.stdout.splitlines() if '"client"' in line]
        wait_for(lambda: isinstance(s := listed(), list) and len(s) == count,
                 lambda: f"{count} sessions, not {len(l := listed())}: {str(l)[:3000]}", deadline)

    def status(self):
        return self.ctl_json("status")[0]

    def reload(self):
        return self.ctl_run("reload")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if not self.ended:
            if kind:
                self.end_by_force()
            else:
                self.stop()
