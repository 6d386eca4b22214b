//! What goes into a batch, and where its answers go.
