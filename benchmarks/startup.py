"""How long `im2im --help` takes beside the least that a typer program with two commands needs.

    python benchmarks/startup.py
    python benchmarks/startup.py --plugins 20

With --plugins, so many small ones are there too, and `im2im list` is timed beside itself without them.

Both run in fresh processes, in turns, so that a busy machine slows both; medians are compared. Exits with 1 above the
limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.5
BARE = '''
import typer

app = typer.Typer(name="bare", pretty_exceptions_enable=False)


@app.command()
def one() -> None:
    """First."""


@app.command()
def two() -> None:
    """Second."""


app()
'''
PLUGIN = """
from im2im_core import Loss, hookimpl

IM2IM_API = 1


@hookimpl
def im2im_losses():
    yield Loss(name="NAME", summary="one of many", factory=lambda config: None)
"""
IM2IM = "import sys; from im2im_core.cli import main; sys.exit(main())"


def seconds(command: list[str], path: str = "") -> float:
    """Wall-clock time of one run."""
    started = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - started


def install(folder: Path, count: int) -> None:
    """Plug-ins with their metadata, as pip leaves them."""
    for number in range(count):
        name = f"many-{number}"
        (folder / f"many_{number}.py").write_text(PLUGIN.replace("NAME", name), encoding="utf-8")
        metadata = folder / f"im2im_many_{number}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: im2im-{name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[im2im]\n{name} = many_{number}\n")


def compare(runs: int, plugins: int) -> dict[str, float]:
    """Median seconds of programs that take turns, after one run of each that is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE, encoding="utf-8")
        install(Path(folder), plugins)
        programs = {
            "bare typer program --help": ([sys.executable, str(script), "--help"], ""),
            "im2im --help": ([sys.executable, "-c", IM2IM, "--help"], folder),
        }
        if plugins:
            programs["im2im list"] = ([sys.executable, "-c", IM2IM, "list"], "")
            programs["im2im list, all plug-ins"] = ([sys.executable, "-c", IM2IM, "list"], folder)
        for program in programs.values():
            seconds(*program)
        times = [{name: seconds(*program) for name, program in programs.items()} for _ in range(runs)]
    return {name: statistics.median(taken[name] for taken in times) for name in programs}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="runs of each program")
    parser.add_argument("--plugins", type=int, default=0, help="plug-ins to add to those installed")
    arguments = parser.parse_args()
    medians = compare(arguments.runs, arguments.plugins)
    for name, median in medians.items():
        print(f"{name:28} {median * 1000:6.0f} ms")
    bare, ours, *listed = medians.values()
    ratio = ours / bare
    print(f"ratio {ratio:.2f}, limit {LIMIT}: {'held' if ratio <= LIMIT else 'EXCEEDED'}")
    if listed:
        print(f"list with {arguments.plugins} plug-ins more: {listed[1] / listed[0]:.2f} times as long")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
