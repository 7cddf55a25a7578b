"""Networks from a local folder in transformers' format: nothing is downloaded, and no weight is made up."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError


def load_whole(kind: Any, folder: Path, **options: Any) -> Any:
    """
    A network of the class `kind`, every weight of it from `folder/model.safetensors`, its shards, or a file in half
    precision if that is all there is.

    Raises ValueError naming the first weight that the folder lacks, which transformers would draw at random and only
    log, or has in another shape, and for damaged files; OSError where files are missing.
    """
    whole = any((folder / f"model.safetensors{ending}").is_file() for ending in ("", ".index.json"))
    half_only = not whole and (folder / "model.fp16.safetensors").is_file()
    options["variant"] = "fp16" if half_only else None
    options |= {"local_files_only": True, "use_safetensors": True, "ignore_mismatched_sizes": True}
    try:
        network, found = kind.from_pretrained(folder, output_loading_info=True, **options)
    except SafetensorError as error:
        raise ValueError(f"{folder}: damaged weights: {error}") from error
    for name, stored, expected in found["mismatched_keys"]:
        raise ValueError(f"{folder}: {name} {tuple(stored)}, but its config.json says {tuple(expected)}")
    lacking = sorted(found["missing_keys"])
    if lacking:
        raise ValueError(f"{folder} is no whole {kind.__name__}: it lacks {len(lacking)} weights, first {lacking[0]!r}")
    return network.eval()
