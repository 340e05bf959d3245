"""How long `im2im --help` takes beside the least that a typer program with two commands needs.

    python benchmarks/startup.py

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
IM2IM = "import sys; from im2im_core.cli import main; sys.exit(main())"


def seconds(command: list[str]) -> float:
    """Wall-clock time of one run."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return time.perf_counter() - started


def compare(runs: int) -> tuple[float, float]:
    """Median seconds of the bare program and of im2im, in alternating runs after one of each that is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE, encoding="utf-8")
        bare, ours = [sys.executable, str(script), "--help"], [sys.executable, "-c", IM2IM, "--help"]
        seconds(bare), seconds(ours)
        times = [(seconds(bare), seconds(ours)) for _ in range(runs)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="runs of each program")
    bare, ours = compare(parser.parse_args().runs)
    ratio = ours / bare
    print(f"bare typer program --help  {bare * 1000:6.0f} ms")
    print(f"im2im --help               {ours * 1000:6.0f} ms")
    print(f"ratio {ratio:.2f}, limit {LIMIT}: {'held' if ratio <= LIMIT else 'EXCEEDED'}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
