//! Any text is parsed or refused, and what was parsed has one normal form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_engine::head::Head;

fuzz_target!(|text: &str| {
    let mut head = Head::default();
    if head.parse_text(text).is_ok() {
        let path = head.path().to_owned();
        assert!(path.starts_with('/') && !path.contains("//"));
        let mut again = Head::default();
        again.parse_text(&format!("GET {path}\nhost:a\n")).expect("a normal form is acceptable");
        assert_eq!(again.path(), path);
    }
});
