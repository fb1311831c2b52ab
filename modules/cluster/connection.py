"""The connection to Ray: a cluster that is there, or one of its own on this machine."""

from modules.configuration.execution import RuntimeSettings


def connect(runtime: RuntimeSettings, num_cpus: int | None = None) -> None:
    """Joins the cluster that the settings name, or starts one on this machine; again does nothing.

    Args:
        runtime: its `address` says which.
        num_cpus: cores of a cluster of its own; by default all.
    """
    import ray

    if ray.is_initialized():
        return
    if runtime.address is None:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=150_000_000,
        )
    else:
        ray.init(address=runtime.address, log_to_driver=False)
