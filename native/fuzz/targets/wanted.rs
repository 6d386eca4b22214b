//! Whatever a body is, what limits want of it is found or missing.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::head::Head;
use portcullis_engine::rules::{Language, Place, Reading, Wanted};

/// The first byte says which.
const HEADS: [&str; 6] = [
    "content-type:application/json",
    "content-type:application/graphql",
    "content-type:application/x-www-form-urlencoded",
    "content-type:application/graphql-response+json; charset=utf-8",
    "content-type:application/json\ncontent-encoding:gzip",
    "content-type:text/plain",
];

const VALUES: [&str; 6] = [
    "portcullis.graphql.depth",
    "portcullis.graphql.fields",
    "lookup_json_string(http.request.body.raw, \"user\", 0, \"id\")",
    "lookup_json_integer(http.request.body.raw, 1)",
    "http.request.body.form[\"user\"]",
    "http.request.body.form[\"\"][0]",
];

fn wanted() -> Arc<Wanted> {
    let mut problems = Vec::new();
    let mut language = Language::new(&[], &[], &mut problems);
    for value in VALUES {
        let _ = language.value("", value, Place::Limit, &mut problems);
    }
    assert!(problems.is_empty());
    Arc::new(language.take_wanted())
}

fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static WANTED: Arc<Wanted> = wanted();
    }
    let Some((&which, body)) = bytes.split_first() else { return };
    let mut head = Head::default();
    let lines = HEADS[usize::from(which) % HEADS.len()];
    if head.parse_text(&format!("POST /?query=%7Ba%7D\nhost:a\n{lines}")).is_ok() {
        WANTED.with(|wanted| drop(Reading::of(wanted, &head).read(Some(body))));
    }
});
