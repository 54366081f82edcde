"""The embedded demo: a small real web, a small real CLIP, and the stages run against them.

`tour.run` is what `lake demo` calls. `MODEL` is the folder of the model, which a lake's lake.toml
can name as `[models.demo]`.
"""

from pathlib import Path

MODEL = Path(__file__).parent / "model"
PACKAGED = "package:lakehouse/demo/model"  # the same on any machine that has the package
