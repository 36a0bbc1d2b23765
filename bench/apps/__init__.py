"""What is served under load: the peers, and the settings that the gateway is served with."""
