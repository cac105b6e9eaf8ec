"""examples/serve_rotating.py, on loopback: answers while versions rotate, and refusals."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

pytest.importorskip("cryptography")
pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import httpx
import uvicorn

import torch_bridge as tb
from bposit.recorder import Recorder
from bposit.records import read_public_key, verify
from torch_bridge.adaptive.certificate import certify
from torch_bridge.adaptive.rotation import ModelSlot
from torch_bridge.adaptive.versions import WEIGHTS, publish

EXAMPLE = Path(__file__).parents[3] / "examples" / "serve_rotating.py"
VERSIONS = 6


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve_rotating", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(example: ModuleType, tmp_path: Path) -> Path:
    """As `train` leaves it, but for the training."""
    made = tmp_path / "site"
    key = example.new_keys(made)
    tb.save_safetensors({"probes": torch.rand(4, 64).double()}, made / "probes.safetensors")
    for serial in range(1, VERSIONS + 1):
        torch.manual_seed(serial)
        model = example.make()
        stated = certify(model, model="digits", serial=serial)
        publish(made / "incoming" / str(serial), model, stated, key)
    return made


@pytest.fixture
def slot(example: ModuleType, site: Path) -> Iterator[ModelSlot]:
    key = example.read_key(site, "writer")
    with Recorder(site / "records", key, site / "kept" / "head") as records:
        yield example.open_slot(site, records, 10.0)


@pytest.fixture
def client(example: ModuleType, site: Path, slot: ModelSlot) -> Iterator[Any]:
    """Of uvicorn, on a free port of loopback."""
    app = example.application(slot, site / "incoming", (site / "keys" / "token").read_text())
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=60) as made:
                yield made
        finally:
            server.should_exit = True
            thread.join()


def operator(site: Path) -> dict[str, str]:
    return {"authorization": f"Bearer {(site / 'keys' / 'token').read_text()}"}


def test_answers_while_versions_rotate(example: ModuleType, site: Path, client: Any) -> None:
    x = torch.randint(0, 17, (2, 64)).double()
    logits = {}
    for serial in range(1, VERSIONS + 1):
        model = example.make().eval()
        tb.load_safetensors(site / "incoming" / str(serial) / WEIGHTS, model)
        logits[serial] = model(x / 16).tolist()
    got: list[tuple[int, Any]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answer = client.post("/predict", json={"x": x.tolist()})
            got.append((answer.status_code, answer.json()))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for thread in clients:
        thread.start()
    for serial in range(2, VERSIONS + 1):
        enough = len(got) + 8
        while len(got) < enough:
            time.sleep(0.005)
        answer = client.post("/rotate", json={"version": str(serial)}, headers=operator(site))
        assert (answer.status_code, answer.json()["serial"]) == (200, serial)
    assert client.post("/rollback", headers=operator(site)).json()["serial"] == VERSIONS - 1
    over.set()
    for thread in clients:
        thread.join()
    assert {status for status, _ in got} == {200}
    assert all(found["logits"] == logits[found["serial"]] for _, found in got)  # bit for bit
    assert {found["serial"] for _, found in got} >= set(range(1, VERSIONS))
    public = read_public_key(site / "keys" / "writer.pub.pem")
    said = verify(site / "records", public, site / "kept" / "head")
    assert [r.event for r in said] == ["opened", *["activated"] * VERSIONS, "rolled back"]


def test_what_is_refused(site: Path, client: Any) -> None:
    good = [[0.0] * 64]
    bad: list[Any] = [
        b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"{}", b'{"x": [[1e999]]}', {"x": [[1] * 63]},
        {"x": []}, {"x": [[None] * 64]}, {"x": "abc"}, {"x": [[[0] * 64]]}, {"x": good * 257},
        {"x": [[10**400] * 64]}, {"x": [[1] * 64, [1]]},
    ]  # fmt: skip
    for sent in bad:
        body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        assert client.post("/predict", content=body).status_code == 400, sent
    assert client.post("/predict", content=b" " * (1 << 21)).status_code == 413
    assert client.post("/predict", json={"x": good}).status_code == 200
    for path in ("/rotate", "/rollback"):
        for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": "Bearer ü".encode()}):
            answer = client.post(path, json={"version": "2"}, headers=wrong)
            assert answer.status_code == 401
    for name in ("../1", "", ".", 2, None):
        answer = client.post("/rotate", json={"version": name}, headers=operator(site))
        assert answer.status_code == 400, name
    answer = client.post("/rotate", json={"version": "99"}, headers=operator(site))
    assert answer.status_code == 409
    assert "No such file" in answer.text
    assert client.post("/rollback", headers=operator(site)).status_code == 409
    (site / "incoming" / "2" / WEIGHTS).write_bytes(b"x")
    answer = client.post("/rotate", json={"version": "2"}, headers=operator(site))
    assert answer.status_code == 409
    assert "cannot load" in answer.text
    found = client.get("/version").json()
    assert (found["active"]["serial"], found["previous"]) == (1, None)


def test_a_restart_goes_on(example: ModuleType, site: Path) -> None:
    for serial in (1, 1):
        key = example.read_key(site, "writer")
        with Recorder(site / "records", key, site / "kept" / "head") as records:
            slot = example.open_slot(site, records, 10.0)
            assert slot.active is not None
            assert slot.active.certificate.serial == serial
            assert len(records.records) == 2


def test_private_keys_are_the_owners(site: Path) -> None:
    for name in ("publisher.pem", "writer.pem", "token"):
        assert (site / "keys" / name).stat().st_mode & 0o077 == 0
    secret = (site / "keys" / "publisher.pem").read_bytes().splitlines()[1]
    others = [p for p in site.rglob("*") if p.is_file() and p.parent.name != "keys"]
    assert others
    assert not any(secret in path.read_bytes() for path in others)


def test_training_publishes_versions_that_serve(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    site = tmp_path / "site"
    example.train(site, 2)
    shares = [float(line.split()[2][:-1]) for line in capsys.readouterr().out.splitlines()]
    assert shares[-1] > 50  # % right; chance has 10
    with Recorder(site / "records", example.read_key(site, "writer")) as records:
        slot = example.open_slot(site, records, 1.0)
        slot.rotate(site / "incoming" / "2")


def test_help(example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: serve_rotating.py" in done.stdout
    for command in ("train", "serve"):
        monkeypatch.setattr(sys, "argv", ["serve_rotating.py", command, "--help"])
        with pytest.raises(SystemExit, match="0"):
            example.main()
        assert f"usage: serve_rotating.py {command}" in capsys.readouterr().out
