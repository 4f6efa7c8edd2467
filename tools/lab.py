"""Start JupyterLab on the first lesson and print its address. Run by `make lab`; settings come from its variables.

PORT: the port to use (empty: the first free one from 8888). BROWSER=0: do not open a browser.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            sys.exit(f"gmrl_lab: port {port} is reserved for the system; choose one from 1024 to 65535.")
        except OSError:
            return False
    return True


def choose_port(wanted: str) -> int:
    if not wanted:
        return next((port for port in range(8888, 8988) if is_free(port)), 0) or sys.exit(
            "gmrl_lab: no free port from 8888 to 8987; name one with make lab PORT=..."
        )
    if not wanted.isdecimal() or not 1 <= int(wanted) <= 65535:
        sys.exit(f"gmrl_lab: PORT={wanted} is not a port; choose a number from 1024 to 65535.")
    if not is_free(int(wanted)):
        sys.exit(
            f"gmrl_lab: port {wanted} is taken, perhaps by a JupyterLab that is still running (close it with Ctrl-C in "
            f"its terminal). Choose another port with make lab PORT={int(wanted) % 65535 + 1}, or leave PORT out: a "
            "free one is then found."
        )
    return int(wanted)


def announce(server: subprocess.Popen[bytes], port: int, url: str) -> None:
    """Print the address once the server answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while server.poll() is None:
        try:
            opener.open(f"http://{HOST}:{port}/api", timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            print(f"\n  The lessons are open at\n\n    {url}\n\n  Ctrl-C here stops them.\n", flush=True)
            return


def main() -> int:
    port = choose_port(os.environ.get("PORT", "").strip())
    first = ROOT / "notebooks" / "00_start_here.ipynb"
    target = first if first.exists() else ROOT / "notebooks"
    first.parent.mkdir(exist_ok=True)
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    page = target.relative_to(ROOT).as_posix()
    print(f"Starting JupyterLab on port {port} (a few seconds) ...", flush=True)
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        f"--LabApp.default_url=/lab/tree/{page}",
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={ROOT}",
        "--Application.log_level=ERROR",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if os.environ.get("BROWSER", "").strip().lower() in ("0", "no", "false", "off"):
        command.append("--no-browser")
    # No terminal on its standard input: Ctrl-C stops the server at once, without a question that make would cut off.
    env = dict(os.environ, JUPYTER_TOKEN=token)
    # Threads that sleep while they wait: on a busy machine, spinning ones make PyTorch's small operations crawl.
    env.setdefault("OMP_WAIT_POLICY", "passive")
    server = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    url = f"http://{HOST}:{port}/lab/tree/{page}?token={token}"
    threading.Thread(target=announce, args=(server, port, url), daemon=True).start()
    code = server.wait()
    if code:
        print(f"gmrl_lab: JupyterLab ended with code {code}; what it wrote is above.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
