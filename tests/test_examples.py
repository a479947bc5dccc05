from pathlib import Path

import make_example
from opdm.frames import read_frame

EXAMPLE = Path(__file__).parents[1] / "examples" / "shot"


def test_the_example_is_what_its_script_draws_on_every_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_example.py", str(tmp_path)])
    make_example.main()
    drawn = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    assert drawn == sorted(path.relative_to(EXAMPLE) for path in EXAMPLE.rglob("*.png"))
    for name in drawn:
        difference = (read_frame(tmp_path / name) - read_frame(EXAMPLE / name)).abs() * 255
        # Processors round differently in the last bit; more than that would be another picture.
        assert difference.mean() < 0.01, name
