"""`bposit show`, `bposit formats`, the help, and how bad command lines are refused."""

import pytest

import posit
import quire
from bposit import __version__
from posit import PositSpec, bposit16

from .running import bad, entry, good


def test_show_one_third() -> None:
    text = good("show", "1/3", "--format", "bposit16")
    for part in ("sign", "regime", "exponent", "fraction", "0 1 ", "1 1 1 1 0", "0 1 0 1 0 1 0 1"):
        assert part in text
    for part in ("r = -1", "run of 1", "e = 30", "f = 85/256"):
        assert part in text
    assert "(1 + 85/256) · 2^(-1·32 + 30) = 341/256 · 2^-2" in text
    assert entry(text, "value") == "0.3330078125"
    assert entry(text, "exactly") == "341/1024 = 341·2^-10"
    assert entry(text, "shortest") == "0.333"
    assert entry(text, "pattern") == "0x3E55 = 15957"
    assert entry(text, "binary") == "0b0011111001010101"
    assert entry(text, "above") == "0x3E56  0.333984375 = 171/512"
    assert entry(text, "below") == "0x3E54  0.33203125 = 85/256"
    assert entry(text, "error") == "-0.0003255 (the posit minus 1/3)"  # -1/3072
    assert entry(text, "relative") == "0.0009766 (2^-10.0)"  # 1/1024
    assert entry(text, "in ulps") == "0.3333 of the gap 0x3E55 to 0x3E56"
    assert entry(text, "saturated") == "no"


@pytest.mark.parametrize("text", ["-1.5", "-.5", "-1/3", "-2e-3", "-inf", "-nan", "-0"])
def test_show_takes_negative_values_for_values(text: str) -> None:
    shown = good("show", text, "--format", "bposit16")
    assert shown == good("show", "--format", "bposit16", "--", text)
    pattern = int(posit.from_string(text, bposit16))
    assert entry(shown, "pattern").endswith(f"= {pattern}")


def test_show_several_values_and_patterns() -> None:
    text = good("show", "-1.5", "0x4180", "0b100", "NaR", "0")
    found = [line.split()[1] for line in text.splitlines() if line.startswith("  pattern ")]
    assert found == ["0xBF80", "0x4180", "0x0004", "0x8000", "0x0000"]


@pytest.mark.parametrize(
    ("value", "pattern", "saturated"),
    [
        ("1e99", "0x7FFF = 32767", "yes: beyond maxpos = 6.081e+57"),
        ("-1e99", "0x8001 = -32767", "yes: beyond -maxpos = -6.081e+57"),
        ("1e-99", "0x0001 = 1", "yes: nearer to 0 than minpos = 1.693e-58"),
        ("-1e-99", "0xFFFF = -1", "yes: nearer to 0 than -minpos = -1.693e-58"),
        ("6e57", "0x7FFF = 32767", "no"),
    ],
)
def test_show_says_when_a_value_saturated(value: str, pattern: str, saturated: str) -> None:
    text = good("show", value)
    assert entry(text, "pattern") == pattern
    assert entry(text, "saturated") == saturated


def test_show_marks_exponent_bits_beyond_the_pattern() -> None:
    text = good("show", "0x7E", "--format", "posit8")
    assert "2 cut, read as 0" in text
    assert entry(text, "value") == "1048576"


@pytest.mark.parametrize("columns", [50, 80])
@pytest.mark.parametrize(
    "args",
    [
        ("show", "-1.2345e-20", "1e40", "NaR", "--format", "bposit64"),
        ("show", "1/3", "7e-70", "--format", "posit64"),
        ("formats",),
        ("formats", "24,4,3", "n10_rs4_es1"),
    ],
)
def test_fits_the_terminal_and_hides_nothing(args: tuple[str, ...], columns: int) -> None:
    text = good(*args, columns=columns)
    assert max(map(len, text.splitlines())) <= columns
    assert "…" not in text


def test_formats_lists_the_named_and_the_asked_for() -> None:
    text = good("formats", "24,4,3")
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["bposit16"] == (
        ["bposit16", "16", "6", "5", "4..8", "1.69e-58", "6.08e+57", "0.00391", "2.7", "808"]
    )
    assert rows["posit32"] == [
        "posit32",
        "32",
        "31",
        "2",
        "-2..27",
        "7.52e-37",
        "1.33e+36",
        "7.45e-9",
        "8.4",
        "512",
    ]
    assert rows["<24,4,3>"][1:5] == ["24", "4", "3", "16..18"]
    for name in ("bposit8", "bposit32", "bposit64", "posit8", "posit16", "posit64"):
        spec = PositSpec.parse(name)
        assert [int(x) for x in rows[name][1:4]] == [spec.n, spec.rs, spec.es]
        assert int(rows[name][-1]) == quire.Layout.exact(spec).width
    words = " ".join(text.split())
    assert "bposit8 = <8,3,2> is this project's choice" in words
    assert "--format 24,4,3 or --format n24_rs4_es3" in words


def test_help_version_and_completion() -> None:
    assert good("--version") == f"bposit {__version__}\n"
    assert good() == good("--help")
    for name in ("show", "formats", "table", "dot"):
        assert name in good("--help")
        text = good(name, "-h")
        assert f"bposit {name}" in text.split("Examples:")[1]
    assert "--install-completion" in good("--help")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["show", "1", "--format", "float16"], "unknown format 'float16': give n,rs,es"),
        (["show", "1", "--format", "99,6,5"], "n = 99, but a pattern has 3 to 64 bits"),
        (["show", "1", "--format"], "'--format' requires an argument"),
        (["show", "abc"], "not a number: 'abc'"),
        (["show", "1", "two"], "not a number: 'two'"),
        (["show", "\x1b[31m\nred"], r"not a number: '\x1b[31m\nred'"),
        (["show", "0x10000"], "0x10000 has 17 bits, but a pattern of bposit16 has 16"),
        (["show", "1e99999"], "exponents go up to ±9999"),
        (["show", "--fromat", "8,3,2", "1"], "No such option: --fromat"),
        (["show"], "Missing argument 'VALUE|0xPATTERN'; see"),
        (["formats", "x"], "unknown format 'x'"),
        (["table", "--format", "bposit16"], "--around VALUE [--count N] prints a window"),
        (["table", "--format", "bposit16", "--around", "x"], "not a number: 'x'"),
        (["table", "--around", "1", "--count", "0"], "--count 0: a window has 1 to 4096 patterns"),
        (["table", "--around", "1", "--count", "5000"], "a window has 1 to 4096 patterns"),
        (["table", "--around", "1", "--count", "many"], "Invalid value for '--count'"),
        (["table", "--count", "5"], "--count needs --around VALUE"),
        (["table", "--fromat", "8,3,2"], "No such option"),
        (["table", "extra"], "unexpected extra argument"),
        (["dot", "a.npy"], "Missing argument 'B.npy'; see"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["--frobnicate"], "No such option"),
    ],
)
def test_bad_command_lines(args: list[str], says: str) -> None:
    assert says in bad(*args)
