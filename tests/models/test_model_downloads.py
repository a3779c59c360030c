"""Downloads from a hub on loopback: resumed, checked, cancelled, refused; and what is said when there is none."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from napari_vlexplain import list_models, load_model
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.models.files import places
from napari_vlexplain.models.files.fetch import Remote, fetch
from napari_vlexplain.models.loading import forget_models
from napari_vlexplain.models.zoo import RESOURCES, known_models
from napari_vlexplain.running.run import Run

MINI = RESOURCES / "models" / "mini"
REPOSITORY = "someone/mini"


class Hub:
    """What the server holds and does, and what it was asked."""

    def __init__(self):
        self.files = {file.name: file.read_bytes() for file in MINI.iterdir()}
        self.asked = []  # (path, Range, Authorization)
        self.stop_after = None  # bytes of a large file before the line goes dead, once
        self.damage = False
        self.status = 200
        self.url = ""

    def listing(self):
        siblings = []
        for name, data in self.files.items():
            entry = {"rfilename": name, "size": len(data)}
            if name.endswith((".safetensors", ".bin")):
                entry["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            siblings.append(entry)
        siblings += [{"rfilename": "onnx/model.safetensors", "size": 9}, {"rfilename": "run_me.py", "size": 9}]
        return json.dumps({"sha": "abc123", "siblings": siblings}).encode()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted, self.headers.get("Authorization")))
            if state.status != 200:
                self.send_error(state.status)
                return
            name = self.path.rpartition("/")[2]
            if self.path.startswith("/api/models/"):
                data = state.listing() if self.path.startswith(f"/api/models/{REPOSITORY}?") else None
            else:
                data = state.files.get(name) if self.path.startswith(f"/{REPOSITORY}/resolve/abc123/") else None
            if data is None:
                self.send_error(404)
                return
            if state.damage and name.endswith(".safetensors"):
                data = bytes([data[0] ^ 1]) + data[1:]
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if state.stop_after is not None and len(data) > state.stop_after:
                self.wfile.write(data[start : state.stop_after])
                state.stop_after = None
                return  # the connection closes in the middle
            self.wfile.write(data[start:])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", state.url)
    monkeypatch.setenv("VLEXPLAIN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "_token", lambda: None)
    forget_models()
    yield state
    forget_models()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(hub, tmp_path):
    return tmp_path / "models" / "someone--mini"


def test_a_model_is_fetched_once(hub, folder):
    seen = []
    model = load_model(REPOSITORY, device="cpu", download=True, run=Run(lambda share, what: seen.append((share, what))))
    reference = load_model("mini", device="cpu")
    pixels, _ = reference.pixels(np.zeros((50, 50, 3), np.uint8))
    assert (model.encode_image(pixels) == reference.encode_image(pixels)).all()
    assert {file.name for file in folder.iterdir()} == set(hub.files) - {"reference.npz"}  # no folders, no code
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert any("Downloading model.safetensors" in what and "of" in what for _, what in seen)
    count = len(hub.asked)
    assert places.hub_folder(REPOSITORY, None, False, Run()) == folder
    assert len(hub.asked) == count
    assert places.is_here(REPOSITORY)


def test_a_broken_line_is_picked_up_again(hub, folder):
    hub.stop_after = 100_000
    places.hub_folder(REPOSITORY, None, True, Run())
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert any(wanted and int(wanted[6:-1]) >= 100_000 for _, wanted, _ in hub.asked)


def test_cancelled_and_resumed(hub, folder):
    """What has arrived is kept, and asked for only from there on."""

    calls = []

    def cancel():
        part = folder / "model.safetensors.part"
        calls.append(part.exists() and part.stat().st_size > 0)
        return calls[-1]

    with pytest.raises(Cancelled):
        places.hub_folder(REPOSITORY, None, True, Run(cancel=cancel))
    have = (folder / "model.safetensors.part").stat().st_size
    assert 0 < have < len(hub.files["model.safetensors"])
    assert not (folder / "model.safetensors").exists()
    assert not places.is_here(REPOSITORY)
    with pytest.raises(VLExplainError, match="not on this machine"):  # half a model is none
        places.hub_folder(REPOSITORY, None, False, Run())
    hub.asked.clear()
    places.hub_folder(REPOSITORY, None, True, Run())
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    weights = [wanted for path, wanted, _ in hub.asked if path.endswith("model.safetensors")]
    assert weights == [f"bytes={have}-"]
    assert places.is_here(REPOSITORY)


def test_damaged_on_the_way(hub, folder):
    hub.damage = True
    with pytest.raises(VLExplainError, match="arrived damaged"):
        places.hub_folder(REPOSITORY, None, True, Run())
    assert not (folder / "model.safetensors").exists()
    assert not (folder / "model.safetensors.part").exists()
    hub.damage = False
    places.hub_folder(REPOSITORY, None, True, Run())
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_a_part_without_a_hash_is_begun_again(hub, tmp_path):
    """It might be the beginning of another version."""
    target = tmp_path / "config.json"
    target.with_name("config.json.part").write_bytes(b"other")
    fetch(Remote(f"{hub.url}/{REPOSITORY}/resolve/abc123/config.json", "config.json"), target, Run())
    assert target.read_bytes() == hub.files["config.json"]


@pytest.mark.parametrize(
    ("status", "said"), [(401, "accept the model's terms"), (403, "hf auth login"), (503, "try again later")]
)
def test_refused(hub, status, said):
    hub.status = status
    with pytest.raises(VLExplainError, match=said):
        load_model(REPOSITORY, device="cpu", download=True)


def test_no_such_model(hub):
    with pytest.raises(VLExplainError, match=r"check the model's name"):
        load_model("someone/else", device="cpu", download=True)


def test_no_connection(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(VLExplainError, match="check the connection, or give the path of a folder"):
        load_model(REPOSITORY, device="cpu", download=True)


def test_a_login_stays_with_the_hub(hub, monkeypatch, folder):
    monkeypatch.setattr(places, "_token", lambda: "hf_secret")
    places.hub_folder(REPOSITORY, None, True, Run())
    assert {token for _, _, token in hub.asked} == {"Bearer hf_secret"}


def test_a_login_is_not_passed_on(hub, monkeypatch, tmp_path):
    """The hub sends large files' readers to other servers; those must not see the token."""
    from urllib.request import HTTPRedirectHandler, Request

    request = Request(f"{hub.url}/file", headers={"User-Agent": "x"})
    request.add_unredirected_header("Authorization", "Bearer hf_secret")
    sent_on = HTTPRedirectHandler().redirect_request(request, None, 302, "", {}, "http://elsewhere/file")
    assert not sent_on.has_header("Authorization")


def test_safetensors_come_before_pickles(hub, folder):
    hub.files["pytorch_model.bin"] = b"pickle"
    places.hub_folder(REPOSITORY, None, True, Run())
    assert not (folder / "pytorch_model.bin").exists()


def test_where_to_put_the_files(hub, folder):
    with pytest.raises(VLExplainError) as caught:
        load_model("google/medsiglip-448", device="cpu")
    message = str(caught.value)
    assert "3514 MB" in message and "accept its terms" in message and "model.safetensors" in message
    assert str(folder.parent / "google--medsiglip-448") in message
    assert "biovil_image_resnet50_proj_size_128.pt" in str(_refusal("biovil"))
    assert "RemoteCLIP-RN50.pt" in str(_refusal("remoteclip:RN50"))
    assert "into" in str(_refusal("timm:vit_base_patch16_224.augreg2_in21k_ft_in1k"))
    assert hub.asked == []


def _refusal(name):
    with pytest.raises(VLExplainError) as caught:
        load_model(name, device="cpu")
    return caught.value


def test_files_put_there_by_hand(hub, folder):
    folder.mkdir(parents=True)
    for name, data in hub.files.items():
        (folder / name).write_bytes(data)
    assert load_model(REPOSITORY, device="cpu").image.grid == (14, 14)
    assert hub.asked == []


def test_the_cache_of_the_hub_serves_too(hub, tmp_path):
    snapshot = tmp_path / "cache" / "models--someone--mini" / "snapshots" / "f00"
    snapshot.mkdir(parents=True)
    for name, data in hub.files.items():
        (snapshot / name).write_bytes(data)
    assert places.hub_folder(REPOSITORY, None, False, Run()) == snapshot
    assert places.is_here(REPOSITORY)


def test_every_model_of_the_list_says_what_it_is(hub):
    assert {"mini", "biomedclip", "biovil", "biovil-t", "chexzero", "cxr-repair"} <= set(known_models())
    for info in list_models():
        assert info.title and info.licence and info.source and info.good_for and info.warning
        if not info.local:
            assert info.towers and info.intended_use, info.name
            assert not places.is_here(info.name, info)


def test_names_lead_to_their_families(hub):
    """Without the weights, every name of the list is refused for want of them and for nothing else."""
    for info in list_models():
        if not info.local and info.kind == "dual_encoder":
            assert "not on this machine" in str(_refusal(info.name)), info.name
