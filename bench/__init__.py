"""`make bench`: how fast the gateway decides, beside its peers on the same server, store and machine, in one run."""
