//! test/corpus/http: heads that have one meaning, and those that do not. The same cases run through every front door
//! in test/e2e; those marked `"by": "uws"` never reach the engine behind uWebSockets.js, and are left out here. Those
//! marked `"also": "uws"` do not either, but the engine answers for doors that let them through.

use std::fs;

use portcullis_engine::head::Head;
use proptest::prelude::*;
use serde_json::Value;

/// The head as a front door hands it over: names lower-case, lines ended by `\n`.
fn as_the_door_gives_it(request: &str) -> String {
    let (head, _) = request.split_once("\r\n\r\n").expect("a blank line");
    let mut lines = head.split("\r\n");
    let mut text = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    text.push('\n');
    for line in lines {
        let (name, value) = line.split_once(':').expect("a field");
        text.push_str(&name.to_lowercase());
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text
}

fn run(file: &str) {
    let path = format!("{}/../../test/corpus/http/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut ran = 0;
    for case in cases.iter().filter(|case| case["by"] != "uws") {
        let name = case["name"].as_str().unwrap();
        let mut head = Head::default();
        let outcome = head.parse_text(&as_the_door_gives_it(case["request"].as_str().unwrap()));
        match case["expect"]["reason"].as_str() {
            // Known names are the snapshot's business.
            Some("http.unknown_host") => assert_eq!(outcome, Ok(()), "{name}"),
            Some(reason) => assert_eq!(outcome.map_err(|reason| reason.id()), Err(reason), "{name}"),
            None => {
                assert_eq!(outcome, Ok(()), "{name}");
                let query = head.query();
                let target = if query.is_empty() { head.path().to_owned() } else { format!("{}?{query}", head.path()) };
                assert_eq!(target, case["expect"]["target"].as_str().unwrap(), "{name}");
            }
        }
        ran += 1;
    }
    assert!(ran > 5, "the corpus was read");
}

#[test]
fn paths_have_one_meaning() {
    run("paths");
}

#[test]
fn bodies_have_one_length() {
    run("framing");
}

#[test]
fn fields_have_one_reading() {
    run("head");
}

#[test]
fn a_head_above_16_kib_is_refused() {
    let mut head = Head::default();
    let text = format!("GET / \nhost:a\nx:{}\n", "a".repeat(16 * 1024));
    assert_eq!(head.parse_text(&text).map_err(|reason| reason.id()), Err("http.head_too_large"));
}

#[test]
fn a_value_that_was_not_utf8_is_refused() {
    let mut head = Head::default();
    let outcome = head.parse_text("GET /a\nhost:a\nx-a:caf\u{FFFD}\n");
    assert_eq!(outcome.map_err(|reason| reason.id()), Err("http.malformed"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC*\n?(\\PC*:\\PC*\n){0,5}") {
        let _ = Head::default().parse_text(&text);
    }

    #[test]
    fn a_normalised_path_is_its_own_normal_form(path in "/[a-z0-9%./;:@A-F\\\\~|{}-]{0,40}") {
        let mut head = Head::default();
        if head.parse_text(&format!("GET {path}\nhost:a\n")).is_ok() {
            let once = head.path().to_owned();
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.contains("//") && !once.contains("/../") && !once.contains("/./"));
            let mut again = Head::default();
            prop_assert_eq!(again.parse_text(&format!("GET {once}\nhost:a\n")), Ok(()));
            prop_assert_eq!(again.path(), once);
        }
    }
}
