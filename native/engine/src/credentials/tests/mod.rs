//! Facts about what callers have to present.

mod corpus;
mod judging;
mod properties;
