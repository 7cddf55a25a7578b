# Appended to a copy of ablations/run.py: a report of light stages, one line a run.


def write_results(name: str, scale: str, out: Path | None, arms: object = (), metrics: object = ()) -> Path:
    spec, store = load(name, scale), Store()
    lines = []
    for (arm, seed), roles in plan(spec).runs.items():
        score = store.artifact(roles["score"]) / "score"
        lines.append(f"{arm} {seed} {score.read_text() if store.has(roles['score']) else 'missing'}")
    folder = results_folder(spec, out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    return folder / "table.md"
