//! The beginning of any connection is a ClientHello, the beginning of one, or refused; in time, and always the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_listener::hello::{MAX_BYTES, Seen, look};

fuzz_target!(|bytes: &[u8]| {
    let mut whole = Vec::new();
    match look(bytes, &mut whole) {
        Seen::Whole(hello) => {
            assert_eq!(hello.ja4.len(), 36);
            assert!(hello.ja4.is_ascii());
            assert!(hello.length as usize <= bytes.len());
            assert!(hello.server_name.is_none_or(|name| !name.is_empty() && name == name.to_ascii_lowercase()));
        }
        Seen::Partial { wants } => {
            assert!(wants > bytes.len() && wants <= MAX_BYTES);
            // Nothing more could be said of less.
            assert!(bytes.is_empty() || !matches!(look(&bytes[..bytes.len() - 1], &mut whole), Seen::Whole(_)));
        }
        Seen::Refused(_) => {}
    }
});
