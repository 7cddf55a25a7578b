from pathlib import Path

import pytest
import torch
from torch import nn

from svd_core.training.state import TrainingState, checkpoints, resume


def trained_state(steps: int = 3) -> TrainingState:
    torch.manual_seed(0)
    state = TrainingState.start(nn.Linear(4, 3), lr=0.1, weight_decay=0.01)
    for _ in range(steps):
        state.optimizer.zero_grad()
        state.network(torch.randn(5, 4)).square().sum().backward()
        state.optimizer.step()
        state.steps += 1
        state.samples += 5
        state.update_ema(0.9)
    state.pending, state.metrics_bytes = [(0.1, 1 / 3)], 17
    return state


def all_tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    moments = {f"{n}.{k}": v for n, p in state.network.named_parameters() for k, v in state.optimizer.state[p].items()}
    return {**dict(state.network.named_parameters()), **{f"ema.{k}": v for k, v in state.ema.items()}, **moments}


def test_ema_follows_its_formula() -> None:
    state = TrainingState.start(nn.Linear(1, 1, bias=False), lr=0.1, weight_decay=0)
    expected = state.ema["weight"].item()
    for step in range(1, 40):
        with torch.no_grad():
            state.network.weight.fill_(float(step))
        state.steps = step
        state.update_ema(0.5)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert state.ema["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_the_fused_optimiser_is_adamw() -> None:
    """One kernel for all weights, and the steps of Loshchilov and Hutter's algorithm 2."""
    state = TrainingState.start(nn.Linear(3, 2, bias=False), lr=0.1, weight_decay=0.01)
    assert state.optimizer.defaults["fused"]
    weight, first, second = state.network.weight.detach().clone(), torch.zeros(2, 3), torch.zeros(2, 3)
    for step in range(1, 6):
        gradient = torch.randn(2, 3, generator=torch.Generator().manual_seed(step))
        state.network.weight.grad = gradient.clone()
        state.optimizer.step()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        update = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        weight = weight - 0.1 * (update + 0.01 * weight)
    torch.testing.assert_close(state.network.weight.detach(), weight, rtol=1e-5, atol=1e-6)


def test_the_average_stands_in_for_the_weights_and_they_come_back_to_the_bit() -> None:
    state = trained_state()
    own = {name: value.detach().clone() for name, value in state.network.named_parameters()}
    average = {name: value.clone() for name, value in state.ema.items()}
    assert not torch.equal(own["weight"], average["weight"])
    with pytest.raises(RuntimeError, match="sampling failed"), state.averaged():
        assert all(torch.equal(value, average[name]) for name, value in state.network.named_parameters())
        raise RuntimeError("sampling failed")
    assert all(torch.equal(value, own[name]) for name, value in state.network.named_parameters())
    assert all(torch.equal(value, average[name]) for name, value in state.ema.items())


def test_a_checkpoint_restores_everything_to_the_bit(tmp_path: Path) -> None:
    saved = trained_state()
    saved.save(tmp_path)
    restored = trained_state(steps=0)
    assert resume(restored, tmp_path)
    before, after = all_tensors(saved), all_tensors(restored)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (restored.samples, restored.steps, restored.pending) == (15, 3, [(0.1, 1 / 3)])
    assert restored.metrics_bytes == 17


def test_equal_states_make_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trained_state().save(tmp_path / name)
    a, b = (checkpoints(tmp_path / name)[0].read_bytes() for name in ("a", "b"))
    assert a == b


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    for steps in (2, 3):
        trained_state(steps).save(tmp_path)
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-10])
    (tmp_path / "000000000020.half").write_bytes(b"interrupted")
    restored = trained_state(steps=0)
    assert resume(restored, tmp_path)
    assert restored.steps == 2
    assert [path.name for path in tmp_path.iterdir()] == ["000000000010.safetensors"]


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    for steps in range(1, 5):
        trained_state(steps).save(tmp_path)
    assert [int(path.stem) for path in checkpoints(tmp_path)] == [15, 20]


def test_without_a_checkpoint_nothing_changes(tmp_path: Path) -> None:
    state = trained_state()
    assert not resume(state, tmp_path / "state")
    assert state.steps == 3
