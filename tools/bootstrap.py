"""Make `.venv` from requirements.lock, once; repair it where an earlier set-up was cut short.

Run by every target of the Makefile, and by hand on a machine without make: `python tools/bootstrap.py`.
Standard library only, and no syntax newer than Python 2.7, so that an old Python reaches the message below.

`.venv/.gmrl-setup` holds one of three words, and the folder: "busy" while something is being installed (found by a
later run, it means that the set-up was killed: rebuild), "partial" after an orderly failure (resume), or the key of a
finished one. Another folder means that .venv was moved, which its scripts do not survive: rebuild.
"""

from __future__ import print_function

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "gmrl_lab needs Python 3.11 or newer, and {0} is Python {1}.{2}. Install a newer Python (3.11 to 3.13 will "
        "do), then name it if it is not found by itself: make lab PYTHON=python3.11".format(
            sys.executable, sys.version_info[0], sys.version_info[1]
        )
    )

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STATE = os.path.join(VENV, ".gmrl-setup")
LOCK = os.path.join(ROOT, "requirements.lock")
PYTHON = os.path.join(VENV, "Scripts", "python.exe") if os.name == "nt" else os.path.join(VENV, "bin", "python")
NEEDED_GB = 2.5
BUSY, PARTIAL = "busy", "partial"

DISK_FULL = re.compile(r"No space left on device|Errno 28|WinError 112|Disk quota exceeded")
NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectionError|Max retries|Retrying \(|timed out|name resolution|getaddrinfo"
    r"|Network is unreachable|ProxyError|SSLError|CERTIFICATE_VERIFY|HTTP error|IncompleteRead"
    r"|Connection (reset|aborted|refused)"
)
NO_BUILD = re.compile(r"No matching distribution found for (\S+)")


def say(text):
    print(text, flush=True)


def fail(text):
    print("\ngmrl_lab: " + text, file=sys.stderr, flush=True)
    sys.exit(1)


def key():
    """What a finished `.venv` was made from."""
    digest = hashlib.sha256()
    for name in ("requirements.lock", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def read_state():
    """The word and the folder; two times nothing where `.venv` is absent, or not made here."""
    try:
        with open(STATE) as file:
            return (file.read().splitlines() + ["", ""])[:2]
    except OSError:
        return ["", ""]


def finished():
    return read_state() == [key(), ROOT] and works()


def write_state(word):
    with open(STATE + ".new", "w") as file:
        file.write(word + "\n" + ROOT + "\n")
    os.replace(STATE + ".new", STATE)


def works():
    """Does `.venv` hold a Python that is new enough, with pip, made for this folder?"""
    try:
        command = [PYTHON, "-I", "-c", "import pip, sys; print(sys.version_info >= (3, 11), sys.prefix)"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split(None, 1)
    except (OSError, subprocess.SubprocessError):
        return False
    return len(answer) == 2 and answer[0] == "True" and os.path.realpath(answer[1].strip()) == os.path.realpath(VENV)


def hold_lock():
    """One set-up at a time. pip inherits the lock, so an orphan of a killed set-up holds it until it ends."""
    try:
        import fcntl
    except ImportError:
        return None
    file = open(os.path.abspath(__file__))  # noqa: SIM115 (held until the process ends)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another set-up is running in this folder; waiting for it to end ...")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks
    os.set_inheritable(file.fileno(), True)
    return file


def make_venv():
    version = "{0}.{1}".format(*sys.version_info[:2])
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        fail(
            "this Python ({0}) has no '{1}' module, which makes virtual environments. On Debian and Ubuntu: "
            "sudo apt install python{2}-venv. Or name another Python: make lab PYTHON=/path/to/python3.11. "
            "Then run the same command again.".format(sys.executable, error.name, version)
        )
    say("[1/4] Making .venv with Python {0} ...".format(version))
    try:
        os.makedirs(VENV, exist_ok=True)
        write_state(BUSY)
        done = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True)
    except OSError as error:
        fail(explain("making .venv", str(error)))
    if done.returncode:
        fail(explain("making .venv", done.stdout + done.stderr))


def ready_venv():
    """A `.venv` that pip can install into: a new one, the old one, or one in place of a half-made one."""
    word, folder = read_state()
    if os.path.lexists(VENV):
        if word == BUSY:
            say("An earlier set-up was cut short; rebuilding .venv (finished downloads are kept by pip).")
        elif not works() or folder not in ("", ROOT):
            say("The .venv here does not work (moved, half-made, or its Python is gone); rebuilding it.")
        else:
            write_state(BUSY)
            return
        try:
            if os.path.islink(VENV) or not os.path.isdir(VENV):
                os.remove(VENV)
            else:
                shutil.rmtree(VENV)
        except OSError as error:
            fail("cannot remove the old .venv ({0}). Remove the folder by hand, then run this again.".format(error))
    make_venv()


def explain(what, output):
    """One paragraph on why a step failed, from what pip wrote."""
    missing = NO_BUILD.search(output)
    again = " Run the same command again to resume: finished downloads are kept by pip."
    if DISK_FULL.search(output):
        return (
            "{0} failed: the disk is full. About {1} GB are needed in {2} and some room in the folder for temporary "
            "files (TMPDIR) and for pip's cache.".format(what, NEEDED_GB, ROOT)
            + again
        )
    if NO_NETWORK.search(output):
        return (
            "{0} failed: the package index cannot be reached, or the connection broke off. Check the network (and "
            "the proxy: HTTPS_PROXY). The usual pip settings (pip config, PIP_INDEX_URL, PIP_FIND_LINKS) can point to "
            "another index, and TORCH_INDEX to another one for torch.".format(what)
            + again
        )
    if missing:
        return (
            "{0} failed: no build of {1} for this Python ({2}.{3}) and machine at the package index in use. Python "
            "3.11 to 3.13 on 64-bit Linux, Windows or Apple silicon should find one: try another one (make clean, then "
            "make lab PYTHON=python3.11), or check the index that pip's settings and TORCH_INDEX name.".format(
                what, missing.group(1), sys.version_info[0], sys.version_info[1]
            )
        )
    if "Permission denied" in output or "Errno 13" in output:
        return "{0} failed: no permission to write there. Is {1} yours?".format(what, ROOT) + again
    return "{0} failed; its last words are above.".format(what) + again


def installed():
    """The names of the installed packages' records, such as torch-2.13.0.dist-info."""
    for folder, names, _ in os.walk(VENV):
        if os.path.basename(folder) == "site-packages":
            return [name for name in names if name.endswith(".dist-info")]
    return []


class Progress(object):
    """A line that moves: the time, how many packages are in place, what pip does. No terminal: a line every 5 s."""

    def __init__(self, total):
        self.total, self.word, self.started, self.tty = total, "starting", time.time(), sys.stdout.isatty()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.wait(0.5 if self.tty else 5):
            line = "      {0:3.0f} s, {1} of about {2} packages: {3}".format(
                time.time() - self.started, len(installed()), self.total, self.word
            )
            print("\r\033[K" + line[:100] if self.tty else line[:100], end="" if self.tty else "\n", flush=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.tty:
            print("\r\033[K", end="", flush=True)


def pip(what, arguments, total=0):
    """Run pip. With a total the output is boiled down to one moving line; else pip shows its own progress bars."""
    env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_USER="0", PYTHONUNBUFFERED="1")
    env.pop("PIP_TARGET", None)
    env.pop("PIP_PREFIX", None)
    command = [PYTHON, "-I", "-m", "pip", "install"] + arguments
    words = []

    def listen(stream, progress):
        for line in stream:
            words.append(line)
            if progress is None:
                print(line, end="", file=sys.stderr, flush=True)
            elif line.startswith(("Collecting", "Downloading", "  Downloading", "Using cached", "Installing")):
                progress.word = "installing" if line.startswith("Inst") else " ".join(line.split()[:2])
            elif "Retrying" in line:
                progress.word = "the connection fails; trying again"

    write_state(BUSY)
    try:
        if total:
            process = subprocess.Popen(
                command + ["--progress-bar", "off"],
                env=env,
                text=True,
                errors="replace",
                close_fds=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            with Progress(total) as progress:
                listen(process.stdout, progress)
        else:
            process = subprocess.Popen(
                command,
                env=env,
                text=True,
                errors="replace",
                close_fds=False,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            listen(process.stderr, None)
        code = process.wait()
    except OSError as error:
        fail(explain(what, str(error)))
    if code == 0:
        return
    if code > 0:  # pip ended in good order and rolled back: what is installed is whole
        write_state(PARTIAL)
    if total:
        sys.stderr.write("".join(words[-12:]))
    if code < 0:
        fail("{0} was stopped by signal {1} (by hand, or because memory ran out). Run this again.".format(what, -code))
    fail(explain(what, "".join(words)))


def install_torch(torch):
    """First and alone: another package would otherwise pull the newest build.

    Without the lock as constraints: a wheel index seldom holds the exact versions of torch's own dependencies, which
    get their pins in the next step.
    """
    index = os.environ.get("TORCH_INDEX", "").strip()
    say("[2/4] Installing {0}{1} ...".format(torch, " from TORCH_INDEX" if index else ""))
    if not index and sys.platform == "linux":
        say("      (TORCH_INDEX, if set to a wheel index of CPU builds, saves several GB of GPU libraries.)")
    pip("installing torch", (["--index-url", index] if index else []) + [torch])


def install():
    with open(LOCK) as file:
        pins = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    torch = [pin for pin in pins if re.match(r"torch==", pin)][0]
    if not any(re.match(torch.replace("==", "-") + r"(\+\w+)?\.dist-info", name) for name in installed()):
        install_torch(torch)
    say("[3/4] Installing the other {0} packages of requirements.lock (a minute or two) ...".format(len(pins) - 1))
    pip("installing the packages of requirements.lock", ["-r", LOCK], total=len(pins) + 2)
    say("[4/4] Installing gmrl_lab itself ...")
    # "compat" is a plain path: a folder named gmrl_lab beside somebody's script then cannot hide the package.
    as_path = ["--config-settings", "editable_mode=compat"]
    pip("installing gmrl_lab", ["--quiet", "--no-deps", "--no-build-isolation"] + as_path + ["-e", ROOT])
    quiet_jupyter()


def quiet_jupyter():
    """No question about news in JupyterLab: it would ask another host."""
    folder = os.path.join(VENV, "etc", "jupyter", "labconfig")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "page_config.json"), "w") as file:
        json.dump({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}, file)


def main():
    if finished():
        return
    lock = hold_lock()
    if finished():  # made by the set-up that we waited for
        return
    started = time.time()
    say("Setting up gmrl_lab in {0} (a few minutes the first time).".format(VENV))
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB and not os.path.exists(PYTHON):
        say("Only {0:.1f} GB are free on this disk; the set-up needs about {1} GB.".format(free, NEEDED_GB))
    ready_venv()
    install()
    write_state(key())
    say("gmrl_lab is set up in .venv ({0:.0f} s).".format(time.time() - started))
    del lock


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("set-up stopped. Run the same command again to go on.")
    except OSError as error:
        fail(explain("the set-up", str(error)))
