"""A resource that keeps its own books: a script that takes and gives, refuses what is done twice or too late, and writes down each
step in one write to a journal, with its parent, the steward that started it: there is one at a time."""
import collections
import os

# What a file's making finds there already was done before: noclobber makes it one step. A part is slow, a part ({refuses}) refuses, and
# of what is given back a part ({fails}) fails at first.
SCRIPT = """#!/bin/sh
# resource take | give
cd '{directory}' || exit 1
lease=$TCPWARDEN_LEASE
say() {{ echo "$1 $lease $TCPWARDEN_FENCE $$ $PPID" >>journal; }}
once() {{ true 2>/dev/null >"$1/$lease"; }}
set -C
case $1 in
take)
	say taking
	case $lease in *[0-3]) sleep 0.05 ;; {refuses}) say refused; exit 75 ;; esac
	if [ -e "given/$lease" ]; then say late; exit 1; fi
	once taken || {{ say taken-twice; exit 1; }}
	say taken ;;
give)
	say giving
	case $lease in *[56]) sleep 0.05 ;; {fails}) [ "$TCPWARDEN_ATTEMPT" -gt 1 ] || {{ say failed; exit 1; }} ;; esac
	if once given; then say given; else say again; fi ;;
esac
"""
TAKES = {"taking", "taken", "taken-twice", "late", "refused"}
DONE = ("given", "again")


class Resource:
    def __init__(self, directory, seen_as=None, refuses="*4", fails="*7"):
        """seen_as: where the daemon finds it, if it is in a container. refuses, fails: which leases (a pattern of the shell)."""
        self.directory = directory
        self.path = os.path.join(seen_as or directory, "resource")
        self.reapers = {str(os.getpid())}  # who becomes the parent of a hook whose steward has died; a daemon's supervisor is one, too
        self._journal = os.path.join(directory, "journal")
        for each in ("", "taken", "given"):
            os.mkdir(os.path.join(directory, each))
            os.chmod(os.path.join(directory, each), 0o777)
        script = os.path.join(directory, "resource")
        with open(script, "w") as f:
            f.write(SCRIPT.format(directory=seen_as or directory, refuses=refuses, fails=fails))
        os.chmod(script, 0o755)
        with open(self._journal, "w"):
            os.chmod(self._journal, 0o666)

    def config(self):
        return {"acquire": {"command": [self.path, "take"], "timeout": "60s"}, "release": {"command": [self.path, "give"], "timeout": "60s"}}

    def note_kill(self, what, pid=0):
        """Before it is done."""
        with open(self._journal, "a") as f:
            f.write(f"killed {what} - {pid} -\n")

    def judge(self):
        """(counts, what is wrong in words). A thing that is not given back is wrong only when no lease is left."""
        with open(self._journal) as f:
            lines = [line.split() for line in f]
        counts, wrong = collections.Counter(), []
        lives = collections.defaultdict(list)  # lease: [(phase, pid, parent)]
        fences = {}
        hooks_killed, held = set(), set()
        for phase, lease, fence, pid, parent in lines:
            if phase == "killed":
                counts[f"killed {lease}"] += 1
                if lease == "hook":
                    hooks_killed.add(pid)
                continue
            lives[lease].append((phase, pid, parent))
            if fences.setdefault(lease, fence) != fence:
                wrong.append(f"{lease}: two fences: {fence} and {fences[lease]}")
            if phase == "taken":
                held.add(lease)
            elif phase in DONE:
                held.discard(lease)
            counts["most held"] = max(counts["most held"], len(held))

        def heard(first, second):
            """Of two runs for a lease: whoever started the second was there when the first one ended."""
            return first[0] not in hooks_killed and first[1] == second[1] and first[1] not in self.reapers

        for lease, steps in lives.items():
            phases = [phase for phase, _, _ in steps]
            story = ", ".join(" ".join(step) for step in steps)
            done = [step[1:] for step in steps if step[0] in DONE]
            refused = [step[1:] for step in steps if step[0] == "refused"]
            giving = [step[1:] for step in steps if step[0] == "giving"]
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
            if refused and giving and heard(refused[0], giving[0]):
                wrong.append(f"{lease}: given back though refused: {story}")
            if "giving" in phases and set(phases[phases.index("giving"):]) & TAKES:
                wrong.append(f"{lease}: taken after it was given back: {story}")
            if any(heard(*two) for two in zip(done, done[1:])):
                wrong.append(f"{lease}: given back twice, and who did it had not died: {story}")
        return counts, wrong
