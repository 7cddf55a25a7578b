import json
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from ablations.cli import app
from ablations.errors import AblateError
from bench.metrics import multiview
from bench.view_score import score_views
from svd_core.data.objects import render
from svd_core.data.orbits import read_orbit, write_orbit
from svd_core.encoders import weights
from svd_core.encoders.weights import MissingWeights, fetch


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """`real` and `generated`, two objects of four views of 64 pixels; the generated ones are noisy, without cameras."""
    fetch("lpips_alex")
    root = tmp_path_factory.mktemp("views")
    draw = np.random.default_rng(0)
    for name in ("950", "952"):
        orbit = render(name, side=64, views=4)
        write_orbit(root / "real" / name, orbit)
        (root / "generated" / name).mkdir(parents=True)
        for number in range(1, 4):
            noisy = orbit.images[number] + draw.normal(0, 9, orbit.images[number].shape)
            cv2.imwrite(str(root / "generated" / name / f"{number:03d}.png"), np.clip(noisy, 0, 255).astype(np.uint8))
    return root


@pytest.fixture
def folders(rendered, tmp_path, monkeypatch):
    """A copy to damage, and no CLIP."""
    shutil.copytree(rendered, tmp_path / "views")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "lpips_alex.safetensors").symlink_to(weights.locate("lpips_alex"))
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "views"


def test_values_are_those_of_multiview(folders):
    found = score_views(folders / "real", folders / "generated")
    orbits = [read_orbit(folders / "real" / name) for name in ("950", "952")]
    truth = np.stack([orbit.images for orbit in orbits]).transpose(0, 1, 4, 2, 3) / 255
    generated = truth.copy()
    for place, name in enumerate(("950", "952")):
        for view in range(1, 4):
            image = cv2.imread(str(folders / "generated" / name / f"{view:03d}.png"))[..., ::-1]
            generated[place, view] = image.transpose(2, 0, 1) / 255
    expected = multiview(generated.astype(np.float32), truth.astype(np.float32), [orbit.cameras for orbit in orbits])
    for name, result in (
        ("lpips", expected.lpips), ("psnr", expected.psnr), ("ssim", expected.ssim),
        ("tsed", expected.epipolar), ("tsed_truth", expected.epipolar_truth),
    ):  # fmt: skip
        assert found.scores[name].value == pytest.approx(float(result), rel=1e-6)
        assert found.scores[name].stderr == pytest.approx(result.stderr, rel=1e-6)
    assert found.scores["psnr"].n == 2 and found.scores["psnr"].frames == 3
    assert found.scores["clip_similarity"].value is None
    assert "clip-vit-base-patch16" in found.scores["clip_similarity"].error
    assert found.per_view.height == 2 * 3 * 5


def test_equal_views_have_no_finite_psnr_and_the_rest_stands(folders):
    found = score_views(folders / "real", folders / "real", ["psnr", "lpips"])
    assert found.scores["psnr"].value is None
    assert found.scores["psnr"].error == "6 views have no finite value, first 950/001"
    assert found.scores["lpips"].value == 0
    assert json.loads(found.as_json())["scores"]["psnr"]["value"] is None


def without_an_object(folders):
    shutil.rmtree(folders / "generated" / "952")


def without_a_view(folders):
    (folders / "generated" / "950" / "002.png").unlink()


def with_a_view_too_many(folders):
    shutil.copy(folders / "generated" / "950" / "003.png", folders / "generated" / "950" / "004.png")


def of_another_size(folders):
    for path in (folders / "generated" / "950").iterdir():
        cv2.imwrite(str(path), np.zeros((32, 64, 3), np.uint8))


def of_sixteen_bits(folders):
    cv2.imwrite(str(folders / "generated" / "950" / "001.png"), np.zeros((64, 64, 3), np.uint16))


def without_cameras(folders):
    (folders / "real" / "950" / "cameras.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_an_object, r"real has an object '952' and .*generated has not \(2 true objects, 1 generated\)"),
        (without_a_view, r"generated/950/002\.png is missing"),
        (with_a_view_too_many, r"950/004\.png has no partner: .*real/950 has views 000\.png to 003\.png"),
        (of_another_size, r"generated/950: views are 32x64, those in .*real/950 64x64"),
        (of_sixteen_bits, r"generated/950/001\.png is missing or no 8-bit"),
        (without_cameras, r"real/950/cameras\.json is missing"),
    ],
)
def test_folders_that_do_not_match_are_refused(folders, damage, message):
    damage(folders)
    with pytest.raises(ValueError, match=message):
        score_views(folders / "real", folders / "generated", ["psnr"])


def test_metrics_that_are_named_are_measured_or_refused(folders):
    with pytest.raises(ValueError, match="no metric of views is named 'lpip'; did you mean 'lpips'"):
        score_views(folders / "real", folders / "generated", ["lpip"])
    with pytest.raises(MissingWeights, match="clip-vit-base-patch16"):
        score_views(folders / "real", folders / "generated", ["clip_similarity"])
    with pytest.raises(ValueError, match="nowhere is no folder"):
        score_views(folders / "nowhere", folders / "generated", ["psnr"])


def test_the_command_prints_json_and_keeps_every_view(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    sides = ["--real", str(folders / "real"), "--generated", str(folders / "generated")]
    done = CliRunner().invoke(app, ["score-views", *sides, "--metrics", "psnr,ssim", "--json", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads((tmp_path / "scores.json").read_text())
    assert (tmp_path / "per_view.parquet").exists()
    done = CliRunner().invoke(app, ["score-views", *sides, "--metrics", "psnr"])
    assert "PSNR" in done.stdout and "written to" in done.stdout
    failed = CliRunner().invoke(app, ["score-views", *sides, "--metrics", "fvd"])
    assert isinstance(failed.exception, AblateError)
