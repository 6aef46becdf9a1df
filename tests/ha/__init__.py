"""Redis with replicas: Sentinels and a Cluster, killed and resharded under load."""
