"""A helper that keeps a journal, misbehaves when told to, and the books over it."""
import os
import shutil

# A process that answers what is due and reads what there is. What it does is asked of small files beside it; those that name a deed
# done once are taken away before it is done.
PROGRAM = r'''#!/usr/bin/python3
import json, os, random, select, sys, time
here = sys.argv[1]
journal = os.open(os.path.join(here, "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
def say(*words):
    os.write(journal, (" ".join(map(str, words)) + "\n").encode())
def told(name):
    try:
        with open(os.path.join(here, name)) as f:
            return f.read().strip() or "1"
    except FileNotFoundError:
        return None
def once(name):
    text = told(name)
    if text is not None:
        os.unlink(os.path.join(here, name))
    return text
def seats():
    return os.path.join(here, "seats")
say("start", os.getpid(), os.environ.get("TCPWARDEN_SERVICE"), len(os.listdir("/proc/self/fd")) - 1)
print("I live", file=sys.stderr, flush=True)
due, rest, open_in = [], b"", True
def act(request):
    event, lease, fence = request["event"], request["lease"], request["fence"]
    seat = os.path.join(seats(), lease)
    if event == "acquire":
        if told("busy"):
            return {"ok": False, "busy": True, "error": "no\nseat"}
        if told("unavailable"):
            return {"ok": False, "unavailable": True, "error": "no server"}
        say("taken", fence)
        os.close(os.open(seat, os.O_CREAT | os.O_EXCL))  # twice is an error, and we die of it
        return {"ok": True, "variables": {"SEAT": lease + "!"}, "backend": told("backend")}
    if request["variables"].get("SEAT", lease + "!") != lease + "!":
        say("wrong", fence)
    if event in ("connected", "renew"):
        if told(event + ".unwilling"):
            return {"ok": False, "error": "not now"}
        say(event, fence, request["attempt"], request["backend_port"])
        return {"ok": True}
    if told("unwilling"):
        return {"ok": False, "error": "not now"}
    try:
        os.unlink(seat)
        say("given", fence)
    except FileNotFoundError:
        say("nothing", fence, request["acquired"], request["attempt"])
    return {"ok": True}
while open_in or due:
    while told("deaf"):
        time.sleep(0.02)
    now = time.monotonic()
    wait = max(0, min(d[0] for d in due) - now) if due else None
    if select.select([0] if open_in else [], [], [], wait)[0]:
        data = os.read(0, 65536)
        open_in = bool(data)
        if not data:
            say("eof")
            while told("stubborn"):
                time.sleep(0.02)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            say("asked", request["fence"], request["event"])
            if text := once("garbage"):
                os.write(1, text.encode() * int(told("times") or 1) + b"\n")
            if once("crash") or once(request["event"] + ".crash"):
                os._exit(3)
            if once("mute"):
                os.close(1)
                time.sleep(100)
            delay = float(told(request["event"] + ".delay") or 0)
            due.append((time.monotonic() + random.random() * 0.002 + delay, random.random(), request))
    for d in sorted(d for d in due if d[0] <= time.monotonic()):
        due.remove(d)
        answer = json.dumps({"id": d[2]["id"], **act(d[2])}) + "\n"
        if once("crash_late"):
            os._exit(3)
        os.write(1, answer.encode())
'''


class Helper:
    def __init__(self, directory, owner=None):
        self.directory = directory
        os.makedirs(os.path.join(directory, "seats"))
        self.path = os.path.join(directory, "helper")
        with open(self.path, "w") as f:
            f.write(PROGRAM)
        os.chmod(self.path, 0o755)
        if owner:
            shutil.chown(directory, owner)
            shutil.chown(os.path.join(directory, "seats"), owner)

    def config(self, acquire=None, release=None, **more):
        common = {"mode": "helper", "command": [self.path, self.directory]}
        return {event: {**common, **(settings or {})} for event, settings in {"acquire": acquire, "release": release, **more}.items()}

    def set(self, **what):
        """NAME=TEXT: a file; None takes it away. A dot in a name is written as __."""
        for name, text in what.items():
            path = os.path.join(self.directory, name.replace("__", "."))
            if text is None:
                if os.path.exists(path):
                    os.unlink(path)
                continue
            with open(path + ".new", "w") as f:
                f.write(str(text))
            os.rename(path + ".new", path)

    def lines(self, word):
        """Of the journal: what follows the word."""
        try:
            with open(os.path.join(self.directory, "journal")) as f:
                lines = [line.split() for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [line[1:] for line in lines if line[0] == word]

    @property
    def pids(self):
        return [int(line[0]) for line in self.lines("start")]

    def held(self):
        return os.listdir(os.path.join(self.directory, "seats"))

    def imbalance(self):
        """What is wrong with the books: each lease that was taken was given back once, after that, and none was taken twice. (To be
        told of a release again is no wrong: the resource says that it holds nothing. It also does where the helper was killed
        between a deed and its line.)"""
        wrong = [f"still held: {seat}" for seat in self.held()] + [f"wrong variables: {line}" for line in self.lines("wrong")]
        lives = {}
        with open(os.path.join(self.directory, "journal")) as f:
            for line in f:
                word, fence, *_ = line.split() + [""]
                if word == "renew" and "given" in lives.get(int(fence), []):
                    wrong.append(f"{fence}: renewed after it was given back")
                if word in ("taken", "given", "nothing"):
                    lives.setdefault(int(fence), []).append(word)
        for fence, words in lives.items():
            deeds = [word for word in words if word != "nothing"]
            if deeds not in (["taken", "given"], []) and not (deeds == ["taken"] and "nothing" in words):
                wrong.append(f"{fence}: {words}")
            if "taken" in words and words[0] != "taken":
                wrong.append(f"{fence}: taken after its release: {words}")
        return wrong
