//! What a node does with its leases, alone.
