//! The commands as the door gives them. One program for all: each one more would be linked with everything again.

mod bundles;
mod inspecting;
mod issuing;
mod lists;
mod never_panics;
mod ocsp;
mod requests;
mod support;
