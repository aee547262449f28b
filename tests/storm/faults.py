"""Faults that arrive all the time. Each target has a thread, which waits until the target is whole, then for a moment that the seed
says, and then does to it what the seed says; so different targets are struck at once, and none before it has got over the last time."""
import collections
import dataclasses
import random
import threading
import time
import typing

WHOLE_AGAIN_S = 90.0
LOOK_S = 0.02
ABSENT = object()  # there is no such target now, as it should be


@dataclasses.dataclass
class Target:
    name: str
    whole: typing.Callable   # a fact about it now: "", or what is amiss, or ABSENT
    faults: dict             # name: (weight, function); what a function returns is added to the name that is counted
    pause_s: float           # at most, between being whole and the next fault


class Faults:
    def __init__(self, targets, seed):
        self.targets = targets
        self.seed = seed
        self.counts = collections.Counter()
        self.story = []    # (seconds of CLOCK_MONOTONIC, in words)
        self.failures = [] # what never got whole, or could not be done
        self.recovery_s = collections.defaultdict(list)
        self._over = threading.Event()
        self._lock = threading.Lock()

    def _note(self, words):
        with self._lock:
            self.story.append((time.monotonic(), words))

    def _wait_whole(self, target):
        """False: it is absent."""
        end = time.monotonic() + WHOLE_AGAIN_S
        while amiss := target.whole():
            if amiss is ABSENT:
                return False
            if time.monotonic() > end:
                raise AssertionError(f"{target.name} was not whole within {WHOLE_AGAIN_S:.0f} s: {amiss}")
            time.sleep(LOOK_S)
        return True

    def _strike(self, target, chance):
        weights = [weight for weight, _ in target.faults.values()]
        name = chance.choices(list(target.faults), weights)[0]
        self._note(f"{target.name}: {name}")
        outcome = target.faults[name][1](chance)
        if outcome:
            self._note(f"{target.name}: {name}: {outcome}")
        with self._lock:
            self.counts[f"{target.name.split()[0]} {name}{f' ({outcome})' if outcome else ''}"] += 1
        return name

    def _run(self, target):
        chance = random.Random(f"{self.seed} {target.name}")
        try:
            while not self._over.is_set():
                self._over.wait(chance.uniform(0, target.pause_s))
                if not self._wait_whole(target) or self._over.is_set():
                    continue
                name, struck = self._strike(target, chance), time.monotonic()
                if not self._wait_whole(target):
                    continue
                with self._lock:
                    self.recovery_s[f"{target.name.split()[0]} {name}"].append(time.monotonic() - struck)
        except Exception as e:  # whatever it is, the storm has failed
            with self._lock:
                self.failures.append(f"{type(e).__name__}: {e}")
            self._note(f"{target.name}: {e}")
            self._over.set()

    def run(self, seconds, still_well):
        """Until then, or until something cannot be got over, or still_well() is no more."""
        threads = [threading.Thread(target=self._run, args=(target,)) for target in self.targets]
        end = time.monotonic() + seconds
        for thread in threads:
            thread.start()
        while time.monotonic() < end and not self._over.wait(0.5) and still_well():
            pass
        self._over.set()
        for thread in threads:
            thread.join()
        for target in self.targets:
            try:
                self._wait_whole(target)
            except AssertionError as e:
                self.failures.append(str(e))
