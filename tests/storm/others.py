"""Other proxies under the same storm, for comparison: reloaded as their manuals say, and their worker killed."""
import contextlib
import os
import signal
import subprocess

from faults import Target
from network import OwnNetwork
from process import Process, children_of
from waiting import wait_for

BACKEND = "127.0.0.1:7001"
OPEN = "127.0.0.1:5021"
CONNECTIONS = 8000


class Other:
    fronts = {"open": (OPEN, 1.0)}
    backends = [BACKEND]

    def __init__(self, directory, other_build):
        self.directory = directory
        self.config = os.path.join(directory, f"{self.name}.conf")
        self.generation = 0

    def __enter__(self):
        self._network = OwnNetwork(262144)
        self._network.__enter__()
        return self

    def __exit__(self, *exception):
        if getattr(self, "master", None):
            for p in self.everyone():
                p.kill()
            self.master.wait()
        self._network.__exit__(*exception)

    @contextlib.contextmanager
    def inside(self):
        with self._network.inside():
            yield

    def write_config(self):
        """A new one each time, so that a reload has something to do."""
        self.generation += 1
        with open(self.config, "w") as f:
            f.write(self.text())

    def start(self):
        self.write_config()
        with open(os.path.join(self.directory, f"{self.name}.log"), "w") as log:
            self.master = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.workers, "a worker")
        wait_for(self._serves, "a listener")

    def _serves(self):
        with self.inside():
            return OPEN in subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout

    def everyone(self):
        return [Process(self.master.pid), *children_of(self.master.pid)]

    def workers(self):
        return [p for p in children_of(self.master.pid) if self.is_worker(p)]

    def _amiss(self):
        if self.master.poll() is not None:
            self.start()  # as its unit would
        return "" if self.workers() and self._serves() else "no worker"

    def _reload(self, chance):
        self.write_config()
        os.kill(self.master.pid, self.reload_signal)

    def _kill(self, chance):
        self.workers()[-1].kill()

    def targets(self):
        return [Target("operator", self._amiss, {"reload": (1, self._reload)}, 5.0),
                Target("worker", self._amiss, {"SIGKILL": (1, self._kill)}, 20.0)]

    def wait_sessions(self, held):
        pass

    def size(self):
        return {f"{self.name} {i}": (p.rss_kb, p.descriptors() or {}) for i, p in enumerate(self.everyone())}

    def calm(self):
        pass

    def end(self, books):
        books.judged_by_size = False
        books.left += [f"{len(self.workers())} workers"] if len(self.workers()) > self.worker_count else []


class HAProxy(Other):
    name = "haproxy"
    reload_signal = signal.SIGUSR2
    worker_count = 1

    def text(self):
        return (f"global\n  maxconn {CONNECTIONS}\n  stats socket {self.directory}/haproxy.sock level admin expose-fd listeners\n"
                f"defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"
                f"listen open\n  bind {OPEN}\n  server s{self.generation} {BACKEND}\n")

    def command(self):
        return ["haproxy", "-W", "-f", self.config, "-x", f"{self.directory}/haproxy.sock"]

    def is_worker(self, p):
        return True


class Nginx(Other):
    name = "nginx"
    reload_signal = signal.SIGHUP
    worker_count = 2

    def text(self):
        return (f"load_module /usr/lib/nginx/modules/ngx_stream_module.so;\npid {self.directory}/nginx.pid;\nerror_log stderr;\n"
                f"daemon off;\nworker_processes 2;\nworker_rlimit_nofile {2 * CONNECTIONS};\nevents {{ worker_connections {CONNECTIONS}; }}\n"
                f"stream {{ proxy_timeout {3600 + self.generation}s; server {{ listen {OPEN} backlog=4096; proxy_half_close on; proxy_pass {BACKEND}; }} }}\n")

    def command(self):
        return ["nginx", "-p", self.directory, "-c", self.config, "-e", "stderr"]

    def is_worker(self, p):
        return "worker" in p.title
