"""`ray start` for nodes that share this machine: 127.0.0.1 and its neighbours stay what they are."""

from modules.cluster.connection import stay_on_loopback

if __name__ == "__main__":
    stay_on_loopback()
    from ray.scripts.scripts import main

    main()
