"""What the manual pages list is what there is."""
import os
import re
import subprocess

from daemon import build_directory

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(*path):
    with open(os.path.join(ROOT, *path)) as f:
        return f.read()


def sources():
    for directory, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in files:
            if name.endswith(".c"):
                yield read(directory, name)


def plain(text):
    """mdoc(7) as its reader sees it."""
    words = []
    for line in text.splitlines():
        macro, _, rest = line.partition(" ") if line.startswith(".") else ("", "", line)
        rest = {".Nm": f"tcpwarden {rest}", ".Xr": rest.split(" ")[0]}.get(macro, rest)
        words += rest.split()
    return re.sub(r" ([,.])(?= |$)", r"\1", " ".join(words))


def test_reasons():
    """Each word that a session's end can have now is in tcpwarden(8), with the meaning that the table gives it, and no other."""
    used = set(re.findall(r"\b(?:WHO|HOW|OPERATION)_[A-Z_]+", "".join(sources())))
    table = re.findall(r'^(WHO|HOW|OPERATION)\((\w+), "(\w+)", "(.*)"\)$', read("src", "wire", "reason_table.h"), re.M)
    words = {word: meaning.lower() + "." for kind, name, word, meaning in table if f"{kind}_{name}" in used}
    listed = read("doc", "tcpwarden.8").split(".Ss Reasons")[1].split(".Sh")[0]
    items = re.findall(r"^\.It Li (\w+)\n(.*?)(?=^\.It|^\.El)", listed, re.M | re.S)
    assert {word: plain(meaning).lower() for word, meaning in items} == words


def test_reasons_of_examples():
    """Where a manual page names a reason, both its words are in the table."""
    words = set(re.findall(r'^(?:WHO|HOW)\(\w+, "(\w+)"', read("src", "wire", "reason_table.h"), re.M))
    whos = "client|backend|hook|policy|operator|system"
    for page in ("tcpwarden.8", "tcpwarden.conf.5", "tcpwarden-hooks.7", "tcpwardenctl.1"):
        # "client.linger" in a manual is a setting: .Ic; a reason is .Li or .Ql
        for line in re.findall(r"^\.(?:Pq )?.*\b(?:Li|Ql) .*$", read("doc", page), re.M):
            for how in re.findall(rf"\b(?:{whos})\.(\w+)", line):
                assert how in words, f"{page}: {line}"


def test_exit_statuses():
    """tcpwarden(8) has every status of sysexits.h that the supervisor and the steward's program end with."""
    numbers = {name: int(number) for name, number in re.findall(r"#define (EX_\w+)\s+(\d+)", open("/usr/include/sysexits.h").read())}
    used = {numbers[name] for text in sources() for name in re.findall(r"\bEX_[A-Z]+\b", text)}
    used -= {numbers["EX_IOERR"], numbers["EX_USAGE"], numbers["EX_SOFTWARE"], numbers["EX_TEMPFAIL"]}
    listed = read("doc", "tcpwarden.8").split(".Sh EXIT STATUS")[1].split(".Sh")[0]
    missing = used - {int(number) for number in re.findall(r"^\.It (\d+)$", listed, re.M)}
    assert not missing, missing


def test_settings():
    """tcpwarden.conf(5) has each setting of the one table, and no other."""
    result = subprocess.run([os.path.join(build_directory(), "src", "steward", "steward"), "--settings"], capture_output=True, text=True)
    assert result.returncode == 0
    known = {line.split()[0] for line in result.stdout.splitlines() if line and not line[0].isspace()}
    listed = set(re.findall(r"\.?Ic ([a-z_.]+)", " ".join(re.findall(r"^\.It (Ic .*)$", read("doc", "tcpwarden.conf.5"), re.M))))
    short = {name.removeprefix("services.").replace("[]", "").removeprefix(".") for name in known}
    assert listed - short == set(), listed - short
