"""Networks from a local folder in transformers' format: nothing is downloaded, and no weight is made up."""

from pathlib import Path
from typing import Any


def load_whole(kind: Any, folder: Path, **options: Any) -> Any:
    """
    A network of the class `kind`, every weight of it from `folder/model.safetensors`, its shards, or a file in half
    precision if that is all there is.

    Raises ValueError naming the first layer that the folder lacks, which transformers would draw at random and only
    log, and OSError where files are missing.
    """
    whole = any((folder / f"model.safetensors{ending}").is_file() for ending in ("", ".index.json"))
    half_only = not whole and (folder / "model.fp16.safetensors").is_file()
    options["variant"] = "fp16" if half_only else None
    network, found = kind.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
    )
    lacking = sorted(found["missing_keys"])
    if lacking:
        raise ValueError(f"{folder} is no whole {kind.__name__}: it lacks {len(lacking)} weights, first {lacking[0]!r}")
    return network.eval()
