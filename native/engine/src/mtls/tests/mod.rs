//! Facts about client certificates. Every certificate is made here, at run time, and judged at one fixed moment.

mod authorities;
mod certificates;
mod corpus;
mod headers;
mod paths;
mod pki;
mod revocations;
mod sent;
mod standings;
