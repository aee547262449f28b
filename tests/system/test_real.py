"""Real programs through it, with hooks: acquire and release balance, and every release has the right reason."""
import collections
import hashlib
import os
import pwd
import shutil
import subprocess

import pytest

from peers import free_port
from waiting import wait_for

MB = 1 << 20
POSTGRES = "/usr/lib/postgresql/15/bin"


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def run(*command, timeout=180, **more):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout, **more)
    assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def listens(port):
    def asked():
        import socket
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    return asked


@pytest.fixture
def server(scratch):
    """server(command, port, ...): a program that runs until the test ends."""
    running = []

    def start(*command, port, **more):
        log = open(os.path.join(scratch, "server.log"), "a+")
        running.append(subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more))
        wait_for(listens(port), lambda: f"{command[0]} listens: {log.seek(0) or log.read()}", 30)
        return running[-1]

    yield start
    for popen in running:
        popen.terminate()
        try:
            popen.wait(15)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def settled(warden, count, reasons):
    """So many leases, all given back, for these reasons only."""
    hooks = warden.hooks["hooks"]
    wait_for(lambda: len(hooks.released()) >= count, lambda: f"{count} releases, there are {len(hooks.released())}", 60)
    warden.wait_sessions(0)
    assert len(hooks.runs("acquire")) == len(hooks.released()) == count
    told = collections.Counter(run.reason for run in hooks.released())
    assert set(told) <= set(reasons), told
    assert {(e.lease, e.reason) for e in warden.log.wait_ends(count)} == {(run.lease, run.reason) for run in hooks.released()}


@pytest.fixture
def postgres(scratch, server):
    """Port of a PostgreSQL of our own."""
    if not os.path.exists(f"{POSTGRES}/postgres"):
        pytest.skip("PostgreSQL is not installed")
    who = {}
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no user postgres")
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    data, port = f"{scratch}/data", free_port()
    run(f"{POSTGRES}/initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync", cwd=scratch, **who)
    server(f"{POSTGRES}/postgres", "-D", data, "-p", port, "-k", scratch, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
           "-c", "max_connections=50", port=port, cwd=scratch, **who)
    # It listens before it has started up.
    wait_for(lambda: subprocess.run([f"{POSTGRES}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0,
             "that PostgreSQL takes connections", 60)
    return port


def psql(address, *arguments, **more):
    host, port = address.split(":")
    return run("psql", "-h", host, "-p", port, "-U", "tester", "-d", "postgres", "-X", "-A", "-t", *arguments, **more)


def test_psql(through, postgres):
    need("psql")
    warden = through(f"127.0.0.1:{postgres}", hooked=True)
    assert psql(warden.address, "-c", "select 6 * 7").strip() == "42"
    rows = psql(warden.address, "-c", "select n, md5(n::text) from generate_series(1, 200000) n").splitlines()
    assert len(rows) == 200_000 and rows[41] == "42|" + hashlib.md5(b"42").hexdigest()
    settled(warden, 2, ["client.closed", "backend.closed"])  # it may close at the goodbye, before the FIN that follows


def test_pgbench_with_a_connection_for_each_transaction(through, postgres):
    pgbench = f"{POSTGRES}/pgbench"
    direct = ["-h", "127.0.0.1", "-U", "tester"]
    run(pgbench, *direct, "-p", postgres, "-i", "-q", "-s", 1, "postgres")
    warden = through(f"127.0.0.1:{postgres}", hooked=True)
    out = run(pgbench, *direct, "-p", warden.address.split(":")[1], "-C", "-c", 4, "-j", 2, "-t", 50, "-n", "postgres")
    assert "number of transactions actually processed: 200/200" in out
    # pgbench asks for the size of its tables over one more connection.
    # The backend may close at the goodbye, before the FIN that follows it.
    settled(warden, len(warden.hooks["hooks"].runs("acquire")), ["client.closed", "backend.closed"])
    assert len(warden.hooks["hooks"].released()) in (200, 201)


def test_ssh_and_scp(through, scratch, server):
    need("ssh", "scp", "ssh-keygen")
    sshd = shutil.which("sshd", path="/usr/sbin:" + os.environ["PATH"])
    if not sshd:
        pytest.skip("sshd is not installed")
    size = 1024 * MB if os.environ.get("TCPWARDEN_TEST_FULL") == "1" else 64 * MB
    port = free_port()
    home = f"{scratch}/ssh"
    os.mkdir(home, 0o700)
    for key in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{home}/{key}")
    shutil.copy(f"{home}/user.pub", f"{home}/authorized")
    os.chmod(scratch, 0o755)  # sshd wants a path that others cannot write to
    os.makedirs("/run/sshd", exist_ok=True) if os.geteuid() == 0 else None
    with open(f"{home}/config", "w") as f:
        f.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\nPidFile none\n"
                "PasswordAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n"
                "Subsystem sftp internal-sftp\n")
    server(sshd, "-D", "-e", "-f", f"{home}/config", port=port)
    warden = through(f"127.0.0.1:{port}", hooked=True)
    through_port = warden.address.split(":")[1]
    options = ["-i", f"{home}/user", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={home}/known", "-o", "BatchMode=yes",
               "-o", "LogLevel=ERROR", "-F", "/dev/null"]
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert run("ssh", *options, "-p", through_port, f"{user}@127.0.0.1", "echo", "hello").strip() == "hello"
    source, target = f"{scratch}/source", f"{scratch}/target"
    digest = random_file(source, size)
    run("scp", "-q", *options, "-P", through_port, f"{user}@127.0.0.1:{source}", target, timeout=600)
    assert digest == digest_of(target)
    settled(warden, 2, ["client.closed", "backend.closed"])


def random_file(path, size):
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        block = os.urandom(4 * MB)
        for n in range(size // len(block)):
            part = n.to_bytes(8, "big") + block[8:]
            f.write(part)
            digest.update(part)
    return digest.hexdigest()


def digest_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def test_curl_from_nginx(through, scratch, server):
    need("curl")
    nginx = shutil.which("nginx", path="/usr/sbin:" + os.environ["PATH"])
    if not nginx:
        pytest.skip("nginx is not installed")
    size = 1024 * MB if os.environ.get("TCPWARDEN_TEST_FULL") == "1" else 64 * MB
    port = free_port()
    digest = random_file(f"{scratch}/big", size)
    os.chmod(f"{scratch}/big", 0o644)
    with open(f"{scratch}/nginx.conf", "w") as f:
        f.write(f"daemon off; master_process off; pid {scratch}/nginx.pid; error_log stderr;\nevents {{ worker_connections 64; }}\n"
                f"http {{ access_log off; client_body_temp_path {scratch}/t1; proxy_temp_path {scratch}/t2; fastcgi_temp_path {scratch}/t3;\n"
                f"uwsgi_temp_path {scratch}/t4; scgi_temp_path {scratch}/t5;\n"
                f"server {{ listen 127.0.0.1:{port}; location / {{ root {scratch}; }} }} }}\n")
    server(nginx, "-c", f"{scratch}/nginx.conf", "-p", scratch, port=port)
    warden = through(f"127.0.0.1:{port}", hooked=True)
    run("curl", "-sS", "--fail", "-o", f"{scratch}/got", f"http://{warden.address}/big", timeout=600)
    assert digest_of(f"{scratch}/got") == digest
    # Cut off in the middle: curl resets or closes over unread bytes, and the release says so.
    subprocess.run(["curl", "-sS", "--limit-rate", "1M", "--max-time", "1", "-o", "/dev/null", f"http://{warden.address}/big"],
                   capture_output=True)
    settled(warden, 2, ["client.closed", "client.reset"])
    assert warden.hooks["hooks"].released()[0].reason == "client.closed"
    assert int(warden.hooks["hooks"].released()[0].bytes_to_client) >= size


@pytest.mark.takes(12)
def test_redis_benchmark(through, scratch, server):
    need("redis-server", "redis-benchmark")
    port = free_port()
    server("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", scratch, port=port)
    warden = through(f"127.0.0.1:{port}", hooked=True)
    out = run("redis-benchmark", "-h", "127.0.0.1", "-p", warden.address.split(":")[1], "-n", 20000, "-c", 50, "-t", "set,get,lrange_100",
              "-d", 1000, "--csv")
    assert out.count("\n") >= 4
    settled(warden, len(warden.hooks["hooks"].runs("acquire")), ["client.closed", "client.reset"])
    assert len(warden.hooks["hooks"].released()) >= 100
