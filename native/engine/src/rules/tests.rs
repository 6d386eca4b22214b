//! The corpus (test/corpus/rules/*.json), and properties that hold for any input.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use serde::Deserialize;

use super::{Beyond, Called, Language, Request, Rules, Scratch, parse};
use crate::credentials::Caller;
use crate::endpoints::{self, Endpoints, Match};
use crate::exchange::Now;
use crate::head::Head;
use crate::jwt::{Cache, Configuration, Presenting, Token};
use crate::keys::Key;
use crate::mtls::Certificate;
use crate::peer::{ClientHello, Identity};
use crate::policy::{Jwt, List, Operation, Problem, Rule, RuleAction};
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
    #[serde(default)]
    caller: Option<CallerOf>,
    #[serde(default)]
    operation: Option<OperationOf>,
    #[serde(default)]
    hello: Option<HelloOf>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct CallerOf {
    presented: bool,
    key: Option<String>,
    scopes: Vec<String>,
    /// Names of the configurations whose tokens may stand where there is one.
    token_for: Vec<String>,
    session: Option<[u8; 16]>,
    token: Option<TokenOf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOf {
    configuration: String,
    claims: serde_json::Value,
}

const SECRET: [u8; 32] = [7; 32];

/// One whose tokens are signed with [`SECRET`].
fn configuration(name: &str) -> Arc<Configuration> {
    let written = Jwt {
        name: name.to_owned(),
        algorithms: vec!["HS256".to_owned()],
        keys: Some(format!(r#"{{"keys":[{{"kty":"oct","k":"{}"}}]}}"#, URL_SAFE_NO_PAD.encode(SECRET))),
        allow_no_expiry: true,
        max_bytes: 8192,
        scope_claims: vec!["scope".to_owned()],
        ..Jwt::default()
    };
    let mut problems = Vec::new();
    let configuration = Configuration::compile(&written, &mut problems);
    assert_eq!(problems, []);
    Arc::new(configuration)
}

impl TokenOf {
    fn token(self) -> Arc<Token> {
        let [header, claims] =
            [r#"{"alg":"HS256"}"#.to_owned(), self.claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{claims}");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
        let raw = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let head = Head::default();
        let now = Now { mono_us: 0, unix_ms: NOW * 1000 };
        let presenting = Presenting { head: &head, certificate: None, now };
        configuration(&self.configuration).verify(&raw, &presenting, &mut Cache::default()).unwrap()
    }
}

impl CallerOf {
    fn caller(self) -> Caller {
        let CallerOf { presented, key, scopes, token_for: _, session, token } = self;
        Caller {
            presented,
            key: key.map(|id| Key::of(&id, None, &scopes.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()),
            session,
            token: token.map(TokenOf::token),
            ..Caller::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HelloOf {
    ja4: String,
    length: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationOf {
    id: String,
    path: String,
}

impl OperationOf {
    fn called(self, head: &Head) -> (String, Vec<String>, Vec<(u32, u32)>) {
        let parameters = endpoints::parameters(&self.path).map(str::to_owned).collect();
        let operation = Operation { method: "GET".into(), path: self.path, ..Operation::default() };
        let mut captures = Vec::new();
        let endpoints = Endpoints::compile(&[operation], &mut Vec::new());
        assert_eq!(endpoints.find("GET", head.path(), &mut captures), Match::Operation(0), "{}", head.path());
        (self.id, parameters, captures)
    }
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Presented {
    Verified,
    Revoked,
    Untrusted,
    /// Looked at 40 days after [`NOW`].
    Expired,
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

/// 2027-01-15, a month before the certificate of the corpus ends.
const NOW: u64 = 1_800_000_000;

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
    let configurations = ["customers", "staff"].map(|name| Jwt { name: name.into(), ..Jwt::default() });
    let rules = {
        let mut language = Language::new(lists, &configurations, &mut problems);
        Rules::compile(&rules, &mut language, &mut problems)
    };
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
    let mut params = rcgen::CertificateParams::new(["device-1".to_owned(), "device-1.example.com".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI("spiffe://example.com/device-1".try_into().unwrap()));
    params.subject_alt_names.push(SanType::Rfc822Name("ops@example.com".try_into().unwrap()));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 99])];
    params.not_after = rcgen::date_time_ymd(2027, 2, 15);
    Certificate::from_pem(&params.self_signed(&key).unwrap().pem())
}

fn identity(certificate: &Certificate, presented: Option<Presented>) -> Identity<'_> {
    Identity {
        certificate: presented.map(|_| certificate),
        fault: match presented {
            Some(Presented::Revoked) => Some(Reason::MtlsRevoked),
            Some(Presented::Untrusted) => Some(Reason::MtlsUntrusted),
            Some(Presented::Expired) => Some(Reason::MtlsExpired),
            Some(Presented::Verified) | None => None,
        },
        authority: matches!(presented, Some(Presented::Verified)).then_some("devices"),
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
            let now = if matches!(group.certificate, Some(Presented::Expired)) { NOW + 40 * 86_400 } else { NOW };
            let token_for = group.caller.as_ref().map(|caller| caller.token_for.as_slice()).unwrap_or_default();
            let configurations: Vec<_> = token_for.iter().map(|name| configuration(name)).collect();
            let caller = group.caller.map(CallerOf::caller).unwrap_or_default();
            let hello =
                group.hello.map(|HelloOf { ja4, length }| ClientHello { ja4, length, ..ClientHello::default() });
            let called = group.operation.map(|operation| operation.called(&head));
            let request = Request {
                head: &head,
                address: group.address,
                identity,
                hello: hello.as_ref(),
                now,
                found: Default::default(),
                caller: &caller,
                configurations: &configurations,
                operation: called.as_ref().map(|(id, parameters, captures)| Called { id, parameters, captures }),
                beyond: Beyond::default(),
            };
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

/// What the rules of these expressions do with a request for `/a`: who blocks, and who logged.
fn outcome(rules: &[(&str, RuleAction)]) -> (Option<u32>, Vec<u32>) {
    let rules: Vec<_> = rules.iter().map(|(expression, action)| ((*expression).to_owned(), *action)).collect();
    let rules = compile(&rules, &[]).unwrap();
    let head = head(&["GET /a".to_owned()]);
    let request = Request {
        head: &head,
        address: loopback(),
        identity: Identity::default(),
        hello: None,
        now: NOW,
        found: Default::default(),
        caller: &Caller::default(),
        configurations: &[],
        operation: None,
        beyond: Beyond::default(),
    };
    let (mut scratch, mut logged) = (Scratch::default(), Vec::new());
    let blocked = rules.evaluate(&request, &mut scratch, &mut logged);
    (blocked, logged)
}

#[test]
fn the_first_block_ends_the_evaluation() {
    use RuleAction::{Block, Log};
    let path = "http.request.uri.path eq \"/a\"";
    assert_eq!(outcome(&[("not ssl", Block), (path, Log), ("ssl", Block), (path, Block)]), (Some(2), vec![1]));
    assert_eq!(outcome(&[(path, Block), ("ssl", Block)]), (Some(0), vec![]));
}

#[test]
fn skip_leaves_out_the_rules_after_it() {
    use RuleAction::{Block, Log, Skip};
    let path = "http.request.uri.path eq \"/a\"";
    assert_eq!(outcome(&[("ssl", Log), (path, Skip), ("ssl", Block), (path, Block)]), (None, vec![0]));
    assert_eq!(outcome(&[("not ssl", Skip), ("ssl", Block)]), (Some(1), vec![]));
}

#[test]
fn rules_that_match_nothing_let_pass() {
    assert_eq!(outcome(&[]), (None, vec![]));
    assert_eq!(outcome(&[("http.request.uri.path eq \"/b\"", RuleAction::Block)]), (None, vec![]));
}

#[test]
fn all_problems_of_all_rules_are_told_at_once() {
    let rules: Vec<Rule> = ["http.hots eq \"a\"", "ssl", "http.host eq"]
        .iter()
        .enumerate()
        .map(|(n, expression)| Rule {
            name: format!("r{n}"),
            at: format!("/rules/{n}/expression"),
            expression: (*expression).to_owned(),
            action: RuleAction::Block,
        })
        .collect();
    let mut problems = Vec::new();
    let _ = Rules::compile(&rules, &mut Language::new(&[], &[], &mut Vec::new()), &mut problems);
    let found: Vec<_> = problems.iter().map(|problem| (problem.at.as_str(), problem.span.unwrap())).collect();
    assert_eq!(found, [("/rules/0/expression", (0, 9)), ("/rules/2/expression", (12, 12))]);
}

#[test]
fn a_mistyped_address_refuses_its_list() {
    let list = |items: &[&str]| List {
        name: "l".into(),
        at: "/lists/l".into(),
        items: items.iter().map(|item| (*item).to_owned()).collect(),
    };
    let problems = |items: &[&str]| match compile(&[], &[list(items)]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| (problem.at, problem.message)).collect(),
    };
    assert_eq!(problems(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]), []);
    assert_eq!(problems(&["acme", "10.0.0.1", "v1.2.3", "beef"]), []);
    let mistyped = [
        ("10.0.0.0/33", "`10.0.0.0/33` is not a prefix"),
        ("10.0.0.1/8", "`10.0.0.1/8` names an address inside a network"),
        ("10.0.0.256", "`10.0.0.256` is not an address"),
        ("10.0.0", "`10.0.0` is not an address"),
        ("2001:db8::/129", "`2001:db8::/129` is not a prefix"),
        ("2001:db8:::1", "`2001:db8:::1` is not an address"),
    ];
    for (item, message) in mistyped {
        assert_eq!(problems(&["192.0.2.1", item]), [("/lists/l/1".to_owned(), message.to_owned())]);
        assert_eq!(problems(&[item]), [("/lists/l/0".to_owned(), message.to_owned())]);
    }
}

#[test]
fn every_bound_refuses_what_is_above_it() {
    let long = format!("http.host eq \"{}\"", "a".repeat(parse::MAX_EXPRESSION_BYTES));
    let problems = compile(&[(long, RuleAction::Block)], &[]).unwrap_err();
    assert!(problems[0].message.contains("more than the 4096"), "{problems:?}");

    let many = vec![("ssl".to_owned(), RuleAction::Log); super::MAX_RULES + 1];
    let problems = compile(&many, &[]).unwrap_err();
    assert!(problems[0].message.contains("20001 rules"), "{problems:?}");

    let items = (0..=super::list::MAX_LIST_ITEMS).map(|n| n.to_string()).collect();
    let list = List { name: "l".into(), at: "/lists/l".into(), items };
    let problems = compile(&[], &[list]).unwrap_err();
    assert!(problems[0].message.contains("more than 500000 items"), "{problems:?}");

    let heavy = ("http.host matches \"[a-z]{900}\"".to_owned(), RuleAction::Log);
    let problems = compile(&vec![heavy; 5_000], &[]).unwrap_err();
    assert!(problems[0].message.contains("regular expressions of all rules"), "{:?}", problems[0]);
}

/// How many of these expressions, each taken twenty times with its own literals, are evaluated for every request.
fn unindexed(expressions: &[&str]) -> usize {
    let rules: Vec<_> = (0..20)
        .flat_map(|n| expressions.iter().map(move |text| (text.replace("N", &n.to_string()), RuleAction::Log)))
        .collect();
    compile(&rules, &[]).unwrap().unindexed()
}

#[test]
fn rules_of_the_usual_kinds_are_indexed() {
    let usual = [
        "http.host eq \"aN\"",
        "http.host in {\"aN\" \"bN\"} and not ssl",
        "http.request.method eq \"PUT\" and http.user_agent contains \"N\"",
        "http.request.uri.path wildcard \"/api/N/*\"",
        "starts_with(http.request.uri, \"/api/N?\") or ip.src in {10.N.0.0/16 192.0.2.N}",
        "cf.tls_client_auth.cert_fingerprint_sha256 eq \"N\"",
        "any(http.request.headers[\"x-N\"][*] contains \"x\")",
        "lower(http.request.cookies[\"N\"][0]) eq \"x\"",
    ];
    assert_eq!(unindexed(&usual), 0);
}

#[test]
fn rules_without_a_usable_condition_are_evaluated_for_every_request() {
    let unusual = [
        "ssl",
        "not http.host eq \"aN\"",
        "http.user_agent contains \"N\"",
        "http.host ne \"aN\"",
        "http.host eq \"aN\" or http.user_agent contains \"x\"",
        "ip.src ne 192.0.2.N",
    ];
    assert_eq!(unindexed(&unusual), 20 * unusual.len());
}

#[test]
fn every_certificate_field_is_the_certificates_own() {
    let certificate = certificate();
    let head = head(&[]);
    let identity = identity(&certificate, Some(Presented::Verified));
    let (caller, found) = (Caller::default(), Default::default());
    let (address, now, caller) = (loopback(), NOW, &caller);
    let request = Request {
        head: &head,
        address,
        identity,
        hello: None,
        now,
        found,
        caller,
        configurations: &[],
        operation: None,
        beyond: Beyond::default(),
    };
    let mut checked = 0;
    for (name, field) in super::field::FIELDS {
        let super::field::Field::Text(super::request::TextField::Certificate(field)) = field else { continue };
        let value = certificate.field(*field);
        for (expression, expected) in
            [(format!("{name} eq r#\"{value}\"#"), true), (format!("{name} eq r#\"{value}.\"#"), false)]
        {
            let rules = compile(&[(expression, RuleAction::Block)], &[]).unwrap();
            let blocked = rules.evaluate(&request, &mut Scratch::default(), &mut Vec::new()).is_some();
            assert_eq!(blocked, expected, "{name}");
        }
        checked += 1;
    }
    assert_eq!(checked, 18);
}
