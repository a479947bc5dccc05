"""Characters, from the file to the pose, against hand values, slow loops and other libraries. Needs no OpenGL."""

import base64
import json

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation, Slerp

import tiny_rig
from opdm.data.rig.animation import Channel, hand_on
from opdm.data.rig.camera import FILLED, frame_motion, view_angles
from opdm.data.rig.cel import find_ink, find_occluded
from opdm.data.rig.character import read_character
from opdm.data.rig.flat_colors import flatten
from opdm.data.rig.flow_png import read_flow, write_flow
from opdm.data.rig.gltf_file import GltfFile, read_gltf
from opdm.data.rig.parts import number_parts
from opdm.data.rig.posing import pose
from opdm.data.rig.render import SUPERSAMPLING, Landing, Samples
from opdm.errors import InputError


def pose_at(path, name, *times_s):
    character = read_character(path)
    return character, pose(character, character.animations[name], np.array(times_s))


def test_a_bent_box_is_where_the_pencil_puts_it(tmp_path):
    character, motion = pose_at(tiny_rig.rig().write(tmp_path / "box.glb"), "Bend", 0.0, 0.5, 1.0, 7.0)
    for t, degrees in enumerate((0, 45, 90, 90)):
        turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
        for vertex, start in enumerate(character.positions):
            turned = turn @ (start - [0, 1, 0]) + [0, 1, 0]
            share = start[1] / 2
            np.testing.assert_allclose(motion.positions[t, vertex], (1 - share) * start + share * turned, atol=1e-6)
    np.testing.assert_allclose(motion.joints[2], [[0, 0, 0], [0, 1, 0]], atol=1e-6)
    top = character.normals[:, 1] > 0.5
    unit = motion.normals[2][top] / np.linalg.norm(motion.normals[2][top], axis=1, keepdims=True)
    np.testing.assert_allclose(unit, np.tile([-1, 0, 0], (top.sum(), 1)), atol=1e-6)


def test_skinning_agrees_with_a_slow_loop(tmp_path):
    gltf = tiny_rig.rig()
    moves = {
        (1, "translation"): ([0, 1], [(0, 0, 0), (1, 2, 3)]),
        (1, "rotation"): ([0, 1], [(0, 0, 0, 1), (0.5, 0.5, 0.5, 0.5)]),
        (2, "scale"): ([0, 1], [(1, 1, 1), (2, 1, 0.5)]),
    }
    tiny_rig.animate(gltf, "All", moves)
    character, motion = pose_at(gltf.write(tmp_path / "box.glb"), "All", 1.0)
    hip = np.eye(4)
    hip[:3, :3], hip[:3, 3] = Rotation.from_quat((0.5, 0.5, 0.5, 0.5)).as_matrix(), (1, 2, 3)
    chest = hip @ np.array([[2, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0.5, 0], [0, 0, 0, 1.0]])
    lowered = np.array([[1, 0, 0, 0], [0, 1, 0, -1], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    for vertex, start in enumerate(character.positions):
        point = np.append(start, 1)
        expected = (1 - start[1] / 2) * (hip @ point) + start[1] / 2 * (chest @ lowered @ point)
        np.testing.assert_allclose(motion.positions[0, vertex], expected[:3], atol=1e-5)


def test_keys_are_joined_as_other_libraries_join_them():
    times_s = np.array([0.0, 1.0, 3.0])
    asked = np.array([-1.0, 0.0, 0.3, 1.0, 2.2, 3.0, 9.0])
    held = asked.clip(0, 3)
    keys = np.array([[0.0], [2.0], [-1.0]])
    step = Channel(0, "translation", "STEP", times_s, keys)
    assert step.sample(asked)[:, 0].tolist() == [0, 0, 0, 2, 2, -1, -1]
    linear = Channel(0, "translation", "LINEAR", times_s, keys)
    np.testing.assert_allclose(linear.sample(asked)[:, 0], np.interp(held, times_s, keys[:, 0]))
    tangents = np.array([1.0, -2.0, 0.5])
    cubic = Channel(0, "scale", "CUBICSPLINE", times_s, np.stack([tangents, keys[:, 0], tangents], axis=1)[..., None])
    spline = CubicHermiteSpline(times_s, keys[:, 0], tangents)
    np.testing.assert_allclose(cubic.sample(asked)[:, 0], spline(held), atol=1e-9)
    turns = Rotation.from_euler("xyz", [[0, 0, 0], [1.0, 0.2, 0], [0.3, -2, 1]])
    signs = np.array([[1], [-1], [1]])  # the same rotations
    quaternions = Channel(0, "rotation", "LINEAR", times_s, turns.as_quat() * signs)
    matrices = Rotation.from_quat(quaternions.sample(asked)).as_matrix()
    np.testing.assert_allclose(matrices, Slerp(times_s, turns)(held).as_matrix(), atol=1e-6)


def test_morph_targets_move_vertices_by_their_weights(tmp_path):
    gltf = tiny_rig.rig(skinned=False, animated=False)
    primitive = gltf.document["meshes"][0]["primitives"][0]
    count = len(tiny_rig.box()[0])
    primitive["targets"] = [{"POSITION": gltf.array(np.tile(offset, (count, 1)))} for offset in ([1, 0, 0], [0, 3, 0])]
    gltf.document["meshes"][0]["weights"] = [0.5, 0]
    tiny_rig.animate(gltf, "Swell", {(0, "weights"): ([0, 1], [[0], [0], [1], [2]])})
    tiny_rig.animate(gltf, "Shift", {(0, "translation"): ([0, 1], [(0, 0, 0), (0, 0, 4)])})
    path = gltf.write(tmp_path / "box.glb")
    character, swollen = pose_at(path, "Swell", 0.5)
    np.testing.assert_allclose(swollen.positions[0], character.positions + np.array([0.5, 3, 0]), atol=1e-6)
    character, shifted = pose_at(path, "Shift", 1.0)
    np.testing.assert_allclose(shifted.positions[0], character.positions + np.array([0.5, 0, 4]), atol=1e-6)


def test_a_matrix_is_the_transform_that_it_spells(tmp_path):
    gltf = tiny_rig.rig(skinned=False)
    turn = Rotation.from_quat(tiny_rig.quarter_turn()).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * 2, (5, 6, 7)
    gltf.document["nodes"][0]["matrix"] = matrix.T.reshape(-1).tolist()
    character, motion = pose_at(gltf.write(tmp_path / "box.glb"), "Hold", 0.0)
    np.testing.assert_allclose(motion.positions[0], 2 * character.positions @ turn.T + [5, 6, 7], atol=1e-5)


def test_accessors_are_strided_sparse_and_normalized():
    data = np.array([[0, 9], [51, 9], [255, 9]], np.uint8).tobytes() + bytes([0, 0, 2]) + bytes([7])
    views = [{"buffer": 0, "byteStride": 2}, {"buffer": 0, "byteOffset": 8}, {"buffer": 0, "byteOffset": 9}]
    plain = {"bufferView": 0, "componentType": 5121, "count": 3, "type": "SCALAR"}
    sparse = {"count": 1, "indices": {"bufferView": 1, "componentType": 5121}, "values": {"bufferView": 2}}
    accessors = [plain, {**plain, "normalized": True}, {**plain, "sparse": sparse}]
    file = GltfFile(None, {"bufferViews": views, "accessors": accessors}, (data,))
    assert file.array(0).tolist() == [0, 51, 255]
    np.testing.assert_allclose(file.array(1), [0, 0.2, 1])
    assert file.array(2).tolist() == [0, 51, 7]


def test_text_and_binary_files_say_the_same(tmp_path):
    gltf = tiny_rig.rig()
    binary = read_character(gltf.write(tmp_path / "box.glb"))
    encoded = base64.b64encode(gltf.binary).decode()
    for place, uri in (("data", f"data:application/octet-stream;base64,{encoded}"), ("file", "box%20one.bin")):
        (tmp_path / "box one.bin").write_bytes(gltf.binary)
        gltf.document["buffers"] = [{"uri": uri, "byteLength": len(gltf.binary)}]
        (tmp_path / f"{place}.gltf").write_text(json.dumps(gltf.document))
        text = read_character(tmp_path / f"{place}.gltf")
        assert np.array_equal(text.positions, binary.positions)
        assert np.array_equal(text.materials[0].labels, binary.materials[0].labels)


def test_a_motion_fits_another_skeleton_of_the_same_names(tmp_path):
    gltf = tiny_rig.rig(animated=False)
    turned = Rotation.from_euler("x", 0.3)
    gltf.document["nodes"][2] |= {"translation": [0, 2, 0], "rotation": turned.as_quat().tolist()}
    gltf.document["nodes"][3] |= {"translation": [0, 2, 0]}
    long = read_character(gltf.write(tmp_path / "long.glb"))
    source = tiny_rig.rig(animated=False)
    rising = {(2, "translation"): ([0, 1], [(0, 1, 0), (0, 1.5, 0)])}
    rising[2, "rotation"] = ([0, 1], [(0, 0, 0, 1), tiny_rig.quarter_turn()])
    tiny_rig.animate(source, "Rise", rising)
    short = read_character(source.write(tmp_path / "short.glb"))
    moved = hand_on(short.animations["Rise"], short.nodes, long.nodes)
    still = hand_on(short.animations["Rise"], short.nodes, short.nodes)
    ends = {channel.path: channel.sample(np.array([0.0, 1.0])) for channel in moved.channels}
    np.testing.assert_allclose(ends["translation"], [[0, 2, 0], [0, 3, 0]])
    expected = turned * Rotation.from_quat(tiny_rig.quarter_turn())
    np.testing.assert_allclose(Rotation.from_quat(ends["rotation"][0]).as_matrix(), turned.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(Rotation.from_quat(ends["rotation"][1]).as_matrix(), expected.as_matrix(), atol=1e-7)
    for before, after in zip(short.animations["Rise"].channels, still.channels, strict=True):
        np.testing.assert_allclose(before.values, after.values, atol=1e-6)


def test_parts_are_what_hangs_together():
    positions, _, _, triangles = tiny_rig.box()
    two = np.concatenate([positions, positions + np.array([5, 0, 0])])
    faces = np.concatenate([triangles, triangles + len(positions)])
    assert number_parts(two, faces, [len(two)]).tolist() == [0] * len(positions) + [1] * len(positions)
    # Two surfaces are two parts, even where they touch.
    assert number_parts(np.concatenate([positions] * 2), faces, [len(positions)] * 2).max() == 1


def test_long_chains_of_triangles_are_one_part():
    order = np.random.default_rng(0).permutation(3000)
    strip = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
    positions = np.random.default_rng(1).random((3000, 3))
    assert number_parts(positions, strip, [3000]).max() == 0


def test_gradients_become_one_color_and_edges_stay():
    ramp = np.linspace(90, 140, 64)
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :32] = np.stack([ramp + 100, ramp, ramp], axis=1)[:, None]
    image[:, 32:] = (40, 60, 200)
    image[10, 10] = (0, 255, 0)  # a speck
    colors, labels = flatten(image)
    assert len(colors) == 2
    assert np.array_equal(labels[:, :32] == labels[0, 0], np.ones((64, 32), bool))
    assert np.array_equal(labels[:, 32:] == labels[0, 63], np.ones((64, 32), bool))
    np.testing.assert_allclose(colors[labels[0, 63]] * 255, (40, 60, 200), atol=0.5)


@pytest.mark.parametrize("view", range(5))
def test_the_camera_sees_every_point_and_wastes_no_space(view):
    points = np.random.default_rng(view).normal(size=(500, 3)) * [1, 3, 0.5] + [10, -2, 4]
    camera = frame_motion(points, *view_angles(view, 5), 200)
    pixels = camera.project(points)
    reach = np.abs(pixels - 99.5).max() / 100
    assert FILLED - 0.02 < reach <= FILLED + 1e-6
    up = camera.project(np.array([[10, -2, 4], [10, -1, 4.0]]))
    assert up[1, 1] < up[0, 1]


def test_the_first_view_shows_the_front():
    camera = frame_motion(tiny_rig.box()[0], 0, 0, 100)
    assert camera.axes[2] @ [0, 0, 1] == pytest.approx(1)  # towards the eye
    assert camera.axes[0] @ [1, 0, 0] == pytest.approx(1)


def flat_samples(surface, depth):
    facing = np.zeros((*surface.shape, 3), np.int16)
    facing[..., 2] = 127
    return Samples(np.zeros((*surface.shape, 3), np.uint8), facing, surface.astype(np.int32), depth.astype(np.float32))


def test_ink_lies_on_the_nearer_surface_and_closes_around_it():
    surface, depth = np.full((300, 300), 1), np.full((300, 300), 10.0)
    depth[90:210, 90:210] = 5  # nearer, of the same part and color
    ink = find_ink(flat_samples(surface, depth), 300)
    assert not ink[:88].any() and not ink[:, :88].any() and not ink[212:].any() and not ink[:, 212:].any()
    assert ink[90, 90:210].all() and ink[209, 90:210].all() and ink[90:210, 90].all() and ink[90:210, 209].all()
    assert not ink[100:200, 100:200].any()


def test_a_slanting_plane_has_no_ink_and_a_border_of_paints_has():
    surface, depth = np.full((300, 300), 1), np.tile(1 / np.linspace(0.1, 0.4, 300), (300, 1))
    assert not find_ink(flat_samples(surface, depth), 300).any()
    surface[:, 150:] = 2
    ink = find_ink(flat_samples(surface, depth), 300)
    assert ink[:, 149].all() and ink.sum() < 5 * 300


def test_specks_are_no_lines():
    surface, depth = np.full((300, 300), 1), np.full((300, 300), 10.0)
    surface[100:102, 100:102] = 2
    assert not find_ink(flat_samples(surface, depth), 300).any()


def test_a_pixel_is_occluded_where_something_nearer_stands_or_the_frame_ends():
    fine = 10 * SUPERSAMPLING
    surface, depth = np.full((fine, fine), 1), np.full((fine, fine), 10.0)
    surface[:, : 4 * SUPERSAMPLING], depth[:, : 4 * SUPERSAMPLING] = 257, 5  # another part covers columns 0 to 3
    flow = np.zeros((10, 10, 2), np.float32)
    flow[5:, :, 0] = 3
    landing = Landing(flow, np.full((10, 10), 10.0), np.zeros((10, 10)), np.full((10, 10), 1))
    occluded = find_occluded(landing, flat_samples(surface, depth))
    assert occluded[:5].tolist() == [[True] * 4 + [False] * 6] * 5
    assert occluded[5:].tolist() == [[True] + [False] * 6 + [True] * 3] * 5


def test_what_is_behind_the_figure_is_occluded_where_the_figure_is():
    fine = 10 * SUPERSAMPLING
    surface = np.zeros((fine, fine), int)
    surface[: 2 * SUPERSAMPLING] = 1
    nothing = np.zeros((10, 10))
    landing = Landing(np.zeros((10, 10, 2), np.float32), nothing, nothing, nothing.astype(int))
    occluded = find_occluded(landing, flat_samples(surface, surface * 5.0))
    assert occluded[:2].all() and not occluded[2:].any()


def test_flow_comes_back_from_its_file_to_a_128th_of_a_pixel(tmp_path):
    flow = np.random.default_rng(0).uniform(-500, 500, (7, 9, 2)).astype(np.float32)
    write_flow(tmp_path / "flow.png", flow)
    torch.testing.assert_close(
        read_flow(tmp_path / "flow.png"), torch.from_numpy(flow).permute(2, 0, 1), atol=1 / 127, rtol=0
    )
    with pytest.raises(InputError, match="smaller size"):
        write_flow(tmp_path / "flow.png", flow * 2)


def test_hidden_nodes_and_lights_are_left_out(tmp_path):
    path = tiny_rig.rig().write(tmp_path / "box.glb")
    assert len(read_character(path).positions) == 32
    with pytest.raises(InputError, match="no mesh"):
        read_character(path, hidden=("bod*",))


def test_faces_without_normals_are_flat(tmp_path):
    gltf = tiny_rig.rig()
    del gltf.document["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]
    character = read_character(gltf.write(tmp_path / "box.glb"))
    corners = character.positions[character.triangles]
    outward = corners.mean(axis=1) - [0, 1, 0]
    assert ((character.normals[character.triangles[:, 0]] * outward).sum(axis=1) > 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"not a model", "not a glTF"),
        (lambda data: data[:700], "not a glTF|damaged"),
        (lambda data: data[:-2000], "damaged|no PNG"),
        (lambda data: data.replace(b'"version": "2.0"', b'"version": "1.0"'), "version 1.0"),
        (lambda data: data.replace(b'"mesh": 0', b'"mesh": 7'), "damaged"),
        (lambda data: data.replace(b'"children": [3]', b'"children": [1]'), "own children"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, spoil, message):
    path = tiny_rig.rig().write(tmp_path / "box.glb")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=message) as error:
        read_character(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_compressed_files_and_missing_ones_are_refused(tmp_path):
    gltf = tiny_rig.rig()
    gltf.document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    with pytest.raises(InputError, match="without compression"):
        read_gltf(gltf.write(tmp_path / "box.glb"))
    with pytest.raises(InputError, match="cannot be read"):
        read_gltf(tmp_path / "none.glb")
