"""Fixtures. A test asks for `tcpwarden` and makes as many daemons as it likes; the universal checks run at its end for each."""
import os
import resource
import sys
import tempfile
import shutil

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import checks  # noqa: E402
import process  # noqa: E402
from daemon import Daemon, build_directory  # noqa: E402
from load import LoadBackend, LoadClient  # noqa: E402
from network import OwnNetwork, wait_for_tcp_memory  # noqa: E402
from peers import Backend, free_port  # noqa: E402
from settings import service  # noqa: E402

FULL = os.environ.get("TCPWARDEN_TEST_FULL") == "1"


def pytest_configure(config):
    for marker in ("slow: takes more than some 20 seconds; run with TCPWARDEN_TEST_FULL=1",
                   "takes(seconds): about so long by itself; the longest ones begin first, so that no worker is left alone with them",
                   "xdist_group(name): they share what is made once for a module, so one worker takes them all"):
        config.addinivalue_line("markers", marker)
    process.become_subreaper()
    if os.geteuid() == 0 and not config.option.collectonly and getattr(config.option, "dist", "no") == "no":
        # Whoever runs tests has his ports for himself: this process, or each of its workers.
        network = OwnNetwork()
        network.__enter__()
        config.add_cleanup(lambda: network.__exit__(None, None, None))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def longest_first(item):
    takes = item.get_closest_marker("takes")
    return -takes.args[0] if takes else 0


def pytest_collection_modifyitems(config, items):
    items.sort(key=longest_first)
    if FULL or "slow" in (config.option.markexpr or ""):
        return
    slow = [item for item in items if "slow" in item.keywords]
    if slow: # not skipped: they are another selection
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.call_failed = outcome.get_result().failed


def pytest_sessionstart(session):
    program = os.path.join(build_directory(), "src", "supervisor", "tcpwarden")
    if not os.path.exists(program) and not session.config.option.collectonly:
        print(f"\n{program} does not exist: set TCPWARDEN_BUILD to a build directory")


@pytest.fixture
def tcpwarden(request):
    """tcpwarden(settings, ...) makes a Daemon and starts it (start=False: does not)."""
    daemons = []

    def make(settings, start=True, **more):
        daemon = Daemon(settings, **more)
        daemons.append(daemon)
        return daemon.start() if start else daemon

    yield make
    failed = getattr(request.node, "call_failed", True)
    try:
        for daemon in daemons:
            if not daemon.ended and not failed and daemon.popen:
                checks.before_stop(daemon)
                daemon.stop()
        for daemon in daemons:
            if not failed and daemon.popen:
                checks.after_stop(daemon)
    except BaseException:
        failed = True
        raise
    finally:
        for daemon in daemons:
            daemon.end_by_force()
            if failed:
                print(f"--- {daemon.directory}\n{daemon.log_tail(150)}")
            daemon.discard()


@pytest.fixture
def scratch():
    """A directory that other users can reach."""
    path = tempfile.mkdtemp(prefix="tcpwarden-scratch-")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def small_buffers():
    """A network of the test's own, in which many sessions may stall. Ask for it first."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace")
    wait_for_tcp_memory()
    with OwnNetwork(32768):
        yield


@pytest.fixture
def backend():
    """backend(script, ...): a Backend that ends with the test."""
    made = []

    def make(script, *args, **more):
        made.append(Backend(script, *args, **more))
        return made[-1]

    yield make
    for b in made:
        b.close()


@pytest.fixture
def load(scratch):
    """load.backend(...) and load.client(address, ...): tcpload processes that end with the test."""
    made = []

    class Make:
        @staticmethod
        def backend(*arguments, **more):
            made.append(LoadBackend(scratch, *arguments, **more))
            return made[-1]

        @staticmethod
        def client(address, **options):
            made.append(LoadClient(scratch, address, **options))
            return made[-1]

    yield Make
    for one in made:
        one.close()


@pytest.fixture
def address():
    """An address for a listener that nobody uses."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def through(tcpwarden):
    """through(backends, ...): a running daemon with one service "echo" before these backends; its `address` is where clients go.

    hooked: acquire and release hooks, in daemon.hooks["hooks"]; hook: settings of them; top: settings of the whole daemon."""
    def make(backends, hooked=False, hook=None, top=None, listen=None, start=True, daemon=None, **more):
        made = tcpwarden({}, start=False, **(daemon or {}))
        made.address = listen or f"127.0.0.1:{free_port()}"
        if hooked:
            more["hooks"] = made.new_hooks().config(**(hook or {}))
        made.configure({"services": [service("echo", made.address, backends, **more)], **(top or {})})
        return made.start() if start else made

    return make
