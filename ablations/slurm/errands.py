"""Commands of `ablate` as jobs: those that make no stages, but can be started again at any time (curate, train)."""

from collections.abc import Sequence
from pathlib import Path

from ablations.artifacts import Store
from ablations.cluster import SlurmCluster, load_cluster
from ablations.console import console
from ablations.errors import PlanError
from ablations.slurm.launch import Batch, Names, alone, keep
from ablations.slurm.orders import Orders, home


def slurm_cluster(name: str) -> SlurmCluster:
    """The file of a cluster that must be SLURM's: without one these commands run here."""
    cluster = load_cluster(name)
    if not isinstance(cluster, SlurmCluster):
        raise PlanError(f"{name!r} is no SLURM cluster; without --cluster the command runs on this machine")
    return cluster


def submit_commands(
    kind: str, out: Path, cluster: SlurmCluster, cluster_name: str, *arrays: Sequence[list[str]]
) -> None:
    """
    Submit arrays of commands that work on the folder `out`, each for when all jobs of the one before have ended.

    Jobs of this kind that are on their way to the same folder are left alone, and no more are sent.
    """
    store, names = Store(), Names(str(out.absolute()), "", cluster_name, out)
    with alone(store) as flight:
        if ids := flight.jobs_for(kind, names.spec, names.scale):
            console.print(f"on its way already: job {', '.join(ids)}")
            return
        batch, after = Batch(store, cluster, names), None
        orders = [orders_for(batch, kind, commands) for commands in arrays if commands]
        batch.rehearse(orders)
        with batch.whole():
            for each in orders:
                after = f"afterany:{batch.send(each, after)}"
    console.print(f"submitted as job {', '.join(batch.job_ids.values())}; scancel takes it back")
    console.print(f"logs: {home(store, orders[0].name)}; the same command again continues")


def orders_for(batch: Batch, kind: str, commands: Sequence[list[str]]) -> Orders:
    """Orders for one command a task; the user's own YAML files are copied, as the jobs' code is."""
    orders = batch.orders(kind, {index: [] for index in range(len(commands))})
    orders.commands = {
        index: [keep(batch.store, orders.name, str(place), word) for place, word in enumerate(words)]
        for index, words in enumerate(commands)
    }
    return orders
