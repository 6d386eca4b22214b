//! Any `.proto` text, and any descriptor set, is compiled or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::grpc::outline::{Asked, outline};
use portcullis_engine::grpc::{Sources, read};

fuzz_target!(|bytes: &[u8]| {
    let _ = read(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let texts = vec![("a.proto".to_owned(), text.to_owned())];
        let sources = Sources { files: vec!["a.proto".to_owned()], texts };
        let told = outline(Asked { sources: Some(sources), descriptors: None });
        assert!(told.problems.is_empty() == told.descriptors.is_some());
    }
});
