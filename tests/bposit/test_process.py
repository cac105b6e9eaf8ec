"""The `bposit` command as a process of its own: pipes, signals, colours, imports."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "bposit"]


def run(*args: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    unset = {"NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "COLUMNS"}
    plain = {k: v for k, v in os.environ.items() if k not in unset} | {"TERM": "xterm"}
    return subprocess.run(
        [*COMMAND, *args],
        cwd=cwd,
        env={**plain, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_script_and_module_are_the_same_command(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("bposit")
    if not script.exists():
        pytest.skip("the package is not installed with its scripts")
    found = subprocess.run(
        [script, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == run("--version", cwd=tmp_path).stdout


def test_colour_only_where_it_is_wanted(tmp_path: Path) -> None:
    plain = run("show", "1/3", cwd=tmp_path)
    assert (plain.returncode, plain.stderr) == (0, "")
    assert "\x1b" not in plain.stdout
    forced = run("show", "1/3", cwd=tmp_path, FORCE_COLOR="1")
    for colour in ("31", "33", "94", "32"):  # sign, regime, exponent, fraction
        assert f"\x1b[1;{colour}m" in forced.stdout
    refused = run("show", "1/3", cwd=tmp_path, FORCE_COLOR="1", NO_COLOR="1")
    assert not any(f"\x1b[1;{colour}m" in refused.stdout for colour in ("31", "33", "94", "32"))


def test_where_only_ascii_can_be_written(tmp_path: Path) -> None:
    found = run("show", "1/3", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.isascii()
    assert "341/1024" in found.stdout


def test_bad_input_leaves_no_traceback(tmp_path: Path) -> None:
    found = run("dot", "missing.npy", "missing.npy", cwd=tmp_path)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr == "bposit: missing.npy: No such file or directory\n"


@pytest.mark.parametrize("args", [("--format", "12,6,5"), ("--format", "12,6,5", "--csv")])
def test_a_closed_pipe_is_silent(args: tuple[str, ...], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "table", *args], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [*COMMAND, "table", "--csv"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert found.returncode == 1
    assert found.stderr == "bposit: cannot write the output: No space left on device\n"


def _heed_interrupts() -> None:
    """Background jobs of a shell start with SIGINT ignored, and would hand that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_interruption_exits_with_130(tmp_path: Path) -> None:
    fifo = tmp_path / "slow.npy"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "bposit", "dot", fifo, fifo]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_heed_interrupts
    ) as process:
        try:
            writer = os.open(fifo, os.O_WRONLY)  # returns once the command has opened its end
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            os.close(writer)
        finally:
            process.kill()
    assert process.returncode == 130
    assert (out, err) == (b"", b"")


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import bposit", {"torch", "numba", "numpy", "posit", "quire", "rich", "typer"}),
        ("import bposit.cli", {"torch", "numba", "numpy", "posit", "quire"}),
        (
            "from bposit import show, formats, table, product",
            {"torch", "numba", "typer", "matplotlib", "sklearn"},
        ),
    ],
)
def test_imports_stay_light(statement: str, absent: set[str], tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert not absent & set(found.stdout.split())
