"""What a daemon wrote: text lines of all its roles, and JSON lines of the steward."""
import json
import re

from waiting import wait_for

BAD = ("emergency", "alert", "critical", "error", "warning")
_text = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z (\w+) (.*)$")
_pair = re.compile(r' (\w+)=("[^"]*"|\S+)')
SANITIZER = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "UndefinedBehaviorSanitizer", "ThreadSanitizer")


class Line:
    def __init__(self, text):
        self.text = text
        self.priority = "info"
        self.fields = {}
        self.message = text
        if text.startswith("{"):
            try:
                self.fields = json.loads(text)
            except json.JSONDecodeError:
                self.priority = "error"
                return
            self.priority = self.fields.pop("priority", "info")
            self.message = self.fields.pop("message", "")
        else:
            match = _text.match(text)
            if match:
                self.priority, self.message = match.groups()
                self.fields = {k: v.strip('"') for k, v in _pair.findall(self.message)}

    def __repr__(self):
        return self.text

    def __getattr__(self, name):
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def is_end(self):
        return "reason" in self.fields and self.message.startswith("session") and " ended" in self.message


class Log:
    """Follows a file. `lines` are those read so far, complete ones only."""

    def __init__(self, path):
        self.path = path
        self._file = open(path)
        self._rest = ""
        self.lines = []

    def read(self):
        text = self._rest + self._file.read()
        *whole, self._rest = text.split("\n")
        self.lines.extend(Line(t) for t in whole if t)
        return self.lines

    def matching(self, pattern):
        return [line for line in self.read() if re.search(pattern, line.text)]

    def wait(self, pattern, count=1, deadline=15.0):
        """The first `count` lines that match; by default the first one itself."""
        found = wait_for(lambda: (m := self.matching(pattern)) and len(m) >= count and m, f"{count} log line(s) like {pattern!r}",
                         deadline)
        return found[0] if count == 1 else found[:count]

    def ends(self, service=None):
        return [line for line in self.read() if line.is_end and service in (None, line.service)]

    def wait_ends(self, count=1, service=None, deadline=15.0):
        return wait_for(lambda: (e := self.ends(service)) and len(e) >= count and e,
                        lambda: f"{count} session-end lines, {len(self.ends(service))} are there", deadline)

    def bad(self, expected=()):
        """Warnings and worse that match none of the expected patterns, and every sanitizer report."""
        return [line for line in self.read()
                if any(s in line.text for s in SANITIZER) or
                (line.priority in BAD and not any(re.search(p, line.text) for p in expected))]

    def close(self):
        self._file.close()
