//! Rules in Cloudflare's expression language.
