//! The engine as a front door asks it. One program for all: each one more would be linked with everything again.

mod calls;
mod grpc;
mod http;
mod limits;
mod rules;
