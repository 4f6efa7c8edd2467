"""Write requirements.lock: the newest versions that pyproject.toml allows, with everything that they need.

Run by `make lock` with the oldest supported Python, so that each pin exists for the newer ones too. Packages that
only Windows or macOS need are found by their environment markers and pinned with the marker.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("lab", "test", "atari", "cluster", "games")
# The version whose numerical behaviour the tests describe. A newer one is a decision, not an update.
FIXED = ["torch==2.13.0"]
SKIPPED = ("nvidia-", "cuda-", "triton")  # what a GPU build of torch brings; pip adds it where it is needed
ELSEWHERE = {
    "win32": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    "darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
}
WHEELS = {"win32": "win_amd64", "darwin": "macosx_14_0_arm64"}
HEADER = """\
# Exact versions for `make lab` and `make test` (extras lab, test, atari, cluster, games), Python 3.11 to 3.13.
# Written by `make lock`; change pyproject.toml, not this file. Install torch first: tools/bootstrap.py does.
"""


def name_of(text: str) -> str:
    return text.lower().replace("_", "-").replace(".", "-")


def resolve(python: str, *arguments: str) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", report]
        # The first release of this Python: some packages want a later one (pip takes 3.11 to mean 3.11.0).
        oldest = ["--python-version", "{}.{}".format(*sys.version_info), "--only-binary=:all:", "--target", folder]
        subprocess.run([*command, *oldest, *arguments], check=True)
        return [item["metadata"] for item in json.loads(report.read_text())["install"]]


def needed_elsewhere(python: str, found: list[dict]) -> list[str]:
    """Pins, with markers, of what the found packages need on other systems only."""
    from pip._vendor.packaging.requirements import Requirement

    pins, known = {}, {name_of(item["name"]) for item in found}
    for system, environment in ELSEWHERE.items():
        for item in found:
            for text in item.get("requires_dist", []):
                need = Requirement(text)
                name = name_of(need.name)
                if name in known or need.marker is None or not need.marker.evaluate({**environment, "extra": ""}):
                    continue
                wanted = f"{need.name}{need.specifier}"
                (metadata,) = resolve(python, "--no-deps", "--platform", WHEELS[system], wanted)
                pins[name, system] = f'{metadata["name"]}=={metadata["version"]} ; sys_platform == "{system}"'
    return list(pins.values())


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = project["project"]["requires-python"].removeprefix(">=")
    if "{}.{}".format(*sys.version_info) != oldest:
        sys.exit(
            f"gmrl_lab: the lock is made with Python {oldest}, the oldest supported: make lock PYTHON=python{oldest}"
        )
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], *FIXED]
    for extra in EXTRAS:
        wanted += project["project"]["optional-dependencies"][extra]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        print(f"Resolving {len(wanted)} requirements (a minute or two) ...", flush=True)
        found = [item for item in resolve(python, *wanted) if not name_of(item["name"]).startswith(SKIPPED)]
        pins = [f"{item['name']}=={item['version'].partition('+')[0]}" for item in found]
        pins += needed_elsewhere(python, found)
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(sorted(pins, key=name_of)) + "\n")
    print(f"requirements.lock: {len(pins)} packages.")


if __name__ == "__main__":
    main()
