import pytest
import torch

from golden_inputs import cartoon
from opdm.errors import InputError
from opdm.metrics.motion import FLOW_ESTIMATORS, FlowEstimator, dis, find_motion, raft


def picture(seed=1, height=64, width=72):
    return torch.from_numpy(cartoon(seed, height, width)).permute(2, 0, 1) / 255


ONES = FlowEstimator("ones", lambda source, target: torch.ones(2, *source.shape[-2:]))


def test_true_flow_comes_first_and_both_ways():
    truth = {(0, 1): torch.full((2, 8, 8), 2.0), (1, 0): torch.full((2, 8, 8), -2.0)}
    motion = find_motion(0, 1, lambda i, j: truth[i, j], lambda i: torch.rand(3, 8, 8), ONES)
    assert motion.source == "true"
    assert motion.forward_px is truth[0, 1]
    assert motion.backward_px is truth[1, 0]


def test_a_pair_without_true_flow_both_ways_is_estimated_and_says_so():
    truth = {(0, 1): torch.zeros(2, 8, 8)}
    for known in (lambda i, j: truth[i, j], None):
        motion = find_motion(0, 1, known, lambda i: torch.rand(3, 8, 8), ONES)
        assert motion.source == "ones"
        assert motion.forward_px.mean() == motion.backward_px.mean() == 1


def test_dis_follows_what_moves():
    first = picture()
    motion = find_motion(0, 1, None, lambda i: first.roll((2 * i, 3 * i), dims=(1, 2)), dis())
    inside = (slice(None), slice(16, 48), slice(16, 56))
    assert motion.source == "DIS"
    assert motion.forward_px[inside].flatten(1).median(dim=1).values.tolist() == pytest.approx([3, 2], abs=0.5)
    assert motion.backward_px[inside].flatten(1).median(dim=1).values.tolist() == pytest.approx([-3, -2], abs=0.5)


@pytest.mark.slow
def test_raft_takes_frames_of_any_size_and_names_its_weights(tmp_path):
    from torchvision.models.optical_flow import raft_large

    torch.save(raft_large(weights=None).state_dict(), tmp_path / "mine.pth")
    estimator = raft(tmp_path / "mine.pth")
    assert estimator.name == "RAFT mine.pth"
    flow = estimator.estimate(picture(1, 50, 130), picture(2, 50, 130))
    assert flow.shape == (2, 50, 130)
    assert flow.isfinite().all()


def test_raft_without_weights_is_an_error_not_a_number(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(
        InputError, match=r"RAFT: its weights could not be downloaded \(no route to host\); fetch https"
    ):
        FLOW_ESTIMATORS["raft"]()
    torch.save({"conv": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth has not the weights of torchvision's raft_large"):
        raft(tmp_path / "other.pth")


def test_a_download_is_kept_and_not_repeated(monkeypatch, tmp_path):
    from opdm.published_weights import find_weights

    calls = []

    def download(url, target, hash_prefix, progress):
        calls.append(hash_prefix)
        with open(target, "wb") as file:
            file.write(b"weights")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        assert find_weights("it", "https://host/net-0123abcd.pth", None).read_bytes() == b"weights"
    assert find_weights("it", "https://host/net-2015-12-05.pt", None).name == "net-2015-12-05.pt"
    assert calls == ["0123abcd", None]
