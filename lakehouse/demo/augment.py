"""Random changes to flat drawings, so that a model learns what they show and not how they are drawn.

All on batches of RGBA tensors, float32 [N, 4, S, S] in 0..1, with a `torch.Generator` as the only source of
chance. Turning, scaling, shearing and bending stand for another artist's line; light from one side on the
blurred outline taken as a height stands for a rendered, three-dimensional look; colour, blur, noise and
ground for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (the field's name for it)
from torch import Tensor


@dataclass(frozen=True)
class Ranges:
    """How far each change goes. Set by hand: a person must still recognise the shape."""

    turn: float = 0.30  # radians either way
    scale: tuple[float, float] = (0.75, 1.2)
    stretch: float = 0.15  # log of the aspect
    shear: float = 0.2
    shift: float = 0.10  # of the half side
    bend: float = 0.05  # of the half side, on a 4 by 4 grid
    hue: float = 0.25  # radians around the grey axis
    contrast: tuple[float, float] = (0.6, 1.4)
    saturation: tuple[float, float] = (0.5, 1.5)
    brightness: float = 0.15
    relief: float = 3.0  # strength of the light on the outline
    slope: float = 0.3  # brightness from one side of the picture to the other
    blur: float = 0.4  # share of pictures that are blurred
    noise: float = 0.03
    plain: float = 0.5  # share on a white ground; the rest on a random colour that may run into another


def augment(pictures: Tensor, chance: torch.Generator, ranges: Ranges | None = None) -> Tensor:
    """RGBA [N, 4, S, S] -> RGB [N, 3, S, S], both float32 in 0..1."""
    r = ranges or Ranges()
    moved = _move(pictures, chance, r)
    colour, alpha = moved[:, :3], moved[:, 3:]
    colour = colour / alpha.clamp(min=1e-3)  # premultiplied while it was resampled
    colour = _tint(colour, chance, r)
    colour = _light(colour, alpha, chance, r)
    ground = _ground(colour, chance, r)
    whole = (colour.clamp(0, 1) * alpha + ground * (1 - alpha)).clamp(0, 1)
    return _camera(whole, chance, r)


def _uniform(n: int, low: float, high: float, chance: torch.Generator) -> Tensor:
    return torch.rand(n, generator=chance) * (high - low) + low


def _move(pictures: Tensor, chance: torch.Generator, r: Ranges) -> Tensor:
    """Turned, scaled, stretched, sheared, shifted and bent; the result's colour is premultiplied by alpha."""
    n = len(pictures)
    turn = _uniform(n, -r.turn, r.turn, chance)
    scale = 1 / _uniform(n, *r.scale, chance)
    stretch = torch.exp(_uniform(n, -r.stretch, r.stretch, chance))
    shear = _uniform(n, -r.shear, r.shear, chance)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = torch.cos(turn) * scale * stretch
    matrix[:, 0, 1] = -torch.sin(turn) * scale + shear
    matrix[:, 1, 0] = torch.sin(turn) * scale
    matrix[:, 1, 1] = torch.cos(turn) * scale / stretch
    matrix[:, :, 2] = (torch.rand(n, 2, generator=chance) * 2 - 1) * r.shift
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    bend = (torch.rand(n, 2, 4, 4, generator=chance) * 2 - 1) * r.bend
    grid = grid + F.interpolate(bend, grid.shape[1:3], mode="bicubic").permute(0, 2, 3, 1)
    premultiplied = torch.cat([pictures[:, :3] * pictures[:, 3:], pictures[:, 3:]], 1)
    return F.grid_sample(premultiplied, grid, align_corners=False)


def _tint(colour: Tensor, chance: torch.Generator, r: Ranges) -> Tensor:
    """Hue turned around the grey axis, then saturation, contrast and brightness."""
    n = len(colour)
    angle = _uniform(n, -r.hue, r.hue, chance)
    # Rodrigues' rotation about (1, 1, 1)
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None] / math.sqrt(3)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    turned = cos * torch.eye(3) + sin * cross + (1 - cos) / 3
    colour = torch.einsum("nij,njhw->nihw", turned, colour)
    grey = colour.mean(1, keepdim=True)
    colour = grey + (colour - grey) * _uniform(n, *r.saturation, chance)[:, None, None, None]
    colour = 0.5 + (colour - 0.5) * _uniform(n, *r.contrast, chance)[:, None, None, None]
    return colour + _uniform(n, -r.brightness, r.brightness, chance)[:, None, None, None]


def _light(colour: Tensor, alpha: Tensor, chance: torch.Generator, r: Ranges) -> Tensor:
    """Light from a random side: on outline and lightness, blurred, as a height; and across the picture."""
    n, side = len(colour), colour.shape[-1]
    height = _blurred(alpha * (0.5 + 0.5 * colour.mean(1, keepdim=True)), 3.0)
    down = height[:, :, 2:, 1:-1] - height[:, :, :-2, 1:-1]
    right = height[:, :, 1:-1, 2:] - height[:, :, 1:-1, :-2]
    angle = _uniform(n, 0, 2 * math.pi, chance)[:, None, None, None]
    relief = F.pad(torch.cos(angle) * right + torch.sin(angle) * down, (1, 1, 1, 1))
    strength = _uniform(n, 0, r.relief, chance)[:, None, None, None]
    line = torch.linspace(-1, 1, side)
    angle = _uniform(n, 0, 2 * math.pi, chance)[:, None, None, None]
    across = torch.cos(angle) * line[None, None, None, :] + torch.sin(angle) * line[None, None, :, None]
    slope = _uniform(n, 0, r.slope, chance)[:, None, None, None]
    return colour * (1 + slope * across) + strength * relief


def _ground(like: Tensor, chance: torch.Generator, r: Ranges) -> Tensor:
    """What stands behind the picture: white, one colour, or one colour running into another."""
    n, side = len(like), like.shape[-1]
    first, second = torch.rand(2, n, 3, 1, 1, generator=chance)
    second = torch.where(_uniform(n, 0, 1, chance)[:, None, None, None] < 0.5, first, second)
    line = torch.linspace(0, 1, side)[None, None, :, None]
    colours = (first * (1 - line) + second * line).expand(n, 3, side, side)
    white = _uniform(n, 0, 1, chance)[:, None, None, None] < r.plain
    return torch.where(white, torch.ones_like(like), colours)


def _camera(pictures: Tensor, chance: torch.Generator, r: Ranges) -> Tensor:
    """Some blurred, all with a little noise."""
    n = len(pictures)
    soft = _uniform(n, 0, 1, chance)[:, None, None, None] < r.blur
    amount = _uniform(n, 0, 1, chance)[:, None, None, None]
    blurred = amount * _blurred(pictures, 1.0) + (1 - amount) * pictures
    noise = (
        torch.randn(pictures.shape, generator=chance) * _uniform(n, 0, r.noise, chance)[:, None, None, None]
    )
    return (torch.where(soft, blurred, pictures) + noise).clamp(0, 1)


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur as two products with a banded matrix: some twenty times as fast as convolutions."""
    place = torch.arange(pictures.shape[-1])
    band = torch.exp(-0.5 * ((place[:, None] - place[None, :]) / sigma) ** 2)
    band = band / band.sum(1, keepdim=True)
    return band @ pictures @ band.T
