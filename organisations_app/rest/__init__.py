"""What every resource of `/api/v1` shares: who may ask, how JSON is read, how lists are paged, how errors look."""
