from ablations.slurm.ranks import variables

SLURM = {
    "SLURM_JOB_ID": "40007",
    "SLURM_NTASKS": "16",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_PROCID": "11",
    "SLURM_LOCALID": "3",
    "SLURM_LAUNCH_NODE_IPADDR": "10.1.2.3",
}


def test_torchs_variables_follow_from_slurms():
    assert variables(SLURM) == {
        "MASTER_ADDR": "10.1.2.3",
        "MASTER_PORT": "20007",
        "RANK": "11",
        "WORLD_SIZE": "16",
        "LOCAL_RANK": "3",
        "LOCAL_WORLD_SIZE": "8",
    }
