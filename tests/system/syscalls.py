"""Which system calls a process makes, counted by strace(1)."""
import shutil
import subprocess


def available():
    return shutil.which("strace") is not None


def counted(pid, seconds):
    """{name: calls} of so many seconds. The process is slower meanwhile."""
    command = ["timeout", "-s", "INT", str(seconds), "strace", "-q", "-c", "-U", "calls,name", "-p", str(pid)]
    result = subprocess.run(command, capture_output=True, text=True)
    rows = [line.split() for line in result.stderr.splitlines()]
    calls = {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}
    assert "total" in calls, f"strace counted nothing: {result.stderr}"
    del calls["total"]
    return calls
