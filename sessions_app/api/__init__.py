"""Resources of `/api/v1` that are about use: keys, sessions of organisations, usage."""
