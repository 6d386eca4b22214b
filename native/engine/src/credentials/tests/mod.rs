//! Facts about what callers have to present.

mod callers;
mod corpus;
mod judging;
mod problems;
mod properties;
mod sessions;
