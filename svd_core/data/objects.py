"""Orbits of pybullet's thousand random meshes, drawn by its CPU renderer: multi-view data that needs no download."""

import os
import tempfile
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import cv2
import numpy as np

from svd_core.data.orbits import VIEWS, Floats, Image, Orbit, orbit_poses, write_orbit

Split = Literal["train", "validation", "test"]
SPLITS: dict[Split, range] = {"train": range(900), "validation": range(900, 950), "test": range(950, 1000)}
"""By object; 50 to test on, as many as the paper takes from GSO."""
ELEVATIONS = (-5.0, 30.0)
"""Degrees (the paper's)."""
FIELD_OF_VIEW = 40.0
DISTANCE = 3.2
"""Of the camera from a centred object of radius 1: all of it is seen."""
PATCHES = 64
"""Of the pattern laid over an object, along each axis."""
LIGHT: dict[str, Any] = {
    "lightDirection": [1, 2, 4],
    "lightAmbientCoeff": 0.6,
    "lightDiffuseCoeff": 0.5,
    "lightSpecularCoeff": 0,
    "shadow": 0,
}


def render_split(root: Path, split: Split, *, count: int | None = None, side: int = 256) -> int:
    """Write the first `count` objects of a split (default: all) under `root/SPLIT`, and return how many that is."""
    names = [f"{number:03d}" for number in SPLITS[split][:count]]
    for name in names:
        write_orbit(root / split / name, render(name, side=side))
    return len(names)


def render(name: str, *, side: int = 256, views: int = VIEWS) -> Orbit:
    """
    The orbit of one object ("000" to "999"), on white: its elevation, colours and pattern follow from its name alone.

    The meshes have neither colours nor texture coordinates, so a pattern of patches is laid on along the axes: without
    it there is nothing to match between views. Light is fixed to the world and matt, so that views agree.
    """
    draw = np.random.default_rng(list(blake2b(name.encode(), digest_size=16).digest()))
    elevation = float(draw.uniform(*ELEVATIONS))
    poses, azimuths = orbit_poses(elevation, DISTANCE, views)
    images = _draw(triangles(name), _pattern(draw), poses, side)
    return Orbit(images, intrinsics(side), poses, elevation, azimuths)


def intrinsics(side: int) -> Floats:
    """
    The pinhole camera of `side` x `side` pixels, the centre of the first at (0, 0).

    The renderer samples a pixel at its left lower corner, not its centre, which moves the principal point by (½, -½).
    """
    focal = side / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    return np.array([[focal, 0, side / 2], [0, focal, side / 2 - 1], [0, 0, 1]])


def triangles(name: str) -> Floats:
    """The object's triangles (n, 3 corners, 3), centred, within distance 1. Raises ValueError for other names."""
    import pybullet_data

    path = Path(pybullet_data.getDataPath()) / "random_urdfs" / name / f"{name}.obj"
    if not path.is_file():
        raise ValueError(f"no object is named {name!r}: there are 000 to 999")
    lines = path.read_text().splitlines()
    corners = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float64)
    faces = np.array([line.split()[1:4] for line in lines if line.startswith("f ")], np.int64) - 1
    centred = corners - (corners.min(0) + corners.max(0)) / 2
    return np.asarray((centred / np.linalg.norm(centred, axis=1).max())[faces])


def _draw(mesh: Floats, pattern: Image, poses: Floats, side: int) -> Image:
    import pybullet

    client = pybullet.connect(pybullet.DIRECT)
    try:
        _place(pybullet, client, mesh, pattern)
        projection = pybullet.computeProjectionMatrixFOV(FIELD_OF_VIEW, 1, 0.1, 10)
        return np.stack([_view(pybullet, client, pose, projection, side) for pose in poses])
    finally:
        pybullet.disconnect(client)


def _place(pybullet: ModuleType, client: int, mesh: Floats, pattern: Image) -> None:
    """Put the mesh at the origin, flat shaded, every triangle painted along the axis that it faces most."""
    across = np.cross(mesh[:, 1] - mesh[:, 0], mesh[:, 2] - mesh[:, 0])
    normals = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    planes = np.array([(1, 2), (2, 0), (0, 1)])[np.abs(normals).argmax(1)]
    places = np.take_along_axis(mesh, planes[:, None, :].repeat(3, 1), axis=2)
    shape = pybullet.createVisualShape(
        pybullet.GEOM_MESH,
        vertices=mesh.reshape(-1, 3).tolist(),
        indices=list(range(3 * len(mesh))),
        uvs=((places + 1) / 2).reshape(-1, 2).tolist(),
        normals=normals.repeat(3, axis=0).tolist(),
        specularColor=[0, 0, 0],
        physicsClientId=client,
    )
    body = pybullet.createMultiBody(baseVisualShapeIndex=shape, physicsClientId=client)
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(os.fspath(Path(folder) / "pattern.png"), pattern)
        texture = pybullet.loadTexture(os.fspath(Path(folder) / "pattern.png"), physicsClientId=client)
    pybullet.changeVisualShape(body, -1, textureUniqueId=texture, physicsClientId=client)


def _view(pybullet: ModuleType, client: int, pose: Floats, projection: tuple[float, ...], side: int) -> Image:
    """One view (side, side, 3), what is not object white."""
    view = np.diag([1, -1, -1, 1]) @ np.vstack([pose, [0, 0, 0, 1]])
    _, _, colours, _, mask = pybullet.getCameraImage(
        *(side, side, view.T.ravel().tolist(), projection),
        **LIGHT,
        renderer=pybullet.ER_TINY_RENDERER,
        physicsClientId=client,
    )
    seen = np.reshape(mask, (side, side, 1)) >= 0
    return np.where(seen, np.reshape(colours, (side, side, 4))[..., :3], 255).astype(np.uint8)


def _pattern(draw: np.random.Generator) -> Image:
    """Patches of four colours (256, 256, 3), their borders softened."""
    colours = draw.integers(30, 226, (4, 3), dtype=np.uint8)
    patches = colours[draw.integers(0, 4, (PATCHES, PATCHES))]
    return np.asarray(cv2.resize(patches, (256, 256), interpolation=cv2.INTER_LINEAR), np.uint8)
