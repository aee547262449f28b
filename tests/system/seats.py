"""Hooks of a thing of which there are so many: acquire says busy (75) when all are taken. Their journal says who took and gave what."""
import collections
import os
import shutil
import stat

# mkdir is the lock: one process of those that race for a seat makes it.
SCRIPT = r"""#!/bin/sh
cd '{directory}' || exit 1
status=75
case $TCPWARDEN_EVENT in
acquire)
	for seat in {seats}; do
		mkdir "seat-$seat" 2>/dev/null || continue
		echo "$TCPWARDEN_LEASE" >"seat-$seat/holder"
		status=0
		break
	done ;;
release)
	# By the lease: what a hook that was cut off has printed nobody knows.
	for seat in {seats}; do
		grep -qs "^$TCPWARDEN_LEASE\$" "seat-$seat/holder" && rm -r "seat-$seat"
	done
	status=0 ;;
esac
echo "$TCPWARDEN_EVENT $status $TCPWARDEN_LEASE $TCPWARDEN_SESSION ${{TCPWARDEN_REASON:--}}" >>journal
exit $status
"""

Run = collections.namedtuple("Run", "event status lease session reason")


class Seats:
    def __init__(self, directory, count, owner=None):
        self.directory = directory
        os.mkdir(directory)
        self.path = os.path.join(directory, "hook")
        with open(self.path, "w") as f:
            f.write(SCRIPT.format(directory=directory, seats=" ".join(map(str, range(count)))))
        os.chmod(self.path, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        if owner:
            shutil.chown(directory, owner)

    def config(self):
        return {event: {"command": [self.path]} for event in ("acquire", "release")}

    def imbalance(self, twice=False, unknown=False):
        """As Hooks.imbalance."""
        wrong, runs = [], self.runs()
        given = collections.Counter(run.lease for run in runs if run.event == "release" and run.status == 0)
        for run in runs:
            held = run.event == "acquire" and run.status == 0
            if held and not given[run.lease]:
                wrong.append(f"never released: {run}")
            elif held and given[run.lease] > 1 and not twice:
                wrong.append(f"released {given[run.lease]} times: {run}")
            elif run.event == "acquire" and not held and given[run.lease] and not unknown:
                wrong.append(f"released though busy: {run}")
        return wrong + [f"taken and not given back: {name}" for name in self.taken()]

    def runs(self, event=None):
        try:
            with open(os.path.join(self.directory, "journal")) as f:
                runs = [Run(w[0], int(w[1]), *w[2:]) for w in map(str.split, f)]
        except FileNotFoundError:
            return []
        return [run for run in runs if event in (None, run.event)]

    def taken(self):
        return [name for name in os.listdir(self.directory) if name.startswith("seat-")]
