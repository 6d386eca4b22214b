//! Named lists: `$partners`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::{self, Problem};

use super::literal;
use super::set::{AddressRange, AddressSet, TextSet, range_of};

/// Most items of all lists together: bounds what a snapshot takes to some 50 MB of short strings, less of addresses.
pub(super) const MAX_LIST_ITEMS: usize = 500_000;

#[derive(Debug)]
pub(super) struct List {
    pub items: ListItems,
    /// Why it is a list of strings: the first item that is not an address.
    pub not_an_address: Option<String>,
}

/// Addresses when every item is one, else strings. An empty list is both, and holds nothing.
#[derive(Debug)]
pub(super) enum ListItems {
    Empty,
    Addresses(Arc<AddressSet>),
    Texts(Arc<TextSet>),
}

pub(super) fn compile<'p>(lists: &'p [policy::List], problems: &mut Vec<Problem>) -> HashMap<&'p str, List> {
    let mut compiled = HashMap::with_capacity(lists.len());
    let mut total = 0usize;
    for list in lists {
        total += list.items.len();
        if total > MAX_LIST_ITEMS {
            problems.push(problem(&list.at, format!("the lists hold more than {MAX_LIST_ITEMS} items together"), None));
            break;
        }
        if list.name.is_empty() || !list.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let message = format!("`{}` cannot be the name of a list", list.name);
            problems.push(problem(&list.at, message, Some("letters, digits and `_`, as in `$office_network`".into())));
        }
        let items = one(list, problems);
        if compiled.insert(list.name.as_str(), items).is_some() {
            problems.push(problem(&list.at, format!("there are two lists `{}`", list.name), None));
        }
    }
    compiled
}

fn one(list: &policy::List, problems: &mut Vec<Problem>) -> List {
    let mut ranges: Vec<AddressRange> = Vec::new();
    let mut others: Vec<(usize, &str)> = Vec::new();
    for (n, item) in list.items.iter().enumerate() {
        match address_range(item) {
            Some(range) => ranges.push(range),
            None => others.push((n, item)),
        }
    }
    let not_an_address = others.first().map(|(_, item)| (*item).to_owned());
    let items = if list.items.is_empty() {
        ListItems::Empty
    } else if others.is_empty() {
        ListItems::Addresses(Arc::new(AddressSet::new(ranges.into_iter())))
    } else {
        // A mistyped prefix must not turn a list of addresses into one of strings.
        for (n, item) in others.iter().filter(|(_, item)| resembles_address(item)) {
            let (message, hint) = literal::network(item).err().unwrap_or((format!("`{item}` is not an address"), None));
            let (message, hint) = match item.contains('/') {
                true => (message, hint),
                false => {
                    (format!("`{item}` is not an address"), Some("expected `192.0.2.1` or `2001:db8::1`".to_owned()))
                }
            };
            problems.push(problem(&format!("{}/{n}", list.at), message, hint));
        }
        ListItems::Texts(Arc::new(TextSet::new(list.items.iter().map(|item| item.as_bytes().into()))))
    };
    List { items, not_an_address }
}

fn address_range(item: &str) -> Option<AddressRange> {
    if item.contains('/') {
        return literal::network(item).ok().map(range_of);
    }
    item.parse::<std::net::IpAddr>().ok().map(|address| (address.to_canonical(), address.to_canonical()))
}

/// Only characters of an address, and its punctuation: digits with dots and a slash or three dots, or two colons.
fn resembles_address(item: &str) -> bool {
    let v4 = item.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'/'))
        && item.bytes().filter(|&byte| byte == b'.').count() >= 2;
    let v6 = item.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'/'))
        && item.bytes().filter(|&byte| byte == b':').count() >= 2;
    v4 || v6
}

fn problem(at: &str, message: String, hint: Option<String>) -> Problem {
    Problem { at: at.to_owned(), span: None, message, hint }
}
