//! Styles: how arrays and objects are written as text (OpenAPI 3.1, Style Values; RFC 6570).
//!
//! Delimiters are told apart before anything is decoded: an encoded one belongs to a value. Two exceptions, because a
//! query cannot hold them bare: the space of `spaceDelimited` is `%20` or `+`, the bar of `pipeDelimited` may be
//! `%7C`. `label` without `explode` separates by commas (RFC 6570; OpenAPI 3.0.4 and 3.1.1) unless there is none:
//! then by dots, as the tables of 3.0.0 to 3.0.3 say. `allowReserved` changes nothing: it tells clients what they may
//! leave unencoded, and RFC 3986 (3.4) allows nearly all of it in any query.

use super::builder::Builder;
use super::percent;
use super::shape::{Shape, Types};
use super::violation::Class;
use crate::policy::Style;

/// Most items of an array, or members of an object, in one text: a head of 16 KiB holds 8,000 of one byte, none of
/// the descriptions we know of allows more than 1,000.
pub(super) const MAX_ITEMS: usize = 1_000;
/// Deepest member that `deepObject` names. The style is defined for one level; more are read where the schema
/// describes an object or an array there, and Stripe's go 5 deep.
const MAX_KEYS: usize = 8;

/// How the characters of a text are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Escapes, and a plus sign is a space: queries and forms.
    Form,
    /// Escapes: paths and cookies.
    Percent,
    /// Nothing: fields are not decoded by anybody.
    Verbatim,
}

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    Array,
    Object,
}

/// A text that is not written in its style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) class: Class,
    pub(super) message: &'static str,
}

pub(super) const BROKEN: Fault =
    Fault { class: Class::Malformed, message: "expected percent-encoded UTF-8, found a broken escape" };
pub(super) const REPEATED: Fault = Fault { class: Class::Count, message: "expected one value, found more" };
const MEMBER_REPEATED: Fault = Fault { class: Class::Count, message: "expected no member twice" };
const TOO_MANY: Fault = Fault { class: Class::Size, message: "expected at most 1000 items" };
const IN_TURN: Fault = Fault { class: Class::Malformed, message: "expected names and values in turn" };
const NAMED: Fault = Fault { class: Class::Malformed, message: "expected members written as name=value" };
const LABEL: Fault = Fault { class: Class::Malformed, message: "expected a dot ahead of the value" };
const MATRIX: Fault =
    Fault { class: Class::Malformed, message: "expected a semicolon and the parameter's name ahead of the value" };
const BRACKETS: Fault = Fault { class: Class::Malformed, message: "expected members written as name[member]" };
const DEEP: Fault = Fault { class: Class::Size, message: "expected no members of members" };
const INDEX: Fault = Fault { class: Class::Malformed, message: "expected items numbered from 0, or not at all" };

/// How one value is written.
#[derive(Debug, Clone)]
pub(super) struct Styled {
    pub(super) name: String,
    pub(super) style: Style,
    pub(super) explode: bool,
    pub(super) encoding: Encoding,
}

impl Styled {
    /// Whether every item or member is a pair of its own: of queries, cookies and forms.
    pub(super) fn in_pairs(&self) -> bool {
        self.style == Style::DeepObject
            || (self.explode && matches!(self.style, Style::Form | Style::SpaceDelimited | Style::PipeDelimited))
    }

    /// Hands over the items of an array as written.
    ///
    /// # Errors
    /// When the style is not kept, or `each` says so.
    pub(super) fn items<'t>(
        &self,
        mut texts: impl Iterator<Item = (&'t str, &'t str)>,
        mut each: impl FnMut(&'t str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut count = 0;
        let mut each = |text: &'t str| {
            count += 1;
            if count > MAX_ITEMS { Err(TOO_MANY) } else { each(text) }
        };
        if self.in_pairs() {
            return texts.try_for_each(|(_, text)| each(text));
        }
        if self.encoding == Encoding::Verbatim {
            // Several lines of a field are one list (RFC 9110, 5.2 and 5.6.1).
            return texts.filter(|(_, text)| !text.is_empty()).try_for_each(|(_, text)| {
                text.split(',').map(|item| item.trim_matches([' ', '\t'])).try_for_each(&mut each)
            });
        }
        let text = single(texts)?;
        match self.style {
            Style::Label => {
                let text = text.strip_prefix('.').ok_or(LABEL)?;
                text.split(self.label_delimiter(text)).try_for_each(each)
            }
            Style::Matrix if self.explode => {
                let text = text.strip_prefix(';').ok_or(MATRIX)?;
                text.split(';').try_for_each(|part| each(self.after_name(part)?))
            }
            Style::Matrix => self.after_name(text.strip_prefix(';').ok_or(MATRIX)?)?.split(',').try_for_each(each),
            style => split(text, style, each),
        }
    }

    /// The only text of a value that is neither array nor object.
    pub(super) fn scalar<'t>(&self, texts: impl Iterator<Item = (&'t str, &'t str)>) -> Result<&'t str, Fault> {
        let text = single(texts)?;
        match self.style {
            Style::Label => text.strip_prefix('.').ok_or(LABEL),
            Style::Matrix => self.after_name(text.strip_prefix(';').ok_or(MATRIX)?),
            _ => Ok(text),
        }
    }

    pub(super) fn decode<'a>(&self, text: &'a str, decoded: &'a mut Vec<u8>) -> Result<&'a str, Fault> {
        match self.encoding {
            Encoding::Verbatim => Ok(text),
            encoding => percent::decode(text, encoding == Encoding::Form, decoded).map_err(|_| BROKEN),
        }
    }

    /// Writes the value to `out`, read as `kind`.
    ///
    /// # Errors
    /// When the style is not kept.
    pub(super) fn read<'t>(
        &self,
        kind: Kind,
        shape: &Shape,
        texts: impl Iterator<Item = (&'t str, &'t str)> + Clone,
        decoded: &mut Vec<u8>,
        out: &mut Builder,
    ) -> Result<(), Fault> {
        if self.style == Style::DeepObject && texts.clone().any(|(name, _)| name.len() > self.name.len()) {
            return self.deep(shape, texts, out);
        }
        match kind {
            Kind::Scalar => out.scalar(self.decode(self.scalar(texts)?, decoded)?, shape),
            Kind::Array => {
                let open = out.open();
                let mut length = 0;
                self.items(texts, |item| {
                    out.scalar(self.decode(item, decoded)?, shape.item(length));
                    length += 1;
                    Ok(())
                })?;
                out.close_array(open, length);
            }
            Kind::Object => {
                let mut members: Vec<Member> = Vec::new();
                self.members(texts, |name, value| {
                    if members.len() == MAX_ITEMS {
                        return Err(TOO_MANY);
                    }
                    let name = self.decode(name, decoded)?.to_owned();
                    members.push((vec![name], self.decode(value, decoded)?.to_owned()));
                    Ok(())
                })?;
                members.sort_by(|left, right| left.0.cmp(&right.0));
                if members.is_empty() {
                    let open = out.open();
                    let _ = out.close_object(open, 0);
                    return Ok(());
                }
                tree(&members, 0, shape, out)?;
            }
        }
        Ok(())
    }

    /// Hands over the members of an object as written.
    fn members<'t>(
        &self,
        mut texts: impl Iterator<Item = (&'t str, &'t str)>,
        mut each: impl FnMut(&'t str, &'t str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.style == Style::DeepObject {
            return Err(BRACKETS);
        }
        if self.in_pairs() {
            return texts.try_for_each(|(name, value)| each(name, value));
        }
        let mut named = |part: &'t str| {
            let (name, value) = part.split_once('=').ok_or(NAMED)?;
            each(name, value)
        };
        if self.explode {
            match self.style {
                Style::Label => {
                    let text = single(texts)?.strip_prefix('.').ok_or(LABEL)?;
                    return text.split('.').try_for_each(named);
                }
                Style::Matrix => {
                    let text = single(texts)?.strip_prefix(';').ok_or(MATRIX)?;
                    return text.split(';').try_for_each(named);
                }
                _ => return self.items(texts, &mut named),
            }
        }
        let mut name = None;
        self.items(texts, |part| match name.take() {
            None => {
                name = Some(part);
                Ok(())
            }
            Some(name) => each(name, part),
        })?;
        if name.is_some() { Err(IN_TURN) } else { Ok(()) }
    }

    fn label_delimiter(&self, text: &str) -> char {
        if !self.explode && text.contains(',') { ',' } else { '.' }
    }

    /// What follows `name=`; a name alone has an empty value (RFC 6570, 3.2.7).
    fn after_name<'t>(&self, text: &'t str) -> Result<&'t str, Fault> {
        let rest = text.strip_prefix(self.name.as_str()).ok_or(MATRIX)?;
        if rest.is_empty() { Ok(rest) } else { rest.strip_prefix('=').ok_or(MATRIX) }
    }

    /// Members in brackets: `name[member]`.
    fn deep<'t>(
        &self,
        shape: &Shape,
        texts: impl Iterator<Item = (&'t str, &'t str)>,
        out: &mut Builder,
    ) -> Result<(), Fault> {
        let mut members: Vec<Member> = Vec::new();
        let mut decoded = Vec::new();
        for (name, value) in texts {
            let name = self.decode(name, &mut decoded)?;
            let keys = keys(name.get(self.name.len()..).unwrap_or_default())?;
            members.push((keys, self.decode(value, &mut decoded)?.to_owned()));
        }
        // Stable: values of one name stay in their order.
        members.sort_by(|left, right| left.0.cmp(&right.0));
        tree(&members, 0, shape, out)
    }
}

/// `[a][b]` as its keys.
fn keys(brackets: &str) -> Result<Vec<String>, Fault> {
    let mut keys = Vec::new();
    let mut rest = brackets;
    while !rest.is_empty() {
        let (key, behind) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or(BRACKETS)?;
        if key.contains('[') {
            return Err(BRACKETS);
        }
        if keys.len() == MAX_KEYS {
            return Err(DEEP);
        }
        keys.push(key.to_owned());
        rest = behind;
    }
    Ok(keys)
}

/// Hands over the parts of a list that is one text.
fn split<'t>(text: &'t str, style: Style, mut each: impl FnMut(&'t str) -> Result<(), Fault>) -> Result<(), Fault> {
    let (bare, escape) = match style {
        Style::SpaceDelimited => (b'+', "%20"),
        Style::PipeDelimited => (b'|', "%7c"),
        _ => return text.split(',').try_for_each(each),
    };
    let (mut from, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let length = match bytes[at] {
            byte if byte == bare => 1,
            b'%' if bytes[at..].get(..3).is_some_and(|found| found.eq_ignore_ascii_case(escape.as_bytes())) => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        each(&text[from..at])?;
        at += length;
        from = at;
    }
    each(&text[from..])
}

/// A member by its keys, and its text.
type Member = (Vec<String>, String);

/// Writes the value whose members are `members`, sorted, all equal in their first `level` keys.
fn tree(members: &[Member], level: usize, shape: &Shape, out: &mut Builder) -> Result<(), Fault> {
    let types = shape.types();
    let described = !shape.is_any();
    let (leaves, inner) = members.split_at(members.partition_point(|(keys, _)| keys.len() == level));
    if inner.is_empty() {
        return match leaves {
            [(_, text)] if types.meets(Types::SCALAR) || !types.meets(Types::ARRAY) => {
                out.scalar(text, shape);
                Ok(())
            }
            _ if types.meets(Types::ARRAY) && described => {
                let open = out.open();
                leaves.iter().enumerate().for_each(|(index, (_, text))| out.scalar(text, shape.item(index)));
                out.close_array(open, leaves.len());
                Ok(())
            }
            _ => Err(MEMBER_REPEATED),
        };
    }
    if !leaves.is_empty() {
        return Err(MEMBER_REPEATED);
    }
    // Below the first level only what the schema describes is read: for the rest the style has no meaning.
    if level > 0 && !(described && types.meets(Types::ARRAY.or(Types::OBJECT))) {
        return Err(DEEP);
    }
    let numbered = || inner.iter().all(|(keys, _)| index(&keys[level]).is_some() || keys[level].is_empty());
    if described && types.meets(Types::ARRAY) && (!types.meets(Types::OBJECT) || numbered()) {
        return list(inner, level, shape, out);
    }
    let open = out.open();
    let mut length = 0;
    for group in groups(inner, level) {
        let name = &group[0].0[level];
        out.name(name);
        tree(group, level + 1, shape.member(name), out)?;
        length += 1;
    }
    if out.close_object(open, length) { Ok(()) } else { Err(MEMBER_REPEATED) }
}

/// `[]` for every item, or their numbers from 0.
fn list(members: &[Member], level: usize, shape: &Shape, out: &mut Builder) -> Result<(), Fault> {
    let open = out.open();
    let mut items: Vec<(usize, &[Member])> = Vec::new();
    for group in groups(members, level) {
        let key = &group[0].0[level];
        if !key.is_empty() {
            items.push((index(key).ok_or(INDEX)?, group));
        } else if group.len() == members.len() && group.iter().all(|(keys, _)| keys.len() == level + 1) {
            items.extend((0..).zip(group.chunks(1)));
        } else {
            return Err(INDEX);
        }
    }
    items.sort_by_key(|(index, _)| *index);
    for (position, (index, group)) in items.iter().enumerate() {
        if position != *index {
            return Err(INDEX);
        }
        tree(group, level + 1, shape.item(position), out)?;
    }
    out.close_array(open, items.len());
    Ok(())
}

/// Runs of equal keys.
fn groups(members: &[Member], level: usize) -> impl Iterator<Item = &[Member]> {
    members.chunk_by(move |left, right| left.0[level] == right.0[level])
}

fn index(key: &str) -> Option<usize> {
    if key.starts_with('+') || (key.len() > 1 && key.starts_with('0')) {
        return None;
    }
    key.parse().ok().filter(|index| *index < MAX_ITEMS)
}

fn single<'t>(mut texts: impl Iterator<Item = (&'t str, &'t str)>) -> Result<&'t str, Fault> {
    match (texts.next(), texts.next()) {
        (Some((_, text)), None) => Ok(text),
        _ => Err(REPEATED),
    }
}
