"""The edge daemon: the service, and folders that a scanner writes into."""
