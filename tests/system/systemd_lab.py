"""A real systemd as process 1 of a throw-away container: namespaces, an overlay over this machine's files, and nothing else.

Needs root, util-linux, iproute2, systemd and dbus. All that the container writes lies in a tmpfs of its own mount namespace, so that
nothing is left even if it is killed. What is not namespaced (/sys, /proc/sys without net) is read-only inside: a systemd that
boots would set the machine's own fs.file-max."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BOOT_DEADLINE = 60.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", "container": "tcpwarden-lab"}

# Units that would touch the machine, or wait for what the container does not have.
MASKED = """systemd-sysctl.service systemd-modules-load.service modprobe@.service systemd-udevd.service systemd-udev-trigger.service
systemd-hwdb-update.service systemd-remount-fs.service systemd-update-utmp.service systemd-update-utmp-runlevel.service
systemd-timesyncd.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-kernel-debug.mount
sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount getty.target console-getty.service rc-local.service
ldconfig.service systemd-networkd-wait-online.service network-online.target systemd-journald-audit.socket""".split()


def why_not():
    """Why there can be no container here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("/lib/systemd/systemd", "/usr/bin/dbus-daemon"):
        if not os.path.exists(program):
            return f"needs {program}"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode:
        return "namespaces cannot be made here"
    return None


class SystemdLab:
    """with SystemdLab() as lab: lab.run("systemctl", "status")"""

    def __init__(self):
        self.state = tempfile.mkdtemp(prefix="tcpwarden-lab-")
        self.pid = None
        self.outer = None

    def __enter__(self):
        self.outer = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", sys.executable, os.path.abspath(__file__), "outer", self.state],
            stdin=subprocess.DEVNULL, stdout=open(f"{self.state}/log", "a"), stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self._wait(lambda: os.path.exists(f"{self.state}/pid"), "no process 1")
            with open(f"{self.state}/pid") as f:
                self.pid = int(f.read())
            self._wait(lambda: os.path.exists(f"/proc/{self.pid}/root/run/systemd/private"), "systemd does not answer")
            state = self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
            if state not in ("running", "degraded"):
                raise AssertionError(f"the container is {state}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self, fact, what):
        end = time.monotonic() + BOOT_DEADLINE
        while not fact():
            if time.monotonic() > end or self.outer.poll() is not None:
                with open(f"{self.state}/log") as f:
                    raise AssertionError(f"{what}: {f.read()}")
            time.sleep(0.02)

    def __exit__(self, *_):
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGRTMIN + 4)  # systemd(1): power off
                self.outer.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        if self.outer.poll() is None:
            # Whoever is process 1 of a pid namespace takes all of it along.
            if self.pid:
                try:
                    os.kill(self.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            else:
                self.outer.kill()
            self.outer.wait(BOOT_DEADLINE)
        self._remove_cgroup()
        shutil.rmtree(self.state, ignore_errors=True)

    def _remove_cgroup(self):
        """The hierarchy is the machine's: what was made there is taken away again, deepest first."""
        script = ('mount -t cgroup2 cgroup2 "$1/cg" && cd "$1/cg" && d=$2 && [ ! -d "$d" ] || { echo 1 >"$d/cgroup.kill" 2>/dev/null; '
                  'for i in 1 2 3 4 5 6 7 8 9 10; do find "$d" -depth -type d -exec rmdir {} + 2>/dev/null; [ -d "$d" ] || break; '
                  'sleep 0.1; done; }')
        subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", self.state,
                        os.path.basename(self.state)], capture_output=True)

    def command(self, *words):
        # In its init.scope, not in our cgroup; then the program itself.
        return ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--", "env", "-i",
                *(f"{k}={v}" for k, v in INSIDE.items()), "sh", "-c",
                'echo 0 >/sys/fs/cgroup/init.scope/cgroup.procs 2>/dev/null; cd / && exec "$@"', "sh", *map(str, words)]

    def run(self, *words, check=True, timeout=60, **more):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=timeout,
                              **({"stdin": subprocess.DEVNULL} if "input" not in more else {}), **more)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, words))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *words, **more):
        return subprocess.Popen(self.command(*words), **more)

    def write(self, path, text):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "sh", path, input=text)

    def install(self, tree):
        """Copies a DESTDIR over the container's root."""
        archive = subprocess.Popen(["tar", "-C", tree, "--owner=0", "--group=0", "-cf", "-", "."], stdout=subprocess.PIPE)
        done = subprocess.run(self.command("tar", "-C", "/", "--keep-directory-symlink", "--no-overwrite-dir", "-xf", "-"),
                              stdin=archive.stdout, capture_output=True, text=True)
        if archive.wait() or done.returncode:
            raise AssertionError(f"tar: {done.stderr}")


# What follows runs in the namespaces, before systemd does.

def sh(*words):
    subprocess.run(words, check=True)


def enter_cgroup_and_overlay(state):
    for name in ("cg", "work", "root"):
        os.makedirs(f"{state}/{name}", exist_ok=True)
    sh("mount", "-t", "cgroup2", "cgroup2", f"{state}/cg")
    group = f"{state}/cg/{os.path.basename(state)}"
    os.makedirs(group, exist_ok=True)
    with open(f"{group}/cgroup.procs", "w") as f:
        f.write(str(os.getpid()))
    sh("mount", "-t", "tmpfs", "-o", "mode=755,size=2g", "lab", f"{state}/work")
    os.makedirs(f"{state}/work/upper")
    os.makedirs(f"{state}/work/work")
    sh("mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={state}/work/upper,workdir={state}/work/work", "overlay", f"{state}/root")
    os.execvp("unshare", ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup", "--net", sys.executable,
                          os.path.abspath(__file__), "inner", state])


def mount_kernel_trees(root):
    safe = "nosuid,nodev,noexec"
    sh("mount", "-t", "proc", "-o", safe, "proc", f"{root}/proc")
    # Order matters: net first gets a mount of its own, which stays writable when what is around it becomes read-only.
    sh("mount", "--bind", f"{root}/proc/sys", f"{root}/proc/sys")
    sh("mount", "--bind", f"{root}/proc/sys/net", f"{root}/proc/sys/net")
    sh("mount", "-o", f"remount,bind,ro,{safe}", f"{root}/proc/sys")
    for name in ("sysrq-trigger", "kcore", "irq", "bus", "fs"):
        if os.path.exists(f"{root}/proc/{name}"):
            sh("mount", "--bind", f"{root}/proc/{name}", f"{root}/proc/{name}")
            sh("mount", "-o", f"remount,bind,ro,{safe}", f"{root}/proc/{name}")
    sh("mount", "-t", "sysfs", "-o", f"ro,{safe}", "sysfs", f"{root}/sys")
    sh("mount", "-t", "cgroup2", "-o", safe, "cgroup2", f"{root}/sys/fs/cgroup")


def mount_devices(root):
    dev = f"{root}/dev"
    sh("mount", "-t", "tmpfs", "-o", "mode=755,nosuid,noexec,size=4m", "dev", dev)
    os.umask(0)
    for name, major, minor in (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)):
        os.mknod(f"{dev}/{name}", 0o020666, os.makedev(major, minor))
    os.umask(0o022)
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")
    sh("mount", "-t", "devpts", "-o", "newinstance,nosuid,noexec,ptmxmode=0666,mode=620,gid=5", "devpts", f"{dev}/pts")
    sh("mount", "-t", "tmpfs", "-o", "mode=1777,nosuid,nodev", "shm", f"{dev}/shm")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"{dev}/{name}")
    sh("mount", "-t", "tmpfs", "-o", "mode=755,nosuid,nodev", "run", f"{root}/run")
    sh("mount", "-t", "tmpfs", "-o", "mode=1777,nosuid,nodev,size=1g", "tmp", f"{root}/tmp")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def make_identity(root):
    with open("/proc/sys/kernel/random/uuid") as f:
        write(f"{root}/etc/machine-id", f.read().replace("-", ""))
    write(f"{root}/etc/hostname", "lab\n")
    write(f"{root}/etc/hosts", "127.0.0.1 localhost lab\n::1 localhost\n")
    write(f"{root}/etc/fstab", "")
    if os.path.exists(f"{root}/usr/sbin/policy-rc.d"):
        os.unlink(f"{root}/usr/sbin/policy-rc.d")
    # None of the units that this machine has enabled, and none of its generators.
    shutil.rmtree(f"{root}/etc/systemd/system", ignore_errors=True)
    os.makedirs(f"{root}/etc/systemd/system")
    for unit in MASKED:
        os.symlink("/dev/null", f"{root}/etc/systemd/system/{unit}")
    os.symlink("/lib/systemd/system/multi-user.target", f"{root}/etc/systemd/system/default.target")
    os.makedirs(f"{root}/etc/systemd/system-generators", exist_ok=True)
    for name in os.listdir(f"{root}/lib/systemd/system-generators"):
        if not os.path.lexists(f"{root}/etc/systemd/system-generators/{name}"):
            os.symlink("/dev/null", f"{root}/etc/systemd/system-generators/{name}")
    shutil.rmtree(f"{root}/var/log/journal", ignore_errors=True)
    write(f"{root}/etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=volatile\nRateLimitBurst=0\n")
    write(f"{root}/etc/systemd/system.conf.d/lab.conf", "[Manager]\nShowStatus=no\n")


def become_process_1(state):
    root = f"{state}/root"
    number = os.readlink("/proc/self")  # still the machine's /proc: our number there
    mount_kernel_trees(root)
    mount_devices(root)
    make_identity(root)
    sh("hostname", "lab")
    sh("ip", "link", "set", "lo", "up")
    write(f"{state}/pid.new", number)
    os.rename(f"{state}/pid.new", f"{state}/pid")
    os.makedirs(f"{root}/run/old")
    os.chdir(root)
    sh("pivot_root", ".", "run/old")
    os.chroot(".")
    os.chdir("/")
    sh("umount", "-l", "/run/old")
    os.rmdir("/run/old")
    os.execve("/usr/bin/setpriv", ["setpriv", "--bounding-set=-sys_module,-sys_rawio,-sys_time,-mac_admin,-mac_override,-syslog",
                                   "--inh-caps=-all", "/lib/systemd/systemd", "--system"], INSIDE)


if __name__ == "__main__":
    {"outer": enter_cgroup_and_overlay, "inner": become_process_1}[sys.argv[1]](sys.argv[2])
