"""tcpload: many connections, each byte checked, as processes of their own."""
import json
import os
import signal
import subprocess

from daemon import build_directory
from peers import free_port
from waiting import wait_for


class Load:
    """One process of a load program; its JSON lines come to a file."""
    program = os.path.join("tests", "load", "tcpload")

    def __init__(self, directory, *arguments):
        path = os.path.join(directory, f"load-{os.urandom(4).hex()}")
        self.output = open(path + ".out", "w+")
        self.errors = open(path + ".err", "w+")
        self.popen = subprocess.Popen([os.path.join(build_directory(), self.program), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=self.output,
                                      stderr=self.errors)

    def events(self, name):
        with open(self.output.name) as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        return [line for line in lines if line["event"] == name]

    def wait_event(self, name, count=1, deadline=60.0):
        def arrived():
            found = self.events(name)
            if len(found) >= count:
                return found
            assert self.popen.poll() is None, f"{self.program} exited {self.popen.returncode}: {self.complaints()}"
            return None
        return wait_for(arrived, f"{self.program} says {name}", deadline)[count - 1]

    def complaints(self):
        with open(self.errors.name) as f:
            return f.read() + str(self.events("result"))

    def progress(self):
        count = len(self.events("progress"))
        self.popen.send_signal(signal.SIGUSR1)
        return self.wait_event("progress", count + 1)

    @property
    def running(self):
        return self.popen.poll() is None

    def wait(self, deadline=300.0, clean=True):
        """Its result, when it has ended; asserts that nothing was wrong unless told otherwise."""
        self.popen.wait(deadline)
        results = self.events("result")
        assert results, f"{self.program} exited {self.popen.returncode}: {self.complaints()}"
        if clean:
            wrong = {kind: count for kind, count in results[0].get("kinds", {}).items() if count["all"] != count.get("ok", 0)}
            assert self.popen.returncode == 0 and not wrong, f"{wrong}\n" + "\n".join(results[0]["failures"])
        return results[0]

    def stop(self, clean=True, deadline=30.0):
        self.popen.send_signal(signal.SIGTERM)
        return self.wait(deadline, clean)

    def stop_when_idle(self, clean=True, deadline=30.0):
        """When its last connection has ended: what a client has sent may still be on its way when the client is done."""
        wait_for(lambda: self.progress()["open"] == 0, lambda: f"the end of all connections: {self.progress()}", deadline)
        return Load.stop(self, clean, deadline)

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.output.close()
        self.errors.close()


class LoadBackend(Load):
    def __init__(self, directory, *arguments, address=None):
        self.address = address or f"127.0.0.1:{free_port()}"
        super().__init__(directory, "backend", "--listen", self.address, *arguments)
        self.wait_event("listening")

    stop = Load.stop_when_idle


class LoadClient(Load):
    def __init__(self, directory, address, **options):
        words = []
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", value]
        super().__init__(directory, "client", "--connect", address, *words)
        self.wait_event("started")

    def finish(self, deadline=120.0):
        """It begins no more connections; its result when those that there are have ended."""
        self.popen.send_signal(signal.SIGUSR2)
        return self.wait(deadline)
