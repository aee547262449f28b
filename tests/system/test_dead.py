"""A dead peer is noticed within dead_after, counted from its last sign of life, in every state that a session can be in.

All cases run side by side, and each is a test that looks up what became of it. The table of times is printed at the end."""
import collections
import time

import pytest

import dead
import lab as lab_module
from dead import Row, Scene
from lab import Lab
from stage import PACINGS, Stage, say, selected, side_by_side, stamp
from waiting import wait_for

pytestmark = [pytest.mark.xdist_group("dead"), pytest.mark.takes(15)]

DEAD_AFTER = 10.0
PATIENCE = 16.0
BOUND = DEAD_AFTER * 1.1 + 1
CONNECT_TIMEOUT = 3.0
NOTICED_RESET = 0.5


def acquire_pending(s):
    s.connect()
    wait_for(lambda: s.hooks.runs("acquire"), "the acquire hook")


def connect_pending(s):
    s.lab.cut(s.hosts["backend"])
    s.connect()
    wait_for(lambda: [o for o in s.daemon.sessions() if o["service"] == s.name and o["state"] == "connecting"], "connecting")


def then_vanish(pending):
    def act(s):
        pending(s)
        s.dead = s.client
        s.since = time.time()
        s.dead.send(1)  # nobody reads it yet, but it is a sign of life
        wait_for(lambda: s.dead.unacknowledged() == 0, "acknowledgement")
        s.cut(touch=False)
    return act


def then_reset(pending):
    def act(s):
        pending(s)
        s.since = time.time()
        s.client.reset()
        s.cut_at = time.time()
    return act


PENDING = [
    Row("acquire", "acquire pending", then_vanish(acquire_pending), ("client",), False),
    Row("connect", "connect pending", then_vanish(connect_pending), ("client",), False),
    Row("acquire-reset", "acquire pending, reset", then_reset(acquire_pending), ("client",), False),
    Row("connect-reset", "connect pending, reset", then_reset(connect_pending), ("client",), False),
]
ROWS = dead.ROWS + PENDING
NAMES = [f"{row.name}-{side}-ip{ip}" for row in ROWS for side in row.sides for ip in (4, 6)]


class Watched(Scene):
    """A scene with tcpwarden in it, whose end is in its log."""

    line = hooks = None

    def settings(self):
        sides = {"client": {}, "backend": {"connect_timeout": "60s" if self.row.name.startswith("connect") else "3s"}}
        sides[self.side]["dead_after"] = f"{DEAD_AFTER:.0f}s"
        if self.row.name.startswith("acquire"):
            self.hooks = self.daemon.new_hooks(self.name)
            self.hooks.set("acquire", gate=True)
            sides["hooks"] = self.hooks.config(acquire={"timeout": "60s"})
        return {"connect_retries": 0, **sides}

    @property
    def noticed_s(self):
        return stamp(self.line) - self.cut_at

    def waits(self):
        """For its end in the log."""
        self.line = self.line or next(iter(self.daemon.log.ends(self.name)), None)
        return not self.line and not self.error and time.time() < self.cut_at + PATIENCE

    def reason(self):
        if self.row.name == "syn":
            return "backend.connect_timeout"
        return f"{self.side}.{'reset' if self.row.name.endswith('-reset') else 'dead'}"

    def bounds(self):
        """(not before, not after), in seconds."""
        if self.row.name.endswith("-reset"):
            return 0, NOTICED_RESET
        if self.row.name == "syn":
            return CONNECT_TIMEOUT, CONNECT_TIMEOUT * 1.1 + 1
        return DEAD_AFTER, BOUND

    def check(self):
        if self.error:
            raise self.error
        not_before, not_after = self.bounds()
        if self.row.tells and not self.told_at:
            pytest.fail(f"the other side was not told within {PATIENCE} s; log: {self.line}")
        if not self.line:
            pytest.fail(f"its end is not in the log {PATIENCE} s after; the other side was told by {self.told}")
        if self.line.reason != self.reason():
            pytest.fail(f"the reason is not {self.reason()}: {self.line}")
        for what, at in (("noticed", stamp(self.line)), ("told", self.told_at)):
            # A log line's time is cut off after the millisecond.
            if at and (at - self.cut_at > not_after or at - self.since < not_before - 0.001):
                pytest.fail(f"{what} {at - self.cut_at:.3f} s after the cut, {at - self.since:.3f} s after it was last seen alive, "
                            f"due is {not_before} to {not_after} s: {self.line}")
        if self.row.tells and self.told != "RST":
            pytest.fail(f"the other side was told by {self.told}: {self.line}")


@pytest.fixture(scope="module")
def stage(request):
    if lab_module.why_not():
        pytest.skip(lab_module.why_not())
    wanted, pacings = selected(request, "name"), selected(request, "pacing")
    with Lab() as lab, Stage(lab) as stage:
        stage.scenes = {}
        for i, pacing in enumerate(p for p in PACINGS if p in pacings):
            scenes = [s for s in dead.cast(lab, ROWS, 20000 + 1000 * i, scene=Watched) if s.name in wanted]
            stage.start(pacing, pacing, scenes)
            stage.scenes.update({(pacing, s.name): s for s in scenes})
        side_by_side([lambda s=s: s.play(PATIENCE) for s in stage.scenes.values()])
        while any([s.waits() for s in stage.scenes.values()]):
            time.sleep(0.1)
        for s in stage.scenes.values():
            s.close()
            if s.hooks:
                s.hooks.set("acquire", gate=None)
        stage.finish()
        yield stage
        show(request, stage.scenes)


def show(request, scenes):
    """Seconds from the last sign of life to the end, in the log and at the other peer."""
    columns = [(side, ip) for side in dead.SIDES for ip in (4, 6)]
    cells = collections.defaultdict(dict)
    for (pacing, _), s in scenes.items():
        log = f"{s.noticed_s:.1f}" if s.line and s.cut_at else "-"
        told = f"{s.told_s:.1f} {s.told}" if s.told_at else "-"
        cells[s.row.title, pacing][s.side, s.ip] = f"{log} / {told}"
    lines = [f"{'seconds: log / told':44}{'paced by':14}" + "".join(f"{f'{side}, IPv{ip}':20}" for side, ip in columns)]
    titles = [row.title for row in ROWS]
    for (title, pacing), row in sorted(cells.items(), key=lambda item: titles.index(item[0][0])):
        lines.append(f"{title:44}{pacing:14}" + "".join(f"{row.get(c, ''):20}" for c in columns).rstrip())
    say(request, lines)


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize("name", NAMES)
def test_noticed_and_told(stage, name, pacing):
    stage.scenes[pacing, name].check()


@pytest.mark.parametrize("pacing", PACINGS)
def test_nothing_is_left(stage, pacing):
    stage.check(pacing)
