"""Several processes and micro-batches: the same gradients, the same training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import run_ranks
from safetensors.torch import load_file

from svd_core.models.unet import SpatioTemporalUNet
from svd_core.training import execution
from svd_core.training.batches import Batch
from svd_core.training.execution import Execution
from svd_core.training.objectives import objective_of
from svd_core.training.settings import ExecutionSettings

PROGRAM = Path(__file__).with_name("two_processes.py")


def test_samples_are_dealt_once_each() -> None:
    samples = range(24, 48)
    dealt = [part for rank in range(3) for part in Execution(rank=rank, world=3, micro_batch=2).micro_batches(samples)]
    assert [index for part in dealt for index in part] == list(samples)
    assert {len(part) for part in dealt} == {2}
    with pytest.raises(ValueError, match="a batch of 4 cannot be dealt evenly to 3 processes"):
        Execution(world=3).micro_batches(range(4))


def run(out: Path, processes: int, *arguments: str) -> Path:
    out.mkdir(exist_ok=True)
    ended = run_ranks("-W", "error", str(PROGRAM), str(out), *arguments, processes=processes)
    assert [status for status, _ in ended] == [0] * processes
    return out


def differences(one: Path, other: Path) -> dict[str, float]:
    """Largest relative difference of all gradients together, and of the loss curves."""
    gradients = [
        torch.cat([v.flatten() for v in load_file(f / "gradients.safetensors").values()]) for f in (one, other)
    ]
    curves = [
        torch.tensor([json.loads(line)["loss"] for line in (f / "metrics.jsonl").read_text().splitlines()])
        for f in (one, other)
    ]
    return {
        name: ((b - a).norm() / a.norm()).item() for name, (a, b) in {"gradients": gradients, "losses": curves}.items()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("alone"), 1, "ddp", "0", "25")


@pytest.mark.slow
def test_micro_batches_and_recomputed_activations_give_the_same_gradients(alone: Path, tmp_path: Path) -> None:
    found = differences(alone, run(tmp_path, 1, "ddp", "1", "25", "checkpointing"))
    assert found["gradients"] < 1e-5
    assert found["losses"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_give_the_gradients_and_losses_of_one(strategy: str, alone: Path, tmp_path: Path) -> None:
    """And the same weights and state, to the bit, if one was told to stop on the way, and a grid was sampled."""
    undisturbed = run(tmp_path / "undisturbed", 2, strategy, "1", "25")
    found = differences(alone, undisturbed)
    assert found["gradients"] < 1e-5
    assert found["losses"] < 1e-5
    stopped = run(tmp_path / "stopped", 2, strategy, "1", "25", "stop")
    assert not (stopped / "ema.safetensors").exists()
    assert [path.stem for path in (stopped / "state").iterdir()] == ["000000000028"]
    continued = run(stopped, 2, strategy, "1", "25", "look")
    for file in ("ema.safetensors", "metrics.jsonl", "state/000000000100.safetensors"):
        assert (continued / file).read_bytes() == (undisturbed / file).read_bytes()


@pytest.mark.slow
def test_a_run_continues_on_another_number_of_processes(alone: Path, tmp_path: Path) -> None:
    """Ten steps on two processes under FSDP, the rest on one: no sample is read twice or left out."""
    run(tmp_path, 2, "fsdp", "0", "10")
    found = differences(alone, run(tmp_path, 1, "ddp", "0", "25"))
    assert found["losses"] < 1e-5
    assert found["gradients"] < 1e-4


def test_execution_is_read_from_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    settings = ExecutionSettings(precision="bfloat16", strategy="fsdp", micro_batch=2, compiled=True)
    found = Execution.from_environment(settings)
    assert (found.rank, found.world, found.precision) == (1, 4, torch.bfloat16)
    assert (found.strategy, found.micro_batch, found.checkpointing, found.compiled) == ("fsdp", 2, False, True)


def small_network() -> SpatioTemporalUNet:
    """One level, so that its residual blocks come in two shapes only."""
    torch.manual_seed(0)
    return SpatioTemporalUNet(
        in_channels=4,
        block_out_channels=(32,),
        down_block_types=("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",),
        num_attention_heads=2,
        cross_attention_dim=8,
        layers_per_block=1,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16,
        norm_num_groups=8,
    )


def small_batch(samples: range) -> Batch:
    draws = torch.Generator().manual_seed(samples.start)
    count = len(samples)
    clean, noise = torch.randn(2, count, 3, 4, 8, 8, generator=draws)
    text, ids = torch.randn(count, 2, 8, generator=draws), torch.rand(count, 2, generator=draws)
    return Batch(clean, noise, torch.linspace(0.5, 5, count), text, ids, [str(index) for index in samples])


def gradients(how: Execution) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of four samples, and all gradients of their mean."""
    network = small_network()
    objective = objective_of("continuous", None, video=True)
    seen = how.backward(how.wrapped(network), objective, small_batch, range(4))
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}
    return torch.cat([losses for _, losses in seen]), torch.cat([p.grad.flatten() for p in network.parameters()])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # dynamo's own
def test_compiled_blocks_give_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced and differentiated as for the compiler proper, which would take minutes to build the code."""
    compiled = []

    def compiler(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        compiled.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(execution, "COMPILER", compiler)
    (losses, plain), (again, fast) = gradients(Execution()), gradients(Execution(compiled=True))
    torch.testing.assert_close(again, losses, rtol=1e-5, atol=1e-6)
    assert ((fast - plain).norm() / plain.norm()).item() < 1e-5
    blocks = sum(type(module).__name__ in execution.COMPILED_BLOCKS for module in small_network().modules())
    assert 1 <= len(compiled) < blocks, "blocks of one shape share their code"


def test_recomputed_activations_give_the_same_gradients() -> None:
    (losses, plain), (again, recomputed) = gradients(Execution()), gradients(Execution(checkpointing=True))
    assert torch.equal(again, losses)
    assert torch.equal(recomputed, plain)


def test_bfloat16_is_of_the_forward_pass_only() -> None:
    (losses, plain), (again, rounded) = gradients(Execution()), gradients(Execution(precision=torch.bfloat16))
    assert not torch.equal(again, losses)
    assert again.dtype == torch.float32
    torch.testing.assert_close(again, losses, rtol=0.03, atol=0)
    assert torch.nn.functional.cosine_similarity(plain, rounded, dim=0).item() > 0.99


def saved_bytes(recomputing: bool, samples: range) -> int:
    """Activations that are kept for the backward pass."""
    network = small_network()
    called = Execution(checkpointing=recomputing).wrapped(network)
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        losses = objective_of("continuous", None, video=True)(called, small_batch(samples))
    assert losses.requires_grad
    return sum(size for place, size in kept.items() if place not in weights)


def test_memory_falls_with_micro_batches_and_recomputed_activations() -> None:
    """Users of public code need 63 GB for 16 frames of 512 x 320: what is kept for the backward pass is most of it."""
    whole = saved_bytes(False, range(4))
    assert saved_bytes(False, range(1)) < 0.3 * whole
    assert saved_bytes(True, range(4)) < 0.5 * whole


def test_a_process_that_does_not_come_to_a_step_is_given_up() -> None:
    """But one that is late between trainings, as the first is that prepares them alone, is waited for."""
    (status, said), (late, others) = run_ranks(str(Path(__file__).with_name("rank_of_waiting.py")), processes=2)
    assert "was waited for" in said
    assert "Timed out waiting 2000ms" in said
    assert "was waited for" in others
    assert status != 0
    assert late != 0, "nobody is there any more"


@pytest.mark.slow
def test_leaving_does_not_abort_while_gloo_lets_go_of_a_tensor() -> None:
    (status, said), (other, _) = run_ranks(str(Path(__file__).with_name("rank_of_leaving.py")), processes=2)
    assert "let go of by the main thread: False" in said
    assert (status, other) == (0, 0)
