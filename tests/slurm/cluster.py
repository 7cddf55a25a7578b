"""
A real SLURM cluster on this machine, for the tests and for trying things out, as root on Debian.

Four nodes (four slurmd processes) with four cores and one declared GPU each, a controller, accounting over a database
of its own, and munge; partitions `main` and, above it, `urgent`. Every file lies under one temporary folder and every
port is a free one: nothing of the system's own configuration is read or left changed.

`python tests/slurm/cluster.py COMMAND ARGS` runs a command on a fresh cluster and takes the cluster down after it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NODES = ("node1", "node2", "node3", "node4")
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db", "sbatch")
PATIENCE_S = 180

CONFIGURATION = """
ClusterName=ablate
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[ctld]}
SlurmUser=root
AuthType=auth/munge
# cred_expire is also how long a requeued job waits: two minutes by default
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[dbd]}
# to slurmdbd this is not a password but munge's socket
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1,batch_sched_delay=0,defer_batch
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize=2000
KillWait=3
SlurmdTimeout=10
ReturnToService=2
InactiveLimit=0
GresTypes=gpu
NodeName=DEFAULT CPUs=4 RealMemory=16000 Gres=gpu:1
{nodes}
PartitionName=main Nodes=ALL Default=YES DefMemPerCPU=1000 MaxTime=1-0 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=urgent Nodes=ALL DefMemPerCPU=1000 MaxTime=1-0 PriorityTier=10 PreemptMode=OFF
"""

ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={ports[dbd]}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[database]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


class Cluster:
    """The cluster, as a context. `environment` is what its commands (sbatch, squeue, ...) need to find it."""

    def __init__(self) -> None:
        missing = [program for program in PROGRAMS if not find(program)]
        if missing:
            raise RuntimeError(
                f"no {', '.join(missing)} here: apt-get install slurm-wlm slurmdbd munge mariadb-server, and be root"
            )
        self.folder = Path(tempfile.mkdtemp(prefix="ablate-slurm-"))
        self.folder.chmod(0o755)
        self.host = socket.gethostname().partition(".")[0]
        self.ports = dict(zip(("ctld", "dbd", "database", *NODES), free_ports(3 + len(NODES)), strict=True))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> "Cluster":
        try:
            self._configure()
            self._start_munge()
            self._start_accounting()
            for account in (("cluster", "ablate"), ("account", "research"), ("user", "root", "account=research")):
                self.until(lambda words=account: self._add(*words), f"sacctmgr add {account[0]}")
            self.start("slurmctld", "slurmctld", "-D")
            for node in NODES:
                self.start_node(node)
            self.until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started: nodes with their jobs first, the database last. Nothing is left behind."""
        if "slurmctld" in self.processes:
            self.command("scancel", "--user=root", check=False)
            self.command("scancel", "--signal=KILL", "--full", "--user=root", check=False)
            time.sleep(1)
        for name in (*NODES, "slurmctld", "slurmdbd", "munged", "mariadbd"):
            self.stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name: str, program: str, *arguments: str, user: str | None = None) -> None:
        """Start one of the cluster's processes in the foreground of a session of its own; it dies with this one."""
        with (self.folder / f"{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", find(program) or program, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                start_new_session=True,
            )

    def stop(self, name: str, *, at_once: bool = False) -> None:
        """End a process that `start` started; slurmd killed `at_once` is what a crashed node looks like."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.kill() if at_once else process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def without_accounting(self) -> Iterator[None]:
        """Take slurmdbd away for a while: sacct then fails, and everything else goes on."""
        self.stop("slurmdbd")
        try:
            yield
        finally:
            self._start_slurmdbd()

    def until_idle(self) -> None:
        """Wait until every node can take jobs."""
        self.until(lambda: self.states() == dict.fromkeys(NODES, "idle"), "nodes to be idle")

    def crash(self, node: str) -> None:
        """End a node as a power cut would: its slurmd and everything that its jobs run."""
        self.stop(node, at_once=True)
        jobs = self.processes_on(node)
        for pid in [*supervisors(jobs), *jobs]:  # whoever is left would tell the controller that a job was killed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes_on(self, node: str) -> list[int]:
        """Processes of a node's jobs, known by their environment."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()} <= set(
                environment
            ):
                found.append(int(process.name))
        return found

    def start_node(self, node: str) -> None:
        """Start (again) a node's slurmd."""
        self.start(node, "slurmd", "-D", "-N", node)

    def command(self, *words: str, check: bool = True) -> str:
        """The output of one of SLURM's commands."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """State of every node, as sinfo says it."""
        lines = self.command("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T", check=False)
        return dict(line.split() for line in lines.splitlines())

    def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
        """Wait for a condition; if it does not come true, say for what and show the logs' ends."""
        end = time.monotonic() + seconds
        while not condition():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > end:
                logs = "\n".join(f"{p.name}: {p.read_text(errors='replace')[-400:]}" for p in self._logs())
                raise RuntimeError(f"waited in vain for {what}; ended: {dead}\n{logs}")
            time.sleep(0.1)

    def _logs(self) -> list[Path]:
        return [path for path in sorted(self.folder.iterdir()) if path.suffix in (".out", ".log")]

    def _configure(self) -> None:
        (self.folder / "state").mkdir()
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={self.host} NodeAddr=127.0.0.1 Port={self.ports[node]}" for node in NODES
        )
        values = {"host": self.host, "ports": self.ports, "folder": self.folder, "nodes": nodes}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        # a GPU is any device file: no program here looks at it
        gpus = (f"NodeName={node} Name=gpu File=/dev/tty{number}\n" for number, node in enumerate(NODES, 1))
        (self.folder / "gres.conf").write_text("".join(gpus))
        (self.folder / "slurmdbd.conf").write_text(ACCOUNTING.format(**values))
        (self.folder / "slurmdbd.conf").chmod(0o600)

    def _start_munge(self) -> None:
        home = self.folder / "munge"
        home.mkdir()
        (home / "key").write_bytes(os.urandom(128))
        (home / "key").chmod(0o600)
        for path in (home, home / "key"):
            shutil.chown(path, "munge", "munge")
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={home / file}" for option, file in files.items()]
        self.start("munged", "munged", "--foreground", "--num-threads=10", *options, user="munge")
        self.until((home / "socket").exists, "munge")

    def _start_accounting(self) -> None:
        data, own = self.folder / "database", f"--socket={self.folder}/database/socket"
        self.until(lambda: self._made_database(data), "the database's files")
        where = (f"--datadir={data}", own, f"--port={self.ports['database']}", "--bind-address=127.0.0.1")
        small = ("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--innodb-flush-log-at-trx-commit=0")
        self.start("mariadbd", "mariadbd", "--no-defaults", *where, *small, user="mysql")
        grant = "GRANT ALL ON slurm.* TO slurm@localhost IDENTIFIED BY 'slurm'"
        client = ["mariadb", "--no-defaults", own, "--user=root", "--execute", grant]
        self.until(lambda: subprocess.run(client, capture_output=True, check=False).returncode == 0, "the database")
        self._start_slurmdbd()

    def _made_database(self, data: Path) -> bool:
        """Make the database's files: with two clusters starting at once that was seen to fail, and to succeed again."""
        shutil.rmtree(data, ignore_errors=True)
        install = [find("mariadb-install-db") or "", "--no-defaults", f"--datadir={data}", "--user=mysql"]
        options = ("--auth-root-authentication-method=normal", "--skip-test-db")
        with (self.folder / "mariadb-install-db.out").open("ab") as log:
            return subprocess.run([*install, *options], stdout=log, stderr=log, check=False).returncode == 0

    def _start_slurmdbd(self) -> None:
        self.start("slurmdbd", "slurmdbd", "-D")
        self.until(lambda: listening(self.ports["dbd"]), "slurmdbd")

    def _add(self, *words: str) -> bool:
        self.command("sacctmgr", "--immediate", "add", *words, check=False)
        kind, name = words[:2]
        return name in self.command("sacctmgr", "--noheader", "--parsable2", "show", kind, check=False)


def supervisors(jobs: list[int]) -> set[int]:
    """The slurmstepds that started a node's jobs."""
    found = set()
    for job in jobs:
        with contextlib.suppress(OSError):
            parent = Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[1]
            if Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd"):
                found.add(int(parent))
    return found


def find(program: str) -> str | None:
    """A program on the path or where Debian puts a server's."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def listening(port: int) -> bool:
    """Whether somebody answers on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    with Cluster() as cluster:
        sys.exit(subprocess.run(sys.argv[1:] or ["bash"], env=cluster.environment, check=False).returncode)
