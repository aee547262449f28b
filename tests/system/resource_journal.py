"""A resource that keeps its own books: a script that takes and gives, refuses what is done twice or too late, and writes down each
step in one write to a journal; who kills writes there, too, so that all has one order."""
import collections
import contextlib
import os

# What a file's making finds there already was done before: noclobber makes it one step. A part is slow, a part refuses, and of what
# is given back a part fails at first.
SCRIPT = """#!/bin/sh
# resource take | give
cd '{directory}' || exit 1
lease=$TCPWARDEN_LEASE
say() {{ echo "$1 $lease $TCPWARDEN_FENCE $$" >>journal; }}
once() {{ true 2>/dev/null >"$1/$lease"; }}
set -C
case $1 in
take)
	say taking
	case $lease in *[0-3]) sleep 0.05 ;; *4) say refused; exit 75 ;; esac
	if [ -e "given/$lease" ]; then say late; exit 1; fi
	once taken || {{ say taken-twice; exit 1; }}
	say taken ;;
give)
	say giving
	case $lease in *[56]) sleep 0.05 ;; *7) [ "$TCPWARDEN_ATTEMPT" -gt 1 ] || {{ say failed; exit 1; }} ;; esac
	if once given; then say given; else say again; fi ;;
esac
"""
TAKES = {"taking", "taken", "taken-twice", "late", "refused"}
STEWARD_DIES = ("steward", "supervisor", "tree", "power")
DONE = ("given", "again")


class Resource:
    def __init__(self, directory):
        self.directory = directory
        self.path = os.path.join(directory, "resource")
        self._journal = os.path.join(directory, "journal")
        for each in ("", "taken", "given"):
            os.mkdir(os.path.join(directory, each))
            os.chmod(os.path.join(directory, each), 0o777)
        with open(self.path, "w") as f:
            f.write(SCRIPT.format(directory=directory))
        os.chmod(self.path, 0o755)
        with open(self._journal, "w"):
            os.chmod(self._journal, 0o666)

    def config(self):
        return {"acquire": {"command": [self.path, "take"], "timeout": "60s"}, "release": {"command": [self.path, "give"], "timeout": "60s"}}

    @contextlib.contextmanager
    def killing(self, what, pid=0):
        """Around a kill. What stands before its end may have been before the death, what stands after its beginning, after it."""
        self._note("killing", what, pid)
        yield
        self._note("killed", what, pid)

    def _note(self, phase, what, pid):
        with open(self._journal, "a") as f:
            f.write(f"{phase} {what} - {pid}\n")

    def judge(self):
        """(counts, what is wrong in words). A thing that is not given back is wrong only when no lease is left."""
        with open(self._journal) as f:
            lines = [line.split() for line in f]
        counts, wrong = collections.Counter(), []
        lives = collections.defaultdict(list)  # lease: [(line, phase, pid)]
        fences = {}
        deaths, hooks_killed, held = [], set(), set()
        for number, (phase, lease, fence, pid) in enumerate(lines):
            if phase == "killing":
                began = number
                if lease == "hook":
                    hooks_killed.add(pid)
                continue
            if phase == "killed":
                counts[f"killed {lease}"] += 1
                if lease in STEWARD_DIES:
                    deaths.append((began, number))
                continue
            lives[lease].append((number, phase, pid))
            if fences.setdefault(lease, fence) != fence:
                wrong.append(f"{lease}: two fences: {fence} and {fences[lease]}")
            if phase == "taken":
                held.add(lease)
            elif phase in DONE:
                held.discard(lease)
            counts["most held"] = max(counts["most held"], len(held))

        def unheard(run, until=len(lines)):
            """Its end may not have been recorded: it was killed, or the steward that started it died."""
            number, pid = run
            return pid in hooks_killed or any(number < end and began < until for began, end in deaths)

        for lease, steps in lives.items():
            phases = [phase for _, phase, _ in steps]
            story = ", ".join(f"{number} {phase} {pid}" for number, phase, pid in steps)
            begun = {pid: number for number, phase, pid in steps if phase in ("taking", "giving")}
            done = [(begun[pid], pid) for _, phase, pid in steps if phase in DONE]
            refused = [(begun[pid], pid) for _, phase, pid in steps if phase == "refused"]
            counts["leases"] += 1
            counts["taken"] += "taken" in phases
            counts["refused"] += "refused" in phases
            counts["given back"] += bool(done)
            counts["failed first"] += phases.count("failed")
            counts["doubles"] += max(0, len(done) - 1)
            if phases.count("taking") > 1:
                wrong.append(f"{lease}: taken twice: {story}")
            if not done and not refused:
                wrong.append(f"{lease}: never given back: {story}")
            if refused and "giving" in phases and not unheard(refused[0]):
                wrong.append(f"{lease}: given back though refused: {story}")
            if "giving" in phases and set(phases[phases.index("giving"):]) & TAKES:
                wrong.append(f"{lease}: taken after it was given back: {story}")
            if any(not unheard(run, until=later) for run, (later, _) in zip(done, done[1:])):
                wrong.append(f"{lease}: given back twice, and nothing of ours had died: {story}")
        if wrong:
            wrong.append(f"deaths: {deaths}")
        return counts, wrong
