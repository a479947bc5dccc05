"""A posed character to arrays, by OpenGL without a window: what paint, which part, how far, and where it goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from opdm.data.rig.camera import TAN_HALF_VIEW, Camera
from opdm.data.rig.character import Character
from opdm.data.rig.materials import HOLE
from opdm.errors import InputError

if TYPE_CHECKING:
    import moderngl

SUPERSAMPLING = 3
"""Samples per pixel and axis. Odd, so that the middle one is the pixel's center, where flow is true."""
LIGHT = (-0.45, 0.65, 0.62)
"""Direction to the light as the camera sees it: from the left, above and behind the camera."""
WITHOUT_WINDOW: dict[str, Any] = {"backend": "egl"}
INSTALL_GL = "apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri"
"""On Debian: Mesa, which draws without a GPU too."""
TERMINATOR = 0.12
"""Cosine to the light below which paint is in shadow."""
SHADOW_TONE = (0.70, 0.66, 0.80)
"""What shadow leaves of the paint."""

VERTEX_SHADER = """
#version 330
uniform vec3 eye;
uniform mat3 axes;
uniform float slope;
uniform vec2 near_far;
in vec3 position;
in vec3 later;
in vec3 earlier;
in vec3 normal;
in vec2 uv;
in vec3 tint;
in float part;
out vec3 v_later;
out vec3 v_earlier;
out vec3 v_normal;
out vec2 v_uv;
out vec3 v_tint;
flat out float v_part;
void main() {
    vec3 seen = axes * (position - eye);
    float near = near_far.x, far = near_far.y;
    float clip = ((far + near) * -seen.z - 2.0 * far * near) / (far - near);
    // Row 0 of what is read is the lowest: upside down here is upright there.
    gl_Position = vec4(seen.x / slope, -seen.y / slope, clip, -seen.z);
    v_later = axes * (later - eye);
    v_earlier = axes * (earlier - eye);
    v_normal = axes * normal;
    v_uv = uv;
    v_tint = tint;
    v_part = part;
}
"""
FRAGMENT_HEAD = """
#version 330
uniform usampler2D labels;
uniform sampler2D colors;
uniform ivec2 wraps;
uniform vec2 near_far;
in vec3 v_later;
in vec3 v_earlier;
in vec3 v_normal;
in vec2 v_uv;
in vec3 v_tint;
flat in float v_part;
int wrap(float at, int count, int kind) {
    if (kind == 1) at = fract(at);
    if (kind == 2) at = 1.0 - abs(1.0 - 2.0 * fract(at / 2.0));
    return clamp(int(floor(at * float(count))), 0, count - 1);
}
uint find_label() {
    ivec2 size = textureSize(labels, 0);
    uint label = texelFetch(labels, ivec2(wrap(v_uv.x, size.x, wraps.x), wrap(v_uv.y, size.y, wraps.y)), 0).r;
    if (label == HOLEu) discard;
    return label;
}
float find_depth() {
    return 1.0 / gl_FragCoord.w;
}
""".replace("HOLE", str(HOLE))
PAINT_SHADER = (
    FRAGMENT_HEAD
    + """
uniform vec3 light;
uniform vec3 shadow_tone;
uniform float terminator;
layout(location = 0) out vec4 paint;
layout(location = 1) out vec4 facing;
layout(location = 2) out vec2 surface;
void main() {
    uint label = find_label();
    vec3 linear = texelFetch(colors, ivec2(int(label), 0), 0).rgb * v_tint;
    vec3 high = 1.055 * pow(max(linear, 0.0), vec3(1.0 / 2.4)) - 0.055;
    vec3 srgb = mix(high, 12.92 * linear, lessThan(linear, vec3(0.0031308)));
    vec3 normal = normalize(v_normal) * (gl_FrontFacing ? 1.0 : -1.0);
    vec3 tone = dot(normal, light) < terminator ? shadow_tone : vec3(1.0);
    paint = vec4(srgb * tone, 1.0);
    facing = vec4(normal * 0.5 + 0.5, 1.0);
    surface = vec2(v_part * 256.0 + float(label) + 1.0, find_depth());
}
"""
)
MOTION_SHADER = (
    FRAGMENT_HEAD
    + """
uniform float slope;
uniform vec2 half_size;
layout(location = 0) out vec4 flow;
layout(location = 1) out vec4 depths;
layout(location = 2) out vec2 surface;
vec2 to_pixel(vec3 seen) {
    return half_size * (1.0 + vec2(seen.x, -seen.y) / (slope * -seen.z));
}
void main() {
    uint label = find_label();
    flow = vec4(to_pixel(v_later) - gl_FragCoord.xy, to_pixel(v_earlier) - gl_FragCoord.xy);
    depths = vec4(-v_later.z, -v_earlier.z, fwidth(v_later.z), fwidth(v_earlier.z));
    surface = vec2(v_part * 256.0 + float(label) + 1.0, find_depth());
}
"""
)


def part_of(surface: np.ndarray) -> np.ndarray:
    """The part + 1 of what `Samples.surface` says; 0 where there is no figure."""
    return (surface + 255) >> 8


@dataclass(frozen=True)
class Samples:
    """A frame at several samples per pixel, (S H, S W)."""

    paint: np.ndarray
    """(S H, S W, 3) uint8; meaningless where there is no figure."""
    facing: np.ndarray
    """(S H, S W, 3) int16: normals towards the camera, times 127."""
    surface: np.ndarray
    """(S H, S W) int32: 256 part + color + 1; 0 where there is no figure."""
    depth: np.ndarray
    """(S H, S W) float32: distance along the view; 0 where there is no figure."""


@dataclass(frozen=True)
class Landing:
    """Where the pixels of a frame, (H, W), are in another frame."""

    flow_px: np.ndarray
    """(H, W, 2) float32, (dx, dy)."""
    depth: np.ndarray
    """(H, W): distance along the view there."""
    slope: np.ndarray
    """(H, W): by how much `depth` changes from pixel to pixel."""
    surface: np.ndarray
    """(H, W) int32 as `Samples.surface`."""


@dataclass(frozen=True)
class Pose:
    """Vertices (V, 3) of a frame, and of the frames after and before it."""

    positions: np.ndarray
    normals: np.ndarray
    later: np.ndarray
    earlier: np.ndarray


@lru_cache(maxsize=1)
def open_gl() -> "moderngl.Context":
    """This process's OpenGL. Raises InputError with what to install."""
    try:
        import moderngl
    except ImportError as error:
        raise InputError("drawing characters needs moderngl: pip install 'opdm[render]'") from error
    try:
        return moderngl.create_context(standalone=True, require=330, **WITHOUT_WINDOW)
    except Exception as error:  # whatever its loaders raise
        raise InputError(f"no OpenGL without a window ({error}); install it: {INSTALL_GL}") from error


class Renderer:
    """Draws one character. Use as a context manager: what it holds of OpenGL is released at the end."""

    def __init__(self, character: Character, size: int):
        self.size, self.character = size, character
        self.gl = gl = open_gl()
        self.held: list = []
        self.paint = self._hold(gl.program(vertex_shader=VERTEX_SHADER, fragment_shader=PAINT_SHADER))
        self.motion = self._hold(gl.program(vertex_shader=VERTEX_SHADER, fragment_shader=MOTION_SHADER))
        fine = size * SUPERSAMPLING
        self.fine = self._make_target((fine, fine), [(4, "f1"), (4, "f1"), (2, "f4")])
        self.coarse = self._make_target((size, size), [(4, "f4"), (4, "f4"), (2, "f4")])
        still = np.column_stack([character.uv, character.tints, character.parts]).astype(np.float32)
        self.moving = self._hold(gl.buffer(reserve=len(still) * 12 * 4))
        self.still = self._hold(gl.buffer(still.tobytes()))
        self.corners = self._hold(gl.buffer(character.triangles.astype(np.uint32).tobytes()))
        self.arrays = {name: self._make_array(getattr(self, name)) for name in ("paint", "motion")}
        self.textures = [self._make_textures(material.labels, material.colors) for material in character.materials]

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, *_: object) -> None:
        for thing in reversed(self.held):
            thing.release()

    def _hold(self, thing):
        self.held.append(thing)
        return thing

    def _make_target(self, shape, kinds):
        layers = [self._hold(self.gl.texture(shape, channels, dtype=kind)) for channels, kind in kinds]
        return self._hold(self.gl.framebuffer(layers, self._hold(self.gl.depth_renderbuffer(shape))))

    def _make_array(self, program):
        moving = [name for name in ("position", "normal", "later", "earlier") if name in program]
        layout = " ".join("3f" if name in program else "12x" for name in ("position", "normal", "later", "earlier"))
        still = [name for name in ("uv", "tint", "part") if name in program]
        sizes = {"uv": ("2f", "8x"), "tint": ("3f", "12x"), "part": ("1f", "4x")}
        still_layout = " ".join(used if name in program else skipped for name, (used, skipped) in sizes.items())
        content = [(self.moving, layout, *moving), (self.still, still_layout, *still)]
        return self._hold(self.gl.vertex_array(program, content, self.corners))

    def _make_textures(self, labels, colors):
        height, width = labels.shape
        texels = self._hold(self.gl.texture((width, height), 1, labels.tobytes(), alignment=1, dtype="u1"))
        palette = self._hold(self.gl.texture((len(colors), 1), 3, colors.astype(np.float32).tobytes(), dtype="f4"))
        for texture in (texels, palette):
            texture.filter = (self.gl.NEAREST, self.gl.NEAREST)
        return texels, palette

    def draw(self, pose: Pose, camera: Camera) -> tuple[Samples, Landing, Landing]:
        """The frame, and where its pixels are in the next one and in the one before."""
        self.moving.write(
            np.column_stack([pose.positions, pose.normals, pose.later, pose.earlier]).astype(np.float32).tobytes()
        )
        near_far = self._depth_range(pose.positions, camera)
        self._draw("paint", self.fine, camera, near_far)
        samples = self._read_samples()
        self._draw("motion", self.coarse, camera, near_far)
        later, earlier = self._read_landings()
        return samples, later, earlier

    def _depth_range(self, positions: np.ndarray, camera: Camera) -> tuple[float, float]:
        depths = (camera.eye - positions) @ camera.axes[2]
        margin = 0.01 * camera.extent
        return max(float(depths.min()) - margin, margin), float(depths.max()) + margin

    def _draw(self, name: str, target, camera: Camera, near_far: tuple[float, float]) -> None:
        program = getattr(self, name)
        values = {
            "eye": tuple(camera.eye),
            "axes": tuple(camera.axes.T.reshape(-1)),
            "slope": TAN_HALF_VIEW,
            "near_far": near_far,
            "light": tuple(np.array(LIGHT) / np.linalg.norm(LIGHT)),
            "shadow_tone": SHADOW_TONE,
            "terminator": TERMINATOR,
            "half_size": (self.size / 2, self.size / 2),
            "labels": 0,
            "colors": 1,
        }
        for key, value in values.items():
            if key in program:
                program[key].value = value
        target.use()
        target.clear()
        self.gl.enable_only(self.gl.DEPTH_TEST)
        self.gl.front_face = "cw"  # the picture is upside down
        for surface in self.character.surfaces:
            self._draw_surface(program, self.arrays[name], surface)

    def _draw_surface(self, program, array, surface) -> None:
        material = self.character.materials[surface.material]
        for place, texture in enumerate(self.textures[surface.material]):
            texture.use(place)
        program["wraps"].value = material.wraps
        if material.is_double_sided:
            self.gl.disable(self.gl.CULL_FACE)
        else:
            self.gl.enable(self.gl.CULL_FACE)
        first, last = surface.triangles.start, surface.triangles.stop
        array.render(vertices=3 * (last - first), first=3 * first)

    def _read(self, target) -> Iterator[np.ndarray]:
        width, height = target.size
        for index, layer in enumerate(target.color_attachments):
            kind = np.float32 if layer.dtype == "f4" else np.uint8
            data = target.read(components=layer.components, attachment=index, dtype=layer.dtype, alignment=1)
            yield np.frombuffer(data, kind).reshape(height, width, layer.components)

    def _read_samples(self) -> Samples:
        paint, facing, surface = self._read(self.fine)
        return Samples(
            paint[..., :3],
            facing[..., :3].astype(np.int16) - 128,
            surface[..., 0].astype(np.int32),
            np.ascontiguousarray(surface[..., 1]),
        )

    def _read_landings(self) -> tuple[Landing, Landing]:
        flow, depths, surface = self._read(self.coarse)
        ids = surface[..., 0].astype(np.int32)
        later, earlier = (
            Landing(flow[..., 2 * k : 2 * k + 2], depths[..., k], depths[..., 2 + k], ids) for k in range(2)
        )
        return later, earlier
