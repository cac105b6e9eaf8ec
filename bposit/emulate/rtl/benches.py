"""Self-checking benches, which read what ``bposit vectors gen`` writes."""

from __future__ import annotations

from ..vectors import Task
from .text import filled, head

__all__ = ["clocked", "element", "plain"]

_MOST_SHOWN = 8192  # bits; Verilator refuses to compile more
# how a vector is given, when a and b are valid, when b is the vector's, and the ports that only
# this dataflow has
_MANNERS = {
    "os": (
        "what begins a sum moves a 0 in first,\n// others at times the sum so far; "
        "in between, one operand is valid without the other.",
        "(phase == 2'd1) | random[3]",
        "(phase == 2'd1) | ~random[3]",
        "phase == 2'd1",
        ".move((phase == 2'd0) & (begins | random[4])),\n        "
        ".sum_in(begins ? {width}'b0 : got_sum), .nar_in(~begins & got_nar)",
    ),
    "ws": (
        "first the weight is loaded, then a comes with\n// the sum so far.",
        "phase == 2'd1",
        "phase == 2'd0",
        "phase == 2'd0",
        ".load(phase == 2'd0), .sum_in(begins ? {width}'b0 : got_sum), .nar_in(~begins & got_nar)",
    ),
}


def _columns(task: Task, names: tuple[str, ...], of: str) -> list[str]:
    """A wire for each named column of a vector."""
    place, lines = sum(4 * c.digits for c in task.columns), []
    for column in task.columns:
        place -= 4 * column.digits
        if column.name in names:
            bits = f"[{place + column.bits - 1}:{place}]"
            lines.append(f"    wire [{column.bits - 1}:0] {column.name} = {of}{bits};")
            if column.name == "flags":
                lines.append("    wire unused = &{1'b0, flags};")
    return lines


def _wanted(answers: dict[str, str]) -> tuple[str, ...]:
    """The columns that answers are compared with."""
    return tuple({want.partition("[")[0]: None for want in answers.values()})


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
        "wires": "\n".join(
            f"    wire [{bits.get(want, 1) - 1}:0] got_{x};" for x, want in answers.items()
        ),
        "agree": " && ".join(f"got_{x} === {want}" for x, want in answers.items()),
        "formats": ", ".join(f"{x} %h" for x in names),
        "got": ", ".join(_shown(f"got_{x}", bits.get(want, 1)) for x, want in answers.items()),
        "shown": _shown("vector", width),
    }


def _shown(name: str, width: int) -> str:
    """The bits of a value that Verilator can print."""
    return name if width <= _MOST_SHOWN else f"{name}[{_MOST_SHOWN - 1}:0]"


def _ports(task: Task, answers: dict[str, str], fixed: dict[str, str]) -> str:
    given = {c.name: c.name for c in task.inputs} | fixed
    ports = [f".{name}({value})" for name, value in given.items()]
    return ", ".join([*ports, *(f".{x}(got_{x})" for x in answers)])


def plain(module: str, task: Task, answers: dict[str, str], count: int) -> str:
    """For a combinational unit whose input ports are the task's columns."""
    places = _outputs(task, answers, module, count)
    names = (*(c.name for c in task.inputs), *_wanted(answers))
    columns = "\n".join(_columns(task, names, "vector"))
    return filled("bench_plain", **places, columns=columns, ports=_ports(task, answers, {}))


def clocked(
    module: str, task: Task, answers: dict[str, str], count: int, fixed: dict[str, str]
) -> str:
    """For a unit with a handshake at either side."""
    places = _outputs(task, answers, module, count)
    operands = "\n".join(_columns(task, tuple(c.name for c in task.inputs), "given"))
    columns = "\n".join(_columns(task, _wanted(answers), "vector"))
    return filled(
        "bench_clocked", **places, operands=operands, columns=columns,
        ports=_ports(task, answers, fixed),
    )  # fmt: skip


def element(module: str, task: Task, answers: dict[str, str], count: int, dataflow: str) -> str:
    """For a processing element, whose sum ``answers`` are."""
    places = _outputs(task, answers, module, count)
    names = ("clear", "a", "b", *_wanted(answers))
    width = {c.name: c.bits for c in task.outputs}["quire"]
    manner, a_valid, b_valid, b_now, ports = _MANNERS[dataflow]
    return filled(
        "bench_pe",
        **places,
        columns="\n".join(_columns(task, names, "vector")),
        n_top=task.spec.n - 1,
        manner=manner,
        a_valid=a_valid,
        b_valid=b_valid,
        b_now=b_now,
        ports=ports.format(width=width),
        round=f"{task.spec.name}_quire_round",
    )
