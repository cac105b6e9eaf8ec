"""report.html: self-contained, safe for hostile names, and alive in a real browser."""

import json
import re
import shutil
import subprocess
import warnings
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..running import good
from .files import safetensors

pytest.importorskip("jinja2")
HOSTILE = ["<b>x</b>", "[/b]", "</script><script>alert(1)</script>",
           "\" onload=\"alert(1)",
           "{{ 7*7 }}",
           "</style><img src=x onerror=alert(1)>", "&lt;", "\u202ereversed", "' --"]  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(HTMLParser):
    """Tags, attributes and text as a browser's parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.inside: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in self.inside[-1:]:
            self.texts.setdefault(tag, []).append(data)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    arrays = {name: rng.normal(size=50).astype(np.float32) * 10.0 ** (i - 3)
              for i, name in enumerate(HOSTILE)}  # fmt: skip
    safetensors(tmp_path / "<i>w.safetensors", arrays)
    out = tmp_path / "out"
    good("audit", str(tmp_path / "<i>w.safetensors"), "--out", str(out), "--best", "9",
         "--formats", "bposit16,float16,mxfp8,bposit8")  # fmt: skip
    return out / "report.html"


def test_hostile_names_are_text(page: Path) -> None:
    content = page.read_text()
    found = Page(content)
    assert found.tags["script"] == found.tags["style"] == 1
    assert not {"b", "i", "img"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    shown = {text.strip() for text in found.texts["a"]}
    assert {n for n in HOSTILE if n.isprintable()} <= shown
    assert "\u202e" not in content
    assert "49" not in shown


def test_what_all_formats_share_is_told_once(tmp_path: Path) -> None:
    x = np.array([0, 0, 1.1, np.nan, np.inf, -np.inf, 7], np.float32)
    safetensors(tmp_path / "w.safetensors", {"w": x})
    good("audit", str(tmp_path / "w.safetensors"), "--formats", "bposit16,float16", "--out",
         str(tmp_path))  # fmt: skip
    found = Page((tmp_path / "report.html").read_text()).texts
    facts = list(zip(found["dt"], found["dd"], strict=True))
    for fact in (("values", "7"), ("zeros", "2"), ("not finite", "3")):
        assert facts.count(fact) == 1


def test_names_without_end_or_without_characters(tmp_path: Path) -> None:
    x = np.array([1.1], np.float32)
    safetensors(tmp_path / "w.safetensors", {"n" * 9999: x, "": x / x})
    good("audit", str(tmp_path / "w.safetensors"), "--formats", "bposit16", "--out", str(tmp_path))
    found = Page((tmp_path / "report.html").read_text()).texts
    assert {text.strip() for text in found["a"]} >= {"(no name)", "n" * 59 + "…"}
    assert max(map(len, found["td"])) == 60


def test_curves_of_scaled_formats_say_so(page: Path) -> None:
    legends = [text.strip() for text in Page(page.read_text()).texts["li"]]
    assert "mxfp8 before its scale" in legends
    assert "bposit16" in legends


def test_nothing_comes_from_elsewhere(page: Path) -> None:
    content = page.read_text()
    for name, given in Page(content).attributes:
        assert name not in ("src", "style", "srcset", "action")
        if name == "href":
            assert (given or "").startswith("#")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', content)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;;")
    for tag in ("style", "script"):
        body = re.search(f"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
        assert body is not None
        digest = b64encode(sha256(body[1].encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in policy[1]
    assert "http" not in content.replace("http-equiv", "")


def test_it_is_readable_without_its_script(page: Path) -> None:
    found = Page(page.read_text())
    assert found.tags["tr"] == (1 + 4) + (1 + 4 * len(HOSTILE))
    assert found.tags["details"] == len(HOSTILE)
    assert found.tags["figure"] == 1 + 2 * len(HOSTILE)
    ids = [v for k, v in found.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    assert {v for k, v in found.attributes if k == "href"} <= {f"#{i}" for i in ids}


def test_a_models_page_has_its_growth(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from bposit.audit import Audit, write

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    with Audit(model, "bposit16,mxfp8") as audit:
        model(torch.randn(3, 8))
    paths = write(audit.report, tmp_path)
    content = next(p for p in paths if p.suffix == ".html").read_text()
    assert "Cumulative SQNR by depth" in content
    assert Page(content).tags["figure"] == 2 + 2 * 3


def test_growth_over_steps_is_drawn() -> None:
    from bposit.audit import plots

    def layer(step: int, depth: int, sqnr: float, drift: float | None) -> dict[str, Any]:
        row = {"format": "f", "accumulate": "quire", "cumulative_sqnr": sqnr,
               "cumulative_exact": False, "cumulative_failed": False, "drift_sqnr": drift,
               "drift_exact": False, "drift_failed": False}  # fmt: skip
        return {"step": step, "depth": depth, "rows": [row]}

    report = {"kind": "model", "layers": [
        layer(0, 0, 100.0, None), layer(0, 1, 80.0, None), layer(1, 0, 90.0, 50.0),
        layer(1, 1, 40.0, 60.0),
    ]}  # fmt: skip
    depth, step, drift = plots.growth(report)
    # x from 44 to 628, y from 186 at the bottom to 10 at the largest
    assert depth.lines[0].path == f"M44.0 10.0L628.0 {186 - 176 * 40 / 90:.1f}"
    assert step.lines[0].path == "M44.0 10.0L628.0 98.0"
    assert (drift.lines[0].name, drift.lines[0].path) == ("f", "M628.0 10.0")  # 50, the worse
    assert drift.up[-1] == (10.0, "50")
    assert [label for _, label in drift.across] == ["0", "1"]
    assert list(plots.growth({"kind": "tensors", "layers": []})) == []


def test_rare_outliers_do_not_stretch_a_plot() -> None:
    from bposit.audit import plots

    def drawn(counts: list[int]) -> Any:
        subject = {"exponents": {"start": -100, "counts": counts}, "rows": []}
        return next(iter(plots.of_subject(subject, [])))

    found = drawn([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200_000, 100_000, 3])
    assert "; 1 more are smaller" in found.title
    assert "; 3 more are larger" in found.title
    assert len(found.bars) == 3  # 3 lie within the margin
    assert drawn([1]).title.endswith("there")
    assert len(drawn([5, 0, 99_999]).bars) == 2


def test_shares_of_fraction_bits_are_steps_down() -> None:
    from bposit.audit import plots

    subject = {
        "exponents": {"start": 0, "counts": []},
        "rows": [{"format": "f", "fraction_bits": [{"bits": -1, "count": 1},
                                                   {"bits": 2, "count": 3}]}],
    }  # fmt: skip
    (found,) = plots.of_subject(subject, [{"name": "f", "curve": []}])
    level = f"{186 - 176 * 0.75:.1f}"
    assert found.lines[0].path == "M" + "L".join(
        f"{x} {level}" for x in ("44.0", "44.0", "44.0", "336.0", "336.0", "628.0")
    )


PROBE = """
<script>
const problems = [];
addEventListener("error", (e) => problems.push(e.message));
addEventListener("securitypolicyviolation", (e) => problems.push(e.violatedDirective));
addEventListener("load", () => setTimeout(() => {
  const heads = [...document.querySelectorAll("thead button")];
  const rows = () => [...document.querySelectorAll("#table tbody tr")];
  const keys = (i) => rows().map((r) => r.cells[i].dataset.key);
  heads[3].click(); const up = keys(3).map(Number);
  heads[3].click(); const down = keys(3).map(Number);
  const sorted = (a, s) => a.every((v, i) => !i || s * (a[i - 1] - v) <= 0 || a[i - 1] === v);
  const link = document.querySelector("tbody a"); link.click();
  setTimeout(() => {
    const target = document.querySelector(link.getAttribute("href"));
    const made = {problems, up: sorted(up, 1), down: sorted(down, -1), moved: up[0] !== down[0],
      open: target.open, focus: document.activeElement === target.firstElementChild,
      wide: document.documentElement.scrollWidth, view: innerWidth,
      page: getComputedStyle(document.body).backgroundColor,
      line: getComputedStyle(document.querySelector("path.f0")).stroke};
    parent.postMessage(JSON.stringify(made), "*");
  }, 200);
}, 50));
</script>
"""


OUTER = """<!doctype html><title>outer</title><body>
<iframe src="probed.html" width="{width}" height="700"></iframe>
<script>
addEventListener("message", (e) => {{ document.body.textContent = e.data; }});
</script></body>
"""


def browse(page: Path, width: int, dark: bool) -> dict[str, Any]:
    """The page in Chromium at a width, with a probe that the policy is made to allow."""
    content = page.read_text()
    script = re.search("<script>(.*?)</script>", PROBE, re.DOTALL)
    assert script is not None
    allowed = b64encode(sha256(script[1].encode()).digest()).decode()
    content = content.replace("script-src ", f"script-src &#39;sha256-{allowed}&#39; ", 1)
    outer = page.with_name("outer.html")
    outer.write_text(OUTER.format(width=width))
    page.with_name("probed.html").write_text(content.replace("</head>", f"{PROBE}</head>", 1))
    dark_mode = (
        ["--blink-settings=preferredColorScheme=0"]
        if dark
        else ["--blink-settings=preferredColorScheme=1"]
    )
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={page.parent / 'profile'}", "--window-size=1300,800", *dark_mode,
         "--virtual-time-budget=3000", "--dump-dom", outer.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    body = re.search(r"<body[^>]*>(\{.*\})</body>", done.stdout, re.DOTALL)
    assert body is not None, done.stdout[-500:]
    found: dict[str, Any] = json.loads(body[1].replace("&amp;", "&"))
    return found


@pytest.mark.parametrize(("width", "dark"), [(1000, False), (360, True)])
def test_in_a_real_browser(page: Path, width: int, dark: bool) -> None:
    if CHROMIUM is None:
        warnings.filterwarnings("default")
        pytest.skip("NOT RUN: THERE IS NO CHROMIUM; Debian's package is called chromium")
    found = browse(page, width, dark)
    assert found["problems"] == []
    assert found["up"]
    assert found["down"]
    assert found["moved"]
    assert found["open"]
    assert found["focus"]
    assert found["view"] == width
    assert found["wide"] <= width
    assert (found["page"] == "rgb(20, 23, 27)") == dark
