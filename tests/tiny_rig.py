"""Small characters as glTF files, written by hand: a box of two bones, and what can be said about it with a pencil."""

import json
import struct

import cv2
import numpy as np

FLOATS, BYTES = 5126, 5121
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Gltf:
    """A document that grows, and its binary chunk."""

    def __init__(self):
        self.binary = b""
        self.document = {"asset": {"version": "2.0"}, "scene": 0, "accessors": [], "bufferViews": []}

    def view(self, data):
        self.binary += b"\0" * (-len(self.binary) % 4)
        self.document["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)})
        self.binary += data
        return len(self.document["bufferViews"]) - 1

    def array(self, values, kind=np.float32, **more):
        values = np.ascontiguousarray(values, kind)
        values = values.reshape(len(values), -1)
        component = {"float32": FLOATS, "uint8": BYTES, "uint16": 5123, "uint32": 5125}[values.dtype.name]
        entry = {"bufferView": self.view(values.tobytes()), "componentType": component, "count": len(values)}
        self.document["accessors"].append({**entry, "type": TYPES[values.shape[1]], **more})
        return len(self.document["accessors"]) - 1

    def texture(self, image):
        view = self.view(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
        self.document["images"] = [{"bufferView": view, "mimeType": "image/png"}]
        self.document["textures"] = [{"source": 0}]

    def write(self, path):
        self.document["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        body = struct.pack("<II", len(text), 0x4E4F534A) + text
        body += struct.pack("<II", len(self.binary), 0x004E4942) + self.binary
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body)
        return path


WIDTH, DEPTH = 0.6, 0.4


def box():
    """Positions, normals, uv (V, ...), triangles (F, 3): 2 high, from y = 0 on, cut at y = 1, no corner shared."""
    x, z = WIDTH / 2, DEPTH / 2
    corners = [(-x, z), (x, z), (x, -z), (-x, -z)]
    positions, normals, uv, triangles = [], [], [], []
    for side in range(4):
        (x0, z0), (x1, z1) = corners[side], corners[(side + 1) % 4]
        normal = np.array([z1 - z0, 0, x0 - x1]) * -1
        for row, y in enumerate((0, 1, 2)):
            first = len(positions)
            positions += [(x0, y, z0), (x1, y, z1)]
            normals += [normal / np.linalg.norm(normal)] * 2
            uv += [(side / 4, 1 - y / 2), ((side + 1) / 4, 1 - y / 2)]
            if row:
                triangles += [(first - 2, first - 1, first + 1), (first - 2, first + 1, first)]
    for y, order in ((0, (0, 3, 2, 1)), (2, (0, 1, 2, 3))):
        first = len(positions)
        positions += [(corners[i][0], y, corners[i][1]) for i in order]
        normals += [(0, y - 1, 0)] * 4
        uv += [(0.01, 0.01)] * 4
        triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return np.array(positions, float), np.array(normals, float), np.array(uv, float), np.array(triangles)


def texture():
    """(128, 128, 3): 8 x 8 flat squares of a few strong colors."""
    colors = np.array([(200, 60, 50), (60, 120, 200), (240, 220, 120), (60, 160, 80), (245, 245, 245)], np.uint8)
    chosen = np.random.default_rng(0).integers(0, len(colors), (8, 8))
    return np.kron(colors[chosen], np.ones((16, 16, 1), np.uint8))


def rig(*, skinned=True, animated=True, double_sided=False, mirrored=False):
    """A box whose upper half bends about y = 1: bone `hip` at the origin, bone `chest` above it."""
    gltf = Gltf()
    positions, normals, uv, triangles = box()
    share = positions[:, 1] / 2  # of the chest: 0 below, a half in the middle, 1 on top
    attributes = {"POSITION": gltf.array(positions), "NORMAL": gltf.array(normals), "TEXCOORD_0": gltf.array(uv)}
    if skinned:
        attributes["JOINTS_0"] = gltf.array(np.tile([0, 1, 0, 0], (len(positions), 1)), np.uint8)
        weights = np.stack([1 - share, share, 0 * share, 0 * share], axis=1)
        attributes["WEIGHTS_0"] = gltf.array(weights)
        binds = np.stack([np.eye(4), np.eye(4)])
        binds[1, 3, 1] = -1  # stored by columns
        gltf.document["skins"] = [{"joints": [1, 2], "inverseBindMatrices": gltf.array(binds.reshape(2, 16))}]
    gltf.texture(texture())
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "doubleSided": double_sided}
    body = {"name": "body", "mesh": 0, **({"skin": 0} if skinned else {})}
    if mirrored:
        body["scale"] = [-1, 1, 1]
    gltf.document |= {
        "materials": [material],
        "meshes": [
            {
                "primitives": [
                    {"attributes": attributes, "indices": gltf.array(triangles.reshape(-1), np.uint16), "material": 0}
                ]
            }
        ],
        "nodes": [
            body,
            {"name": "hip", "children": [2]},
            {"name": "chest", "translation": [0, 1, 0], "children": [3]},
            {"name": "tip", "translation": [0, 1, 0]},
        ],
        "scenes": [{"nodes": [0, 1]}],
    }
    if animated:
        animate(gltf, "Bend", {(2, "rotation"): ([0, 1], [(0, 0, 0, 1), quarter_turn()])})
        animate(gltf, "Hold", {(2, "rotation"): ([0], [quarter_turn()])})
    return gltf


def quarter_turn():
    """About z, from x to y."""
    return (0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4))


def animate(gltf, name, channels, interpolation="LINEAR"):
    """channels: (node, path) -> (times, values)."""
    samplers, targets = [], []
    for (node, path), (times_s, values) in channels.items():
        values = np.asarray(values, float).reshape(-1, np.shape(values)[-1])
        samplers.append({"input": gltf.array(times_s), "output": gltf.array(values), "interpolation": interpolation})
        targets.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})
    entry = {"name": name, "samplers": samplers, "channels": targets}
    gltf.document.setdefault("animations", []).append(entry)
