"""Self-checking benches, which read what ``bposit vectors gen`` writes."""

from __future__ import annotations

from ..vectors import Task
from .text import filled, head

__all__ = ["clocked", "plain"]


def _columns(task: Task, names: tuple[str, ...], of: str, prefix: str = "") -> list[str]:
    """A wire for each named column of a vector."""
    place, lines = sum(4 * c.digits for c in task.columns), []
    for column in task.columns:
        place -= 4 * column.digits
        if column.name in names:
            bits = f"[{place + column.bits - 1}:{place}]"
            lines.append(f"    wire [{column.bits - 1}:0] {prefix}{column.name} = {of}{bits};")
    return lines


def _outputs(task: Task, answers: dict[str, str], module: str, count: int) -> dict[str, object]:
    """Places that both kinds of bench have; ``answers``: output ports to what they must equal."""
    bits = {c.name: c.bits for c in task.outputs}
    width = sum(4 * c.digits for c in task.columns)
    names = list(answers)
    return {
        "head": head(f"{module}_tb", f"a bench for {module}", task.spec),
        "module": module,
        "count": count,
        "vectors": f"{module}.hex",
        "width": width,
        "top": width - 1,
        "wires": "\n".join(f"    wire [{bits.get(want, 1) - 1}:0] got_{x};" for x, want in answers.items()),
        "agree": " && ".join(f"got_{x} === {want}" for x, want in answers.items()),
        "formats": ", ".join(f"{x} %h" for x in names),
        "got": ", ".join(f"got_{x}" for x in names),
    }


def _ports(task: Task, answers: dict[str, str], fixed: dict[str, str]) -> str:
    given = {c.name: c.name for c in task.inputs} | fixed
    ports = [f".{name}({value})" for name, value in given.items()]
    return ", ".join([*ports, *(f".{x}(got_{x})" for x in answers)])


def plain(module: str, task: Task, answers: dict[str, str], count: int) -> str:
    """For a combinational unit whose input ports are the task's columns."""
    places = _outputs(task, answers, module, count)
    names = (*(c.name for c in task.inputs), "flags", *answers.values())
    columns = "\n".join(_columns(task, names, "vector"))
    return filled("bench_plain", **places, columns=columns, ports=_ports(task, answers, {}))


def clocked(
    module: str, task: Task, answers: dict[str, str], count: int, fixed: dict[str, str]
) -> str:
    """For a unit with a handshake at either side."""
    places = _outputs(task, answers, module, count)
    operands = "\n".join(_columns(task, tuple(c.name for c in task.inputs), "given"))
    columns = "\n".join(_columns(task, ("flags", *answers.values()), "vector"))
    return filled(
        "bench_clocked", **places, operands=operands, columns=columns,
        ports=_ports(task, answers, fixed),
    )  # fmt: skip
