"""Hooks that write down each of their runs, and the books over them."""
import os
import shutil
import stat

VARIABLES = ("EVENT", "SERVICE", "LEASE", "FENCE", "SESSION", "CLIENT", "CLIENT_PORT", "LOCAL", "LOCAL_PORT", "BACKEND",
             "BACKEND_PORT", "REASON", "OPERATION", "ERRNO", "BYTES_TO_BACKEND", "BYTES_TO_CLIENT", "UNDELIVERED_TO_BACKEND",
             "UNDELIVERED_TO_CLIENT", "DURATION_MS", "ATTEMPT", "RECOVERED", "ACQUIRED", "VAR_SEAT")

# One printf is one write to a file opened for appending, so that lines of hooks that run at once stay whole. What a hook does is
# asked of small files beside it, so that a test can change it at any time.
SCRIPT = """#!/bin/sh
here='{directory}'
line() {{ printf '{format}\\n' "$1" "$$" {values} >>"$here/journal"; }}
line begin
while [ -e "$here/{event}.gate" ]; do sleep 0.02; done
[ -e "$here/{event}.delay" ] && read -r delay <"$here/{event}.delay" && sleep "$delay"
[ -e "$here/{event}.output" ] && cat "$here/{event}.output"
[ -e "$here/{event}.complaint" ] && cat "$here/{event}.complaint" >&2
[ -e "$here/{event}.signal" ] && read -r number <"$here/{event}.signal" && kill -"$number" "$$"
status=0
[ -e "$here/{event}.exit" ] && read -r status <"$here/{event}.exit"
line "exit-$status"
exit "$status"
"""


class Run:
    """One run of a hook."""

    def __init__(self, fields):
        self.pid = fields.pop("pid")
        self.status = None  # None: it never came to its end
        self.fields = fields

    def __getattr__(self, name):
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self):
        shown = " ".join(f"{k}={v}" for k, v in self.fields.items() if v and k in
                         ("event", "lease", "fence", "session", "reason", "acquired", "recovered", "attempt"))
        return f"<{shown} exit={self.status}>"


class Hooks:
    def __init__(self, directory, owner=None):
        self.directory = directory
        os.mkdir(directory)
        for event in ("acquire", "connected", "renew", "release", "prepare_listen", "shutdown"):
            path = self.path(event)
            names = " ".join(f'"$TCPWARDEN_{v}"' for v in VARIABLES)
            text = SCRIPT.format(directory=directory, event=event, values=names,
                                 format="\\t".join(["phase=%s", "pid=%s"] + [v.lower() + "=%s" for v in VARIABLES]))
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        if owner:
            shutil.chown(directory, owner)

    def path(self, event):
        return os.path.join(self.directory, event)

    def config(self, **more):
        """For the config's service.hooks: acquire, release and those in more; more: settings of a hook, as acquire={"timeout": "1s"}."""
        return {event: {"command": [self.path(event)], **more.get(event, {})} for event in {"acquire": 0, "release": 0, **more}}

    def set(self, event, **what):
        """exit=N, delay=SECONDS, output="K=V", complaint=TEXT (to stderr), signal=N (kills itself), gate=True (waits until that is None
        again). None takes a thing back."""
        for name, value in what.items():
            path = f"{self.path(event)}.{name}"
            if value is None:
                if os.path.exists(path):
                    os.unlink(path)
                continue
            text = str(value)
            with open(path + ".new", "w") as f:
                f.write(text if text.endswith("\n") else text + "\n")
            os.rename(path + ".new", path)

    def runs(self, event=None):
        """All runs so far, in the order in which they began."""
        try:
            with open(os.path.join(self.directory, "journal")) as f:
                lines = f.read().split("\n")[:-1]
        except FileNotFoundError:
            return []
        runs, open_runs = [], {}
        for line in lines:
            fields = dict(word.split("=", 1) for word in line.split("\t"))
            phase = fields.pop("phase")
            key = (fields["pid"], fields["event"], fields["lease"])
            if phase == "begin":
                open_runs[key] = run = Run(fields)
                runs.append(run)
            else:
                open_runs.pop(key).status = int(phase.removeprefix("exit-"))
        return [run for run in runs if event in (None, run.event)]

    def most_at_once(self, event):
        """How many ran at the same time."""
        most = now = 0
        with open(os.path.join(self.directory, "journal")) as f:
            for line in f:
                if f"\tevent={event}\t" in line:
                    now += 1 if line.startswith("phase=begin") else -1
                    most = max(most, now)
        return most

    def released(self):
        return [run for run in self.runs("release") if run.status == 0]

    def imbalance(self, twice=False, unknown=False):
        """What is wrong with the books, in words: nothing if they balance.

        twice: something of ours was killed, so that a release that had succeeded may have been run once more.
        unknown: the same for an acquire whose outcome was not seen: its release is due whatever it was."""
        wrong = []
        releases = {}
        for run in self.runs("release"):
            releases.setdefault((run.lease, run.fence), []).append(run)
        leases = set()
        for run in self.runs("acquire"):
            key = (run.lease, run.fence)
            if key in leases:
                wrong.append(f"acquired twice: {run}")
            leases.add(key)
            good = [r for r in releases.get(key, ()) if r.status == 0]
            if run.status not in (0, None) and not unknown and releases.get(key):
                wrong.append(f"released though refused: {run}")
            elif run.status not in (0, None) and not releases.get(key):
                continue
            elif not good and (run.status in (0, None)):
                wrong.append(f"never released: {run}")
            elif len(good) > 1 and not twice:
                wrong.append(f"released {len(good)} times: {run} {good}")
        for key, runs in releases.items():
            # An acquire that had not begun when its steward died is as unknown as one that had.
            if key not in leases and not (unknown and runs[0].acquired == "unknown"):
                wrong.append(f"released though never acquired: {runs[0]}")
        fences = [int(run.fence) for run in self.runs("acquire")]
        if len(set(fences)) != len(fences):
            wrong.append("a fence was used twice")
        return wrong
