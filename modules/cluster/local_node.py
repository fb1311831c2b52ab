"""`ray start` for nodes that share this machine: 127.0.0.1 and its neighbours stay what they are."""

import os

from modules.cluster.connection import stay_on_loopback

if __name__ == "__main__":
    stay_on_loopback()
    from ray.scripts.scripts import main

    # Keeps the processes that the node starts to loopback likewise. This one has read it already, and may
    # therefore join other nodes.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    main()
