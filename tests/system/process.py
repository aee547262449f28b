"""Processes as /proc shows them."""
import collections
import ctypes
import os
import signal

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """What a killed supervisor leaves behind comes to us, so that nothing can hide."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            text = f.read()
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


class Process:
    """One process, told apart from a later one with the same number by its start time."""

    def __init__(self, pid):
        self.pid = pid
        stat = _stat(pid)
        self.started = stat[19] if stat else None

    def __eq__(self, other):
        return isinstance(other, Process) and (self.pid, self.started) == (other.pid, other.started)

    def __hash__(self):
        return hash((self.pid, self.started))

    def __repr__(self):
        return f"<{self.pid} {self.title!r}>"

    @property
    def alive(self):
        stat = _stat(self.pid)
        return stat is not None and stat[19] == self.started and stat[0] not in "ZX"

    @property
    def state(self):
        stat = _stat(self.pid)
        return stat[0] if stat and stat[19] == self.started else None

    @property
    def parent(self):
        stat = _stat(self.pid)
        return int(stat[1]) if stat else None

    @property
    def title(self):
        try:
            with open(f"/proc/{self.pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            return ""
        return words[0].decode(errors="replace")

    @property
    def uid(self):
        return int(self._status("Uid").split()[0])

    def _status(self, name):
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith(name + ":"):
                    return line.split(":", 1)[1].strip()
        raise KeyError(name)

    @property
    def rss_kb(self):
        """Own pages; those of shared memory (ledgers) are not counted, they are not the process's to leak."""
        return int(self._status("RssAnon").split()[0])

    @property
    def capabilities(self):
        return int(self._status("CapEff"), 16)

    def descriptors(self):
        """{kind or path: count}; None where we may not look."""
        kinds = collections.Counter()
        try:
            for fd in os.listdir(f"/proc/{self.pid}/fd"):
                try:
                    target = os.readlink(f"/proc/{self.pid}/fd/{fd}")
                except FileNotFoundError:
                    continue
                kinds[target.split(":")[0] if not target.startswith("/") else target] += 1
        except OSError:
            return None
        return kinds

    def kill(self, number=signal.SIGKILL):
        if self.alive:
            os.kill(self.pid, number)


def children_of(*parents):
    """All descendants of these pids, without zombies."""
    by_parent = collections.defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _stat(name)
            if stat and stat[0] not in "ZX":
                by_parent[int(stat[1])].append(int(name))
    found, todo = [], list(parents)
    while todo:
        for pid in by_parent.get(todo.pop(), ()):
            found.append(Process(pid))
            todo.append(pid)
    return found


def reap_orphans(known):
    """Zombies that came to us as their subreaper; `known` are the pids that a Popen object waits for."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in known:
            stat = _stat(name)
            if stat and int(stat[1]) == os.getpid() and stat[0] == "Z":
                try:
                    os.waitpid(int(name), os.WNOHANG)
                except ChildProcessError:
                    pass
