"""The service manager as a supervisor knows it: a notify socket, and the store of descriptors behind it (sd_notify(3), FDSTORE=1)."""
import array
import collections
import fcntl
import os
import socket
import threading

LISTED = 64  # where what is kept is numbered from, out of the way of what is passed


class Store:
    def __init__(self, path, most=1024):
        self.path, self.most = path, most
        self.said = []                            # all other lines
        self.kept = collections.OrderedDict()     # name: descriptor
        self.refused = 0
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        os.chmod(path, 0o777)
        self.listens = threading.Event()          # cleared: nothing is taken for a while
        self.listens.set()
        self._synced = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            self.listens.wait()
            text, control, _flags, _from = self._socket.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
            fds = array.array("i")
            for level, kind, data in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(data)
            if self._stop:
                return
            with self._lock:
                self._take(text.decode().split("\n"), list(fds))

    def _take(self, lines, fds):
        name = next((line.partition("=")[2] for line in lines if line.startswith("FDNAME=")), "stored")
        if "FDSTORE=1" in lines:
            (fd,) = fds
            if name in self.kept or len(self.kept) >= self.most:
                self.refused += 1
            else:
                self.kept[name] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LISTED)
            os.close(fd)
        elif "FDSTOREREMOVE=1" in lines:
            if name in self.kept:
                os.close(self.kept.pop(name))
        elif lines == ["SYNC"]:
            self._synced.set()
        else:
            self.said.extend(lines)

    def _say(self, text):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(text, self.path)

    def passed(self):
        """What is kept once all that was said so far has been heard, as systemd hears it before it sees a death."""
        self._synced.clear()
        self._say(b"SYNC")
        self._synced.wait()
        with self._lock:
            return dict(self.kept)

    def names(self):
        return list(self.passed())

    def lose(self, word):
        """What of that kind is kept is forgotten. How many that were."""
        self.passed()
        with self._lock:
            lost = [name for name in self.kept if name.startswith(f"tree/{word}/")]
            for name in lost:
                os.close(self.kept.pop(name))
        return len(lost)

    def close(self):
        self._stop = True
        self.listens.set()
        self._say(b"STOP")
        self._thread.join()
        self._socket.close()
        for fd in self.kept.values():
            os.close(fd)
        self.kept.clear()
