//! JSON bodies against their schema.
