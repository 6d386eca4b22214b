//! Bytes from the network.
