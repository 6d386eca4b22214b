//! What holds for any input: the parser never panics, and the index never changes an outcome.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::set::{self, AddressSet, Prefix};
use super::wildcard::Wildcard;
use super::{Beyond, Language, Request, Rules, Scratch, decode};
use crate::credentials::Caller;
use crate::head::Head;
use crate::peer::Identity;
use crate::policy::{List, Rule, RuleAction};

fn compile(expressions: &[(String, RuleAction)]) -> Option<Rules> {
    let rules: Vec<Rule> = expressions
        .iter()
        .map(|(expression, action)| Rule {
            name: String::new(),
            at: String::new(),
            expression: expression.clone(),
            action: *action,
        })
        .collect();
    let list = |name: &str, items: &[&str]| List {
        name: name.into(),
        at: String::new(),
        items: items.iter().map(|item| (*item).to_owned()).collect(),
    };
    let lists = [list("ips", &["10.1.0.0/16", "10.2.3.4", "2001:db8::/32"]), list("names", &["a", "/a/b"])];
    let mut problems = Vec::new();
    let rules = {
        let mut language = Language::new(&lists, &[], &mut problems);
        Rules::compile(&rules, &mut language, &mut problems)
    };
    for problem in &problems {
        let (start, end) = problem.span.unwrap();
        let whole = &expressions.iter().find(|(text, _)| end <= text.len()).unwrap().0;
        assert!(start <= end && end <= whole.len());
    }
    problems.is_empty().then_some(rules)
}

const WORDS: &[&str] = &[
    "http.host",
    "http.request.uri.path",
    "http.request.uri",
    "http.request.headers",
    "http.request.jwt.claims",
    "path.a",
    "http.request.uri.args.names",
    "ip.src",
    "ssl",
    "len",
    "any",
    "all",
    "lower",
    "concat",
    "url_decode",
    "is_jwt_valid",
    "starts_with",
    "eq",
    "ne",
    "lt",
    "in",
    "contains",
    "matches",
    "wildcard",
    "strict",
    "and",
    "or",
    "xor",
    "not",
    "==",
    "!=",
    "<=",
    "~",
    "&&",
    "||",
    "^^",
    "!",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "[*]",
    "[0]",
    "[\"x\"]",
    "\"a\"",
    "\"\\",
    "\"*b*\"",
    "r#\"a\"#",
    "r\"",
    "$ips",
    "$",
    ",",
    "5",
    "-1",
    "1..9",
    "10.0.0.0/8",
    "::1",
    "10.0.0.1..10.0.0.9",
    "é",
    " ",
];

fn literal(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(choices)
}

const HOSTS: &[&str] = &["a", "b", "api.example.com"];
const METHODS: &[&str] = &["GET", "POST", "DELETE"];
const PATHS: &[&str] = &["/", "/a", "/A", "/a/b", "/a/b/c", "/api/orders/1", "/api/orders/22", "/api", "/x"];
const ADDRESSES: &[&str] =
    &["10.1.2.3", "10.2.3.4", "10.200.0.1", "192.0.2.1", "2001:db8::1", "2001:db9::1", "::ffff:10.1.2.3"];

/// A condition of some usual or unusual kind.
fn atom() -> impl Strategy<Value = String> {
    prop_oneof![
        literal(HOSTS).prop_map(|host| format!("http.host eq \"{host}\"")),
        literal(HOSTS).prop_map(|host| format!("upper(http.host) eq \"{}\"", host.to_uppercase())),
        literal(METHODS).prop_map(|method| format!("http.request.method eq \"{method}\"")),
        (literal(METHODS), literal(METHODS)).prop_map(|(a, b)| format!("http.request.method in {{\"{a}\" \"{b}\"}}")),
        literal(PATHS).prop_map(|path| format!("http.request.uri.path eq \"{path}\"")),
        (literal(PATHS), literal(PATHS)).prop_map(|(a, b)| format!("http.request.uri.path in {{\"{a}\" \"{b}\"}}")),
        literal(PATHS).prop_map(|path| format!("http.request.uri eq \"{path}?q=1\"")),
        literal(PATHS).prop_map(|path| format!("http.request.uri eq \"{path}\"")),
        literal(PATHS).prop_map(|path| format!("lower(http.request.uri.path) eq \"{}\"", path.to_lowercase())),
        (literal(PATHS), 0usize..9).prop_map(|(path, cut)| {
            format!("starts_with(http.request.uri.path, \"{}\")", &path[..cut.min(path.len())])
        }),
        (literal(PATHS), 0usize..9).prop_map(|(path, cut)| {
            format!("starts_with(http.request.uri, \"{}?\")", &path[..cut.min(path.len())])
        }),
        (literal(PATHS), 0usize..9).prop_map(|(path, cut)| {
            format!("http.request.uri.path wildcard \"{}*\"", &path[..cut.min(path.len())])
        }),
        literal(PATHS).prop_map(|path| format!("http.request.uri strict wildcard \"{path}?*\"")),
        literal(ADDRESSES).prop_map(|address| format!("ip.src eq {address}")),
        (literal(ADDRESSES), literal(ADDRESSES)).prop_map(|(a, b)| format!("ip.src in {{{a} {b}}}")),
        (any::<[u8; 2]>(), 0u8..=32).prop_map(|([a, b], length)| {
            let prefix = Prefix::of(Ipv4Addr::new(10, a % 4, b % 4, 0).into(), length);
            format!("ip.src in {{{}/{length}}}", Ipv4Addr::from_bits(prefix.bits as u32))
        }),
        (0u16..4, 0u8..=128).prop_map(|(a, length)| {
            let prefix = Prefix::of(Ipv6Addr::new(0x2001, 0xdb8 + a, 0, 0, 0, 0, 0, 1).into(), length);
            format!("ip.src in {{{}/{length}}}", Ipv6Addr::from_bits(prefix.bits))
        }),
        Just("ip.src in {10.0.0.9..10.1.255.254}".to_owned()),
        Just("ip.src in $ips".to_owned()),
        Just("http.request.uri.path in $names".to_owned()),
        Just("any(http.request.headers[\"x-a\"][*] eq \"1\")".to_owned()),
        Just("http.request.headers[\"x-a\"][0] ne \"1\"".to_owned()),
        Just("all(http.request.headers[\"x-a\"][*] eq \"1\")".to_owned()),
        Just("len(http.request.cookies[\"c\"]) gt 0".to_owned()),
        Just("http.user_agent eq \"u\"".to_owned()),
        Just("http.user_agent eq \"\"".to_owned()),
        Just("cf.tls_client_auth.cert_serial eq \"\"".to_owned()),
        Just("http.request.headers[\"x-a\"][0] eq http.request.cookies[\"c\"][0]".to_owned()),
        Just("http.request.cookies[\"c\"][0] ne http.request.jwt.claims[\"sub\"]".to_owned()),
        Just("portcullis.key.id eq \"\"".to_owned()),
        Just("is_jwt_present()".to_owned()),
        Just("ssl".to_owned()),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} xor {b})")),
            1 => inner.prop_map(|a| format!("not {a}")),
        ]
    })
}

fn action() -> impl Strategy<Value = RuleAction> {
    prop_oneof![60 => Just(RuleAction::Log), 1 => Just(RuleAction::Block), 1 => Just(RuleAction::Skip)]
}

fn request_text() -> impl Strategy<Value = String> {
    let header = prop_oneof![
        Just("x-a:1"),
        Just("x-a:2"),
        Just("cookie:c=1"),
        Just("cookie:d=1"),
        Just("user-agent:u"),
        Just("accept:x")
    ];
    let query = prop_oneof![2 => Just(""), 1 => Just("?q=1"), 1 => Just("?z")];
    (literal(METHODS), literal(PATHS), query, literal(HOSTS), prop::collection::vec(header, 0..3)).prop_map(
        |(method, path, query, host, headers)| {
            let mut text = format!("{method} {path}{query}\nhost:{host}");
            for header in headers {
                text.push('\n');
                text.push_str(header);
            }
            text
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_compiles_or_is_refused_with_a_place(text in "\\PC{0,60}") {
        compile(&[(text, RuleAction::Log)]);
    }

    #[test]
    fn any_sequence_of_words_compiles_or_is_refused_with_a_place(
        words in prop::collection::vec(literal(WORDS), 0..24), spaced in any::<bool>()
    ) {
        compile(&[(words.join(if spaced { " " } else { "" }), RuleAction::Log)]);
    }

    #[test]
    fn the_index_never_changes_the_outcome(
        rules in prop::collection::vec((expression(), action()), 1..250),
        requests in prop::collection::vec((request_text(), literal(ADDRESSES)), 8),
    ) {
        let compiled = compile(&rules).unwrap_or_else(|| panic!("{rules:?}"));
        let mut scratch = Scratch::default();
        for (text, address) in requests {
            let mut head = Head::default();
            head.parse_text(&text).unwrap();
            let identity = Identity::default();
            let (caller, operation) = (Caller::default(), None);
            let (address, found) = (address.parse().unwrap(), Default::default());
            let request = Request { head: &head, address, identity, hello: None, now: 0, found, caller: &caller, configurations: &[], operation, beyond: Beyond::default() };
            let (mut logged, mut expected) = (Vec::new(), Vec::new());
            let blocked = compiled.evaluate(&request, &mut scratch, &mut logged);
            let oracle = compiled.evaluate_all(&request, &mut scratch, &mut expected);
            prop_assert_eq!((blocked, logged), (oracle, expected), "{} from {}", text, address);
        }
    }

    #[test]
    fn a_wildcard_means_its_regular_expression(
        pattern in "[ab*]{0,8}", text in "[ab]{0,10}"
    ) {
        prop_assume!(!pattern.contains("**"));
        let regex = format!("^{}$", pattern.replace('*', ".*"));
        let expected = regex_automata::meta::Regex::new(&regex).unwrap().is_match(&text);
        prop_assert_eq!(Wildcard::new(pattern.as_bytes()).unwrap().matches(text.as_bytes()), expected);
    }

    #[test]
    fn prefixes_cover_exactly_their_range(first in any::<u32>(), width in 0u32..70_000, probe in -3i64..70_003) {
        let last = first.saturating_add(width);
        let ip = |bits: u32| IpAddr::from(Ipv4Addr::from_bits(bits));
        let set = AddressSet::new(std::iter::once((ip(first), ip(last))));
        let prefixes = set::prefixes(&set, 64).unwrap();
        let probe = ip((i64::from(first) + probe).clamp(0, i64::from(u32::MAX)) as u32);
        let covered = prefixes.iter().any(|prefix| Prefix::of(probe, prefix.length) == *prefix);
        prop_assert_eq!(covered, set.contains(probe));
    }

    #[test]
    fn prefixes_of_ipv6_cover_exactly_their_range(first in any::<u128>(), last in any::<u128>(), probe in any::<u128>()) {
        let (first, last) = (first.min(last), first.max(last));
        let ip = |bits: u128| IpAddr::from(Ipv6Addr::from_bits(bits));
        let set = AddressSet::new(std::iter::once((ip(first), ip(last))));
        let prefixes = set::prefixes(&set, 256).unwrap();
        for probe in [probe, first, last, first.saturating_sub(1), last.saturating_add(1)] {
            let covered = prefixes.iter().any(|prefix| Prefix::of(ip(probe), prefix.length) == *prefix);
            prop_assert_eq!(covered, set.contains(ip(probe)));
        }
    }

    #[test]
    fn decoding_never_lengthens(text in prop::collection::vec(any::<u8>(), 0..40), marked in "(%|%25|%u|2|f|\\+){0,20}") {
        for input in [text, marked.into_bytes()] {
            let mut out = b"kept".to_vec();
            out.extend_from_slice(&input);
            decode::url_decode(&mut out, 4, true, true);
            prop_assert!(out.starts_with(b"kept") && out.len() <= 4 + input.len());
        }
    }
}

#[test]
fn the_whole_address_space_is_one_prefix() {
    let all = AddressSet::new(
        [
            (IpAddr::from([0; 4]), IpAddr::from([255; 4])),
            (Ipv6Addr::from_bits(0).into(), Ipv6Addr::from_bits(u128::MAX).into()),
        ]
        .into_iter(),
    );
    let expected = [Prefix { v6: false, bits: 0, length: 0 }, Prefix { v6: true, bits: 0, length: 0 }];
    assert_eq!(set::prefixes(&all, 2).unwrap(), expected);
}
