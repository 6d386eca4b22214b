//! The corpus (test/corpus/rules/*.json), and properties that hold for any input.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::Deserialize;

use super::{Request, Rules, Scratch, parse};
use crate::head::Head;
use crate::mtls::Certificate;
use crate::peer::Identity;
use crate::policy::{List, Problem, Rule, RuleAction};
use crate::reason::Reason;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    lists: Vec<List>,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    /// The lines of the door's text: `GET /a?b`, then `name:value`; a host is added when there is none.
    #[serde(default)]
    head: Vec<String>,
    #[serde(default = "loopback")]
    address: IpAddr,
    #[serde(default)]
    certificate: Option<Presented>,
    cases: Vec<Case>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Presented {
    Verified,
    Revoked,
    Untrusted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    expression: String,
    #[serde(default)]
    matches: Option<bool>,
    /// `^` below the bytes that the problem's span covers.
    #[serde(default)]
    underlined: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    hint: Option<String>,
}

fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

fn corpus(name: &str) -> Vec<(String, File)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test/corpus/rules").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let file = serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_name().unwrap().to_string_lossy().into_owned(), file)
        })
        .collect()
}

fn rule(expression: &str, action: RuleAction) -> Rule {
    Rule { name: "case".into(), at: "/rules/0/expression".into(), expression: expression.into(), action }
}

fn compile(expressions: &[(String, RuleAction)], lists: &[List]) -> Result<Rules, Vec<Problem>> {
    let rules: Vec<Rule> = expressions.iter().map(|(expression, action)| rule(expression, *action)).collect();
    let mut problems = Vec::new();
    let rules = Rules::compile(&rules, lists, &mut problems);
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

fn head(lines: &[String]) -> Head {
    let mut text = lines.first().cloned().unwrap_or_else(|| "GET /".to_owned());
    if !lines.iter().any(|line| line.starts_with("host:")) {
        text.push_str("\nhost:api.example.com");
    }
    for line in lines.iter().skip(1) {
        text.push('\n');
        text.push_str(line);
    }
    let mut head = Head::default();
    head.parse_text(&text).unwrap_or_else(|reason| panic!("{}: {text}", reason.id()));
    head
}

fn certificate() -> Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(["device-1".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    Certificate::from_pem(&pem)
}

fn identity(certificate: &Certificate, presented: Option<Presented>) -> Identity<'_> {
    Identity {
        certificate: presented.map(|_| certificate),
        fault: match presented {
            Some(Presented::Revoked) => Some(Reason::MtlsRevoked),
            Some(Presented::Untrusted) => Some(Reason::MtlsUntrusted),
            Some(Presented::Verified) | None => None,
        },
    }
}

#[test]
fn expressions_of_the_corpus_match_as_written() {
    let certificate = certificate();
    let mut failures = Vec::new();
    let mut count = 0;
    for (file, File { lists, groups }) in corpus("match") {
        for group in groups {
            let head = head(&group.head);
            let identity = identity(&certificate, group.certificate);
            let request = Request { head: &head, address: group.address, identity };
            for case in group.cases {
                count += 1;
                let place = format!("{file}: {}: {}", group.name, case.expression);
                let expected = case.matches.unwrap_or_else(|| panic!("{place}: no `matches`"));
                match compile(&[(case.expression, RuleAction::Block)], &lists) {
                    Err(problems) => failures.push(format!("{place}: {problems:?}")),
                    Ok(rules) => {
                        let mut scratch = Scratch::default();
                        let indexed = rules.evaluate(&request, &mut scratch, &mut Vec::new()).is_some();
                        let plain = rules.evaluate_all(&request, &mut scratch, &mut Vec::new()).is_some();
                        if (indexed, plain) != (expected, expected) {
                            failures.push(format!("{place}: index says {indexed}, evaluation {plain}"));
                        }
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(count > 100, "only {count} cases were found");
}

#[test]
fn refused_expressions_of_the_corpus_say_where_and_why() {
    let mut failures = Vec::new();
    for (file, File { lists, groups }) in corpus("refuse") {
        for case in groups.into_iter().flat_map(|group| group.cases) {
            let place = format!("{file}: {}", case.expression);
            let Err(problems) = compile(&[(case.expression.clone(), RuleAction::Block)], &lists) else {
                failures.push(format!("{place}: compiles"));
                continue;
            };
            let problem = &problems[0];
            let (start, end) = problem.span.unwrap();
            let mut underlined = " ".repeat(start) + &"^".repeat(end - start);
            if start == end {
                underlined.push('|');
            }
            let found = (Some(underlined), Some(problem.message.clone()), problem.hint.clone());
            if found != (case.underlined, case.message, case.hint) {
                failures.push(format!("{place}\n{}\n    {}\n    {:?}", found.0.unwrap(), found.1.unwrap(), found.2));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
