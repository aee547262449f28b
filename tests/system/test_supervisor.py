"""The supervisor alone, over stand-ins for steward, holder and relay that obey a script (tests/system/fake)."""
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

BUILD = os.environ.get("TCPWARDEN_BUILD", os.getcwd())
ROOT = os.geteuid() == 0
DEADLINE = 20.0


def user_exists(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


SEPARATED = ROOT and user_exists("tcpwarden") and user_exists("tcpwarden-relay")


class Tree:
    def __init__(self, environment=None, pass_fds=(), **script):
        self.directory = tempfile.mkdtemp(prefix="tcpwarden-sup-")
        os.chmod(self.directory, 0o755)
        self.state = os.path.join(self.directory, "state")
        os.mkdir(self.state)
        self.user = None if not ROOT else "tcpwarden" if SEPARATED else "nobody"
        if self.user:
            shutil.chown(self.state, self.user)
        self.config = os.path.join(self.directory, "script")
        self.script = {"state_directory": self.state, **script}
        self.write()
        self.log_path = os.path.join(self.directory, "log")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.directory, "notify"))
        os.chmod(os.path.join(self.directory, "notify"), 0o777)
        self.notify.settimeout(DEADLINE)
        self.environment = {"PATH": os.environ["PATH"], "TCPWARDEN_LIBEXECDIR": f"/nowhere:{BUILD}/tests/system/fake",
                            "NOTIFY_SOCKET": os.path.join(self.directory, "notify"), **(environment or {})}
        self.pass_fds = pass_fds
        open(self.log_path, "a").close()
        self.ordinary = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if self.user == "nobody" else {}
        self.seen = 0
        self.popen = None

    def write(self, **more):
        self.script.update(more)
        with open(self.config, "w") as f:
            f.write("".join(f"{k}={v}\n" for k, v in self.script.items()))

    def start(self, ready=True, wrapper=()):
        self.popen = subprocess.Popen([*wrapper, f"{BUILD}/src/supervisor/tcpwarden", "-c", self.config], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=open(self.log_path, "a"), env=self.environment, cwd="/",
                                      pass_fds=self.pass_fds, start_new_session=True, **self.ordinary)
        if ready:
            self.expect_notify("READY=1")
        return self

    def run(self, *arguments):
        """The same program with the same config, to its end."""
        return subprocess.run([f"{BUILD}/src/supervisor/tcpwarden", *arguments, "-c", self.config], env=self.environment,
                              capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL, **self.ordinary)

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def expect(self, pattern):
        """The next line that matches, after the last one that was expected."""
        end = time.monotonic() + DEADLINE
        while True:
            text = self.log()
            m = re.compile(pattern, re.M).search(text, self.seen)
            if m:
                self.seen = m.end()
                return m
            assert time.monotonic() < end, f"no {pattern!r} in:\n{text[self.seen:]}\n--- before:\n{text[:self.seen]}"
            time.sleep(0.02)

    def expect_all(self, *patterns):
        """A line for each after the last one that was expected: roles write to one log, in no order among themselves."""
        start, ends = self.seen, []
        for pattern in patterns:
            self.seen = start
            ends.append(self.expect(pattern).end())
        self.seen = max(ends)

    def expect_notify(self, want):
        got = []
        while True:
            try:
                datagram = self.notify.recv(4096).decode()
            except TimeoutError:
                raise AssertionError(f"no {want} among {got}\n{self.log()}") from None
            got.append(datagram)
            if want in datagram.split("\n"):
                return got

    def pid(self, what):
        """Of the newest process of that role."""
        end = time.monotonic() + DEADLINE
        while True:
            found = re.findall(rf"{what} (\d+): start" if what == "steward" else rf"{what}: start (\d+)", self.log())
            if found:
                return int(found[-1])
            assert time.monotonic() < end, f"no {what} has started:\n{self.log()}"
            time.sleep(0.02)

    def wait(self, status):
        assert self.popen.wait(DEADLINE) == status, self.log()

    def lock_is_free(self):
        with open(os.path.join(self.state, "lock")) as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def processes(self):
        """Whoever still has this tree's lock or log open."""
        found = []
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or int(pid) == os.getpid():
                continue
            try:
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    if os.readlink(f"/proc/{pid}/fd/{fd}").startswith(self.directory):
                        found.append(int(pid))
                        break
            except OSError:
                continue
        return found

    def close(self):
        if self.popen and self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        end = time.monotonic() + DEADLINE
        while self.processes():
            assert time.monotonic() < end, f"left over: {self.processes()}\n{self.log()}"
            time.sleep(0.02)
        text = self.log()
        self.notify.close()
        shutil.rmtree(self.directory)
        assert "Sanitizer" not in text and "runtime error" not in text, text


@pytest.fixture
def tree():
    made = []

    def make(**arguments):
        made.append(Tree(**arguments))
        return made[-1]
    yield make
    for t in made:
        t.close()


def test_starts_in_order_and_stops(tree):
    t = tree(workers=2).start()
    t.expect(r"steward \d+: start resume=0 .*notify=none")
    t.expect(rf"BEGIN workers=2 first=1 separated={int(SEPARATED)} starts=1")
    t.expect(r"PAIR 0\.1 readonly=1")
    t.expect(r"PAIR 1\.1 readonly=1")
    t.expect_notify("STATUS=serving")
    t.popen.send_signal(signal.SIGTERM)
    t.expect_notify("STOPPING=1")
    m = t.expect(r"STOP in (\d+) ms")
    assert 0 < int(m[1]) <= 1000
    t.wait(0)
    assert t.lock_is_free()


def test_users_and_capabilities(tree):
    if not SEPARATED:
        pytest.skip("needs root and the users tcpwarden and tcpwarden-relay")
    t = tree().start()
    relay = pwd.getpwnam("tcpwarden-relay").pw_uid
    assert pwd.getpwnam("tcpwarden").pw_uid == int(re.search(r"start resume=0 uid=(\d+)", t.log())[1])
    assert relay == int(t.expect(r"holder 0: start \d+ uid=(\d+)")[1])
    given = f"{1 << 5 | 1 << 6 | 1 << 7 | 1 << 10:016x}"  # CAP_KILL, SETGID, SETUID, of which it keeps what it needs; NET_BIND_SERVICE
    for name in ("Prm", "Eff", "Amb"):
        assert f"steward Cap{name}:\t{given}" in t.log()

    def status(pid):
        with open(f"/proc/{pid}/status") as f:
            return dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    for pid in (t.pid("holder 0"), t.pid("relay 0")):
        s = status(pid)
        assert all(int(s[f"Cap{name}"], 16) == 0 for name in ("Prm", "Eff", "Amb", "Inh"))
        assert s["NoNewPrivs"] == "1" and s["Groups"].strip() == "" and s["Gid"].split() == [str(pwd.getpwnam("tcpwarden-relay").pw_gid)] * 4
    s = status(t.popen.pid)
    assert int(s["CapEff"], 16) == 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10 and int(s["CapAmb"], 16) == 0 and int(s["CapInh"], 16) == 0


def test_children_get_only_what_is_listed(tree):
    t = tree().start()
    assert {int(n) for n in re.findall(r"steward has descriptor (\d+)", t.log())} == {3, 4, 6}
    holder = t.pid("holder 0")
    if ROOT:
        # 3-8 by contract; what it opened itself since lies above.
        names = {int(fd): os.readlink(f"/proc/{holder}/fd/{fd}") for fd in os.listdir(f"/proc/{holder}/fd")}
        assert names[0] == "/dev/null" and "ledger" in names[6] and "census" in names[8] and names[5].endswith("/lock")
        assert not [fd for fd in names if fd >= 9 and "pidfd" not in names[fd]]


def test_bad_config_ends_with_78(tree):
    t = tree(exit=78).start(ready=False)
    t.wait(78)
    assert "again" not in t.log()


def test_steward_that_knows_why_it_cannot_start_is_not_asked_twice(tree):
    t = tree(exit=69).start(ready=False)
    t.wait(69)
    assert len(re.findall("start resume", t.log())) == 1


def test_gives_up_only_before_it_was_ready(tree):
    t = tree(never_ready=1).start(ready=False)
    t.wait(1)
    assert len(re.findall("start resume", t.log())) == 5
    assert "died 5 times before the service was ready" in t.log()
    assert t.lock_is_free()


def test_holder_that_cannot_start(tree):
    """The service is up, without that pair, which is tried again and again, ever more slowly."""
    t = tree(environment={"FAKE_HOLDER_DIES": "1"}).start()
    for n in range(2, 6):
        t.expect(rf"PAIR 0\.{n}")
    assert t.popen.poll() is None
    starts = [int(m) for m in re.findall(r"holder 0: start (\d+)", t.log())]
    assert 4 <= len(starts) <= 6
    t.popen.send_signal(signal.SIGTERM)
    t.wait(0)


def test_lock_names_its_holder(tree):
    t = tree().start()
    second = t.run()
    assert second.returncode == 69
    assert f"is in use by tcpwarden process {t.popen.pid}; stop that one" in second.stderr
    t.popen.send_signal(signal.SIGTERM)
    t.wait(0)


def test_another_state_directory_is_another_tree(tree):
    a, b = tree().start(), tree().start()
    for t in (a, b):
        t.popen.send_signal(signal.SIGTERM)
        t.wait(0)


def test_lock_outlives_the_supervisor(tree):
    t = tree().start()
    holder = t.pid("holder 0")
    relay = t.pid("relay 0")
    os.kill(holder, signal.SIGSTOP)
    os.kill(relay, signal.SIGSTOP)
    t.popen.kill()
    t.popen.wait()
    second = t.run()
    os.kill(relay, signal.SIGCONT)
    os.kill(holder, signal.SIGCONT)
    assert second.returncode == 69
    assert f"(process {t.popen.pid}) that has died" in second.stderr


def test_missing_parent_of_the_state_directory(tree):
    t = tree()
    t.write(state_directory=os.path.join(t.directory, "no", "where"))
    t.start(ready=False)
    t.wait(73)
    assert "cannot be made: No such file or directory (make it and give it to the user" in t.log()


def test_steward_is_resumed(tree):
    t = tree(workers=2).start()
    for n in (2, 3):
        os.kill(t.pid("steward"), signal.SIGKILL)
        t.expect(r"error supervisor: the steward \(process \d+\) was killed by signal 9 \(Killed\); sessions go on")
        t.expect("start resume=1")
        t.expect("RESUME 1 holds 1")
        t.expect(rf"BEGIN workers=2 first=0 separated=\d starts={n}")
        t.expect(r"PAIR 0\.1")
        t.expect(r"PAIR 1\.1")
        t.expect_notify("STATUS=serving")
    t.popen.send_signal(signal.SIGTERM)
    t.wait(0)


def test_steward_that_breaks_the_rules_is_replaced(tree):
    t = tree(misbehave=1).start()
    t.expect("the steward sent DRAIN, which it may not now")
    t.expect("start resume=1")
    t.expect(r"PAIR 0\.1")


def test_hung_steward_is_replaced(tree):
    t = tree(hang_after_ms=500).start()
    os.kill(t.pid("steward"), signal.SIGSTOP)
    t.expect(r"the steward \(process \d+\) has not run for .* \(hang_after\)")
    t.expect("start resume=1")


def test_hung_relay_is_killed_and_its_holder_replaces_it(tree):
    t = tree(hang_after_ms=500).start()
    t.expect(r"relay 0: start \d+ starts=1")
    os.kill(t.pid("relay 0"), signal.SIGSTOP)
    t.expect(r"relay 0 \(process \d+\) has not run for .* \(hang_after\)")
    t.expect(r"relay 0: start \d+ starts=2 incarnation=1")
    assert "PAIR_LOST" not in t.log()


def test_heartbeat_of_this_very_moment(tree):
    """One that came after the supervisor had looked at its clock is no word of the future."""
    t = tree(hang_after_ms=500, environment={"FAKE_RELAY_BEATS_ALWAYS": "1"}).start()
    t.expect(r"relay 0: start \d+ starts=1")
    time.sleep(3)  # six times hang_after, and some thirty looks
    assert "hang_after" not in t.log()


def test_stopped_tree_is_not_a_hung_one(tree):
    t = tree(hang_after_ms=1000).start()
    t.expect(r"relay 0: start")
    pids = [t.popen.pid, t.pid("steward"), t.pid("relay 0"), t.pid("holder 0")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3)  # the passing of time is the very thing that is tested
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    t.popen.send_signal(signal.SIGHUP)
    t.expect("steward: RELOAD")
    time.sleep(0.6)
    assert "hang_after" not in t.log()


def test_dead_holder_is_replaced_by_its_relay(tree):
    t = tree().start()
    t.expect(r"relay 0: start")
    os.kill(t.pid("holder 0"), signal.SIGKILL)
    t.expect(r"tcpwarden: holder 0: start")
    t.expect(r"relay 0: start \d+ starts=2 incarnation=1")
    assert "PAIR_LOST" not in t.log()
    # And once more, since now the holder is no child that we started.
    os.kill(t.pid("holder 0"), signal.SIGKILL)
    t.expect(r"relay 0: start \d+ starts=3 incarnation=1")
    t.popen.send_signal(signal.SIGTERM)
    t.wait(0)


def test_lost_pair_begins_anew(tree):
    t = tree(workers=2).start()
    t.expect_all(r"steward: PAIR 1\.1", r"relay 1: start")
    for n in (2, 3):
        relay, holder = t.pid("relay 1"), t.pid("holder 1")
        os.kill(holder, signal.SIGSTOP)  # else it might start another relay in between
        os.kill(relay, signal.SIGKILL)
        os.kill(holder, signal.SIGKILL)
        t.expect(r"holder and relay 1 have died, and their sessions with them")
        t.expect_all(rf"steward: PAIR_LOST 1\.{n - 1}", rf"steward: PAIR 1\.{n} readonly=1",
                     rf"relay 1: start \d+ starts=1 incarnation={n}")
    assert "PAIR_LOST 0" not in t.log()


def test_reload_is_told_to_systemd(tree):
    t = tree().start()
    t.popen.send_signal(signal.SIGHUP)
    said = t.expect_notify("RELOADING=1")[-1]
    assert re.search(r"^MONOTONIC_USEC=\d+$", said, re.M)
    assert "STATUS=reloaded" in t.expect_notify("READY=1")


def test_workers_grow_and_shrink(tree):
    t = tree().start()
    t.expect(r"relay 0: start")
    t.write(workers=3)
    t.popen.send_signal(signal.SIGHUP)
    t.expect_all(r"steward: PAIR 1\.1", r"steward: PAIR 2\.1", r"steward: PAIRS 7", r"relay 1: start", r"relay 2: start")
    t.write(workers=2)
    t.popen.send_signal(signal.SIGHUP)
    t.expect_all(r"relay 2: RETIRE 1", r"holder and relay 2 have retired", r"steward: PAIR_LOST 2\.1", r"steward: PAIRS 3")
    t.write(workers=3)
    t.popen.send_signal(signal.SIGHUP)
    t.expect_all(r"steward: PAIR 2\.2", r"relay 2: start \d+ starts=1 incarnation=2")
    assert not re.search(r"relay [01]: RETIRE|PAIR_LOST [01]|died|refused|error", t.log())


def test_who_retires_is_told_so_until_wanted_again(tree):
    t = tree(workers=2, environment={"FAKE_RELAY_STAYS": "1"}).start()
    t.expect(r"relay 1: start")
    t.write(workers=1)
    t.popen.send_signal(signal.SIGHUP)
    t.expect(r"relay 1: RETIRE 1")
    os.kill(t.pid("relay 1"), signal.SIGKILL)  # and the next one, too
    t.expect(r"relay 1: start \d+ starts=2")
    t.expect(r"relay 1: RETIRE 1")
    t.write(workers=2)
    t.popen.send_signal(signal.SIGHUP)
    t.expect(r"relay 1: RETIRE 0")
    assert "have retired" not in t.log()


def test_reload_is_said_again_to_the_next_steward(tree):
    t = tree(reload_dies=1).start()
    t.popen.send_signal(signal.SIGHUP)
    t.expect("steward: RELOAD")
    t.expect("start resume=1")
    t.expect("steward: RELOAD")
    t.expect_notify("READY=1")


def test_stop_is_said_again_to_the_next_steward(tree):
    t = tree(stop_dies=1).start()
    t.popen.send_signal(signal.SIGTERM)
    t.expect("STOP in")
    t.expect("start resume=1")
    t.expect("STOP in")
    t.wait(0)


def test_second_interrupt_ends_at_once(tree):
    t = tree(stop_hangs=1, shutdown_timeout_ms=60000).start()
    t.popen.send_signal(signal.SIGINT)
    t.expect("STOP in")
    t.popen.send_signal(signal.SIGTERM)  # asks for nothing new
    t.popen.send_signal(signal.SIGINT)
    t.wait(130)
    assert t.lock_is_free()


def test_watchdog_and_sockets_of_systemd(tree):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    # At 3, as systemd does, behind a shell that knows the pid of what it becomes.
    t = tree(environment={"WATCHDOG_USEC": "1000000"}, pass_fds=(listener.fileno(),))
    t.start(wrapper=("/bin/bash", "-c", f"exec 3<&{listener.fileno()} {listener.fileno()}<&-; "
                     "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=plc exec \"$@\"", "sh"))
    t.expect("INHERITED plc")
    t.expect("BEGIN")
    t.expect_notify("WATCHDOG=1")
    t.expect_notify("WATCHDOG=1")
    os.kill(t.pid("steward"), signal.SIGKILL)
    t.expect("RESUME")
    t.expect("INHERITED plc")


def test_notify_never_blocks(tree):
    """A service manager that does not read: everything goes on, and the news come once it reads."""
    t = tree().start(ready=False)
    t.expect("ready")
    for _ in range(600):
        t.popen.send_signal(signal.SIGHUP)
        time.sleep(0.002)
    t.popen.send_signal(signal.SIGTERM)
    t.wait(0)


def test_check_is_the_stewards(tree):
    t = tree(check=78)
    r = t.run("--check")
    assert r.returncode == 78 and r.stderr == f"steward: check {t.config}\n"


def test_explain_is_the_stewards(tree):
    t = tree(check=64)
    assert t.run("--explain").stderr == f"steward: explain {t.config}\n"
    r = t.run("--explain", "plc")
    assert r.returncode == 64 and r.stderr == f"steward: explain {t.config} plc\n"


@pytest.mark.parametrize("arguments, status, says", [
    (["--version"], 0, "tcpwarden 0."),
    (["--help"], 0, "usage: tcpwarden"),
    (["--chekc"], 64, "unknown option --chekc"),
    (["-c"], 64, "-c needs the name of a file"),
    (["some.conf"], 64, "some.conf: unexpected argument (a config file is given by --config some.conf)"),
    (["--check", "--help"], 64, "only one of"),
    (["--end-tree"], 64, "--end-tree is for ExecStopPost= of the unit"),
])
def test_command_line(arguments, status, says):
    r = subprocess.run([f"{BUILD}/src/supervisor/tcpwarden", *arguments], capture_output=True, text=True, timeout=DEADLINE)
    assert r.returncode == status and says in r.stdout + r.stderr
