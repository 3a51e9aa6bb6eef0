"""What a detector starts from: torchvision's files, others', and what is refused, all without a network."""

import contextlib
import hashlib
import io
import pickle
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum, mobilenet_v3_large, resnet18, resnet50
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn, fasterrcnn_resnet50_fpn_v2

from digitspot.config import ModelConfig
from digitspot.detector import Detector, build_detector
from digitspot.detector.weights import COCO, IMAGENET, load_detector, load_start, read_state_dict
from digitspot.errors import CheckpointError, ConfigError

Build = Callable[..., Detector]
MOBILE = "mobilenet_v3_large_fpn"
REPLACED = {
    "roi_heads.box_predictor.cls_score.weight",
    "roi_heads.box_predictor.cls_score.bias",
    "roi_heads.box_predictor.bbox_pred.weight",
    "roi_heads.box_predictor.bbox_pred.bias",
}


@pytest.fixture(scope="module")
def mobile_coco() -> dict[str, Tensor]:
    torch.manual_seed(11)
    return dict(
        fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, num_classes=91).state_dict()
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give torch.hub an empty cache of its own, and a network that refuses at once."""
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies it was made with
    return folder


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def assert_coco_arrived(detector: Detector, state: dict[str, Tensor]) -> None:
    own = detector.state_dict()
    assert own.keys() == state.keys()
    different = {name for name in own if not torch.equal(own[name], state[name])}
    assert different == REPLACED
    assert own["roi_heads.box_predictor.cls_score.weight"].shape[0] == 11
    assert own["roi_heads.box_predictor.bbox_pred.weight"].shape[0] == 44
    assert own["roi_heads.box_predictor.cls_score.weight"].std() > 0


def test_file_of_torchvisions_coco_detector(tmp_path: Path) -> None:
    state = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=91).state_dict()
    path = saved(tmp_path / "coco.pth", state)
    detector = build_detector(ModelConfig(preset="resnet50_fpn_v2", weights=str(path)))
    assert_coco_arrived(detector, state)


def test_coco_by_torchvisions_own_entry_from_its_cache(hub: Path, mobile_coco: dict[str, Tensor]) -> None:
    saved(hub / Path(COCO[MOBILE].url).name, OrderedDict(mobile_coco))
    assert_coco_arrived(build_detector(ModelConfig(preset=MOBILE, weights="coco")), mobile_coco)


def made_entry(folder: Path, state: dict[str, Tensor], right: bool = True) -> WeightsEnum:
    """Make an entry as torchvision's, whose address is a file and whose name holds its checksum."""
    buffer = io.BytesIO()
    torch.save(OrderedDict(state), buffer)
    check = hashlib.sha256(buffer.getvalue()).hexdigest()[:8] if right else "00000000"
    path = folder / f"made-{check}.pth"
    path.write_bytes(buffer.getvalue())
    entry = Weights(url=path.as_uri(), transforms=nn.Identity, meta={})
    return WeightsEnum("Made", {"DEFAULT": entry}).DEFAULT


def test_coco_is_fetched_and_checked(
    hub: Path,
    tmp_path: Path,
    mobile_coco: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(COCO, MOBILE, made_entry(tmp_path, mobile_coco))
    assert_coco_arrived(build_detector(ModelConfig(preset=MOBILE, weights="coco")), mobile_coco)
    assert [path.name[:5] for path in hub.iterdir()] == ["made-"]
    assert capsys.readouterr().out == "", "stdout is for results"


def test_a_file_with_another_checksum_is_refused(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COCO, MOBILE, made_entry(tmp_path, {"a": torch.zeros(1)}, right=False))
    with pytest.raises(CheckpointError, match="invalid hash value"):
        load_start(nn.Linear(1, 1), MOBILE, "coco")
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize(("table", "weights"), [(COCO, "coco"), (IMAGENET, "imagenet")])
def test_without_a_network_the_address_is_named(
    hub: Path, table: dict[str, WeightsEnum], weights: str
) -> None:
    for preset in table:
        with pytest.raises(CheckpointError, match="cannot be had") as raised:
            load_start(nn.Linear(1, 1), preset, weights)
        assert preset in str(raised.value)
        assert table[preset].url in str(raised.value.hint)
        assert "--model.weights" in str(raised.value.hint)
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"<html>sign in</html>", "a portal's page"), (b"PK\x03\x04cut", "cut off")],
)
def test_a_damaged_file_in_the_cache(hub: Path, content: bytes, reason: str) -> None:
    (hub / Path(COCO[MOBILE].url).name).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be had"):
        load_start(nn.Linear(1, 1), MOBILE, "coco")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


def test_nothing_is_executed_from_the_cache(hub: Path, tmp_path: Path) -> None:
    saved(hub / Path(COCO[MOBILE].url).name, {"a": Trap(tmp_path / "sprung")})
    with pytest.raises(CheckpointError):
        load_start(nn.Linear(1, 1), MOBILE, "coco")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_nothing_is_executed_from_a_file(save: Callable[[object, Path], object], tmp_path: Path) -> None:
    save({"a": Trap(tmp_path / "sprung"), "b": torch.zeros(2)}, tmp_path / "w.pth")
    (tmp_path / "sprung").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_state_dict(tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


CLASSIFIERS = {"resnet50_fpn_v2": resnet50, MOBILE: mobilenet_v3_large, "resnet18_fpn": resnet18}


@pytest.mark.parametrize("preset", CLASSIFIERS)
def test_imagenet_backbone(preset: str, hub: Path) -> None:
    torch.manual_seed(4)
    state = CLASSIFIERS[preset](weights=None).state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_()
    saved(hub / Path(IMAGENET[preset].url).name, state)
    torch.manual_seed(5)
    detector = build_detector(ModelConfig(preset=preset, weights="imagenet"))  # type: ignore[arg-type]
    torch.manual_seed(5)
    random = build_detector(ModelConfig(preset=preset), load_weights=False).state_dict()  # type: ignore[arg-type]
    body = "backbone.body."
    for name, value in detector.state_dict().items():
        if name.startswith(body):
            own = name.removeprefix(body)
            assert torch.equal(value, state.get(own, state.get(f"features.{own}"))), name
        else:
            assert torch.equal(value, random[name]), f"{name} is no part of a classifier"


def test_preset_without_coco_weights(small_detector: Build) -> None:
    with pytest.raises(ConfigError, match="no 'coco' weights for resnet18_fpn") as raised:
        small_detector(weights="coco")
    assert "resnet50_fpn_v2" in str(raised.value.hint)


def test_none_and_a_coming_checkpoint_load_nothing(small_detector: Build, hub: Path) -> None:
    small_detector(weights="none")
    build_detector(ModelConfig(weights="coco"), load_weights=False)
    assert list(hub.iterdir()) == []


def contents(small: dict[str, Tensor]) -> list[tuple[object, str, str]]:
    first, *_ = small
    return [
        ({}, "names missing", "empty"),
        ({**small, "head.extra": torch.zeros(1)}, r"1 unknown \(head.extra\)", "a name too many"),
        (
            {k: v for k, v in small.items() if k != first},
            rf"1 names missing, 0 unknown \({first}\)",
            "one missing",
        ),
        ({**small, first: torch.zeros(1, 2)}, rf"{first} is \(1, 2\)", "another shape in the backbone"),
        ({"a": [1, 2]}, "no state dict of tensors", "a list for a tensor"),
        ([torch.zeros(1)], "no state dict of tensors", "a list of tensors"),
        (torch.zeros(1), "no state dict of tensors", "a tensor alone"),
        ({"model": {"a": 3}}, "no state dict of tensors", "a checkpoint without tensors"),
        ("hello", "no state dict of tensors", "text"),
    ]


def test_files_of_another_network(small_detector: Build, tmp_path: Path) -> None:
    state = small_detector().state_dict()
    for content, words, reason in contents(state):
        path = saved(tmp_path / "w.pth", content)
        with pytest.raises(CheckpointError, match=words) as raised:
            small_detector(weights=str(path))
        assert str(path) in str(raised.value), reason


def test_weights_of_another_preset(
    small_detector: Build, tmp_path: Path, mobile_coco: dict[str, Tensor]
) -> None:
    path = saved(tmp_path / "w.pth", mobile_coco)
    with pytest.raises(CheckpointError, match="is of another network") as raised:
        small_detector(weights=str(path))
    assert "preset" in str(raised.value.hint)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_cut_and_damaged_files(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.randn(5), "b": torch.arange(3)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for end in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=r"w\.pth"):
            read_state_dict(path)
    for place in range(0, min(300, len(whole)), 3):
        path.write_bytes(whole[:place] + b"\xa9" + whole[place + 1 :])
        with contextlib.suppress(CheckpointError):
            read_state_dict(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights file .*absent\.pth"):
        read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match=r"no weights file .*best\.pt"):
        read_state_dict(tmp_path)


def test_file_of_our_own_state_or_checkpoint(small_detector: Build, tmp_path: Path) -> None:
    torch.manual_seed(9)
    state = {name: torch.rand_like(value.float()) for name, value in small_detector().state_dict().items()}
    for content in (state, {"model": state, "kind": "model"}):
        detector = small_detector(weights=str(saved(tmp_path / "w.pth", content)))
        for name, value in detector.state_dict().items():
            if value.is_floating_point():
                assert torch.equal(value, state[name])


def test_other_anchors_keep_their_random_head(small_detector: Build) -> None:
    state = small_detector().state_dict()
    detector = small_detector(anchor_ratios=(2.0,))
    kept = load_detector(detector, state, "weights")
    assert set(kept) == {
        f"rpn.head.{layer}.{part}" for layer in ("cls_logits", "bbox_pred") for part in ("weight", "bias")
    }
