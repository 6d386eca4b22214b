//! [`Node`] to [`Condition`]: names are resolved, types are checked, literals become tests.

use std::collections::HashMap;
use std::sync::Arc;

use memchr::memmem::FinderBuilder;

use super::body::{Want, Wanted};
use super::condition::{Condition, Number, Text, TextTest};
use super::field::{self, Boolean, Field, Graphql};
use super::function;
use super::language::Messages;
use super::list::{List, ListItems};
use super::pattern::Patterns;
use super::place::{Place, Reads};
use super::request::{MapField, Source, TextField};
use super::set::{AddressRange, AddressSet, Ranges, TextSet, range_of};
use super::spelling;
use super::syntax::{Fault, Index, Kind, Literal, Logical, Node, Operand, OperandKind, Operator, Span};
use super::value::Value;
use super::wildcard::Wildcard;

/// A part of an expression, with its type.
#[derive(Debug)]
pub(super) enum Typed {
    Boolean(Condition),
    Text(Text),
    Number(Number),
    Address,
    /// The address with these bits of it alone: of IPv4, of IPv6.
    Prefix(u8, u8),
    Map(MapField),
    /// A function of each element of a source; the elements themselves when it is [`Text::Element`].
    Array(Array),
    /// An array behind which `[*]` stands: what encloses it is done for each element.
    Each(Array),
    /// Only as an argument.
    Integer,
    /// A whole body; only as an argument.
    Body,
}

#[derive(Debug)]
pub(super) struct Array {
    pub source: Source,
    pub of: Element,
}

#[derive(Debug)]
pub(super) enum Element {
    Boolean(Condition),
    Text(Text),
    Number(Number),
}

impl Typed {
    /// For messages: `a string`.
    pub fn describe(&self) -> &'static str {
        match self {
            Typed::Boolean(_) => "a boolean",
            Typed::Text(_) => "a string",
            Typed::Number(_) | Typed::Integer => "a number",
            Typed::Address | Typed::Prefix(..) => "an address",
            Typed::Map(_) => "a map",
            Typed::Body => "a whole body",
            Typed::Array(_) => "an array",
            Typed::Each(_) => "an array with `[*]`",
        }
    }
}

/// What an expression may refer to, and where its regular expressions are counted.
pub(super) struct Scope<'p> {
    pub text: &'p str,
    /// Pointer of the expression.
    pub at: &'p str,
    pub lists: &'p HashMap<&'p str, List>,
    /// Names of the token configurations.
    pub configurations: &'p [&'p str],
    pub patterns: &'p mut Patterns,
    pub wanted: &'p mut Wanted,
    pub messages: &'p mut Messages,
    pub place: Place,
    /// What was read so far.
    pub reads: Reads,
}

impl Scope<'_> {
    /// The whole expression: it must be a boolean.
    pub fn compile(&mut self, node: &Node) -> Result<Condition, Fault> {
        let typed = self.typed(node)?;
        self.boolean(typed, &node.span)
    }

    /// The whole expression: any value.
    pub fn value(&mut self, node: &Node) -> Result<Value, Fault> {
        let typed = self.typed(node)?;
        Value::of(self, typed, &node.span)
    }

    pub fn quote(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or("")
    }

    fn boolean(&self, typed: Typed, span: &Span) -> Result<Condition, Fault> {
        if let Typed::Boolean(condition) = typed {
            return Ok(condition);
        }
        let text = self.quote(span);
        let fault = Fault::new(span.clone(), format!("`{text}` is {}, not a condition", typed.describe()));
        Err(match typed {
            Typed::Array(Array { of: Element::Boolean(_), .. }) => {
                fault.hint(format!("say for how many elements: `any({text})` or `all({text})`"))
            }
            Typed::Text(_) => fault.hint(format!("compare it: `{text} eq \"..\"`")),
            Typed::Number(_) => fault.hint(format!("compare it: `{text} gt 0`")),
            Typed::Address => fault.hint(format!("compare it: `{text} in {{192.0.2.0/24}}`")),
            Typed::Body => fault.hint(format!("read a value of it: `lookup_json_string({text}, \"name\") eq \"..\"`")),
            Typed::Prefix(..) => fault.hint("a condition asks for the prefix: `ip.src in {192.0.2.0/24}`"),
            Typed::Map(MapField::Path) => fault.hint(format!("compare one: `{text}[\"name\"] eq \"..\"`")),
            Typed::Map(_) => fault.hint(format!("compare elements: `any({text}[\"name\"][*] eq \"..\")`")),
            _ => fault.hint(format!("compare elements: `any({}[*] eq \"..\")`", text.trim_end_matches("[*]"))),
        })
    }

    pub fn typed(&mut self, node: &Node) -> Result<Typed, Fault> {
        match &node.kind {
            Kind::Field(name) => self.field(name, &node.span),
            Kind::Call { name, name_span, arguments } => function::call(self, name, name_span, arguments, &node.span),
            Kind::Index { of, index, index_span } => {
                let typed = self.typed(of)?;
                self.index(typed, of, index, index_span)
            }
            Kind::Text(text) => Ok(Typed::Text(Text::Literal(text.as_slice().into()))),
            Kind::Integer(_) => Ok(Typed::Integer),
            Kind::Compare { left, operator, operator_span, right } => {
                self.comparison(left, *operator, operator_span, right)
            }
            Kind::Not(inner) => match self.typed(inner)? {
                Typed::Array(Array { source, of: Element::Boolean(condition) }) => {
                    Ok(Typed::Array(Array { source, of: Element::Boolean(Condition::Not(Box::new(condition))) }))
                }
                typed => Ok(Typed::Boolean(Condition::Not(Box::new(self.boolean(typed, &inner.span)?)))),
            },
            Kind::Combine { operator, items } => self.combination(*operator, items),
        }
    }

    fn field(&mut self, name: &str, span: &Span) -> Result<Typed, Fault> {
        let found = field::find(name);
        if let Some(field) = found {
            self.reads.add(&field, self.place, name, span)?;
        }
        Ok(match found {
            Some(Field::Text(field)) => Typed::Text(Text::Field(field)),
            Some(Field::Boolean(Boolean::Always)) => Typed::Boolean(Condition::Constant(true)),
            Some(Field::Boolean(Boolean::Certificate(certified))) => Typed::Boolean(Condition::Certificate(certified)),
            Some(Field::Boolean(Boolean::Finding(finding))) => Typed::Boolean(Condition::Finding(finding)),
            Some(Field::Number(field)) => Typed::Number(Number::Field(field)),
            Some(Field::Address) => Typed::Address,
            Some(Field::Body) => Typed::Body,
            Some(Field::Graphql(Graphql::Depth)) => Typed::Number(Number::Body(self.wanted.number(Want::Depth))),
            Some(Field::Graphql(Graphql::Fields)) => Typed::Number(Number::Body(self.wanted.number(Want::Fields))),
            Some(Field::Array(array)) => {
                Typed::Array(Array { source: Source::Array(array), of: Element::Text(Text::Element) })
            }
            Some(Field::Numbers(array)) => {
                let of = Element::Number(Number::Of(Text::Element));
                Typed::Array(Array { source: Source::Array(array), of })
            }
            Some(Field::Map(map)) => Typed::Map(map),
            None if name.strip_prefix(field::PATH).is_some_and(|name| !name.is_empty()) => {
                Typed::Text(Text::Parameter(name[field::PATH.len()..].into()))
            }
            None => {
                let fault = Fault::new(span.clone(), format!("there is no field `{name}`"));
                return Err(match spelling::nearest(name, &field::names()) {
                    _ if name.starts_with("http.request.body") && self.place == Place::Rule => {
                        fault.hint("rules do not see request bodies")
                    }
                    _ if function::exists(name) => fault.hint(format!("`{name}` is a function: `{name}(..)`")),
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault.hint("docs/rules.md lists the fields"),
                });
            }
        })
    }

    /// The number of a path into messages.
    fn message(&mut self, path: &str, span: &Span) -> Result<usize, Fault> {
        if path.split('.').any(str::is_empty) {
            return Err(Fault::new(span.clone(), "this is no path to a field".to_owned())
                .hint("names with dots between them: `grpc.message[\"user.id\"]`"));
        }
        Ok(self.messages.number(path, self.at, span))
    }

    fn index(&mut self, typed: Typed, of: &Node, index: &Index, span: &Span) -> Result<Typed, Fault> {
        let name = self.quote(&of.span).to_owned();
        let name = name.as_str();
        match (typed, index) {
            (Typed::Map(map), Index::Key(key)) => {
                let mut of = Element::Text(Text::Element);
                let text = || String::from_utf8_lossy(key).into_owned().into_boxed_str();
                let source = match map {
                    MapField::Path => return Ok(Typed::Text(Text::Parameter(text()))),
                    MapField::Claims => Source::Claim(text()),
                    MapField::Claim(claim) => {
                        if claim.is_time() {
                            of = Element::Number(Number::Of(Text::Element));
                        }
                        Source::ClaimOf(claim, self.configuration(key, span)?)
                    }
                    MapField::ResponseHeaders => Source::ResponseHeader(self.header(key, name, span)?),
                    MapField::Form => Source::Body(self.wanted.number(Want::Form(key.as_slice().into()))),
                    MapField::Message => Source::Message(self.message(&text(), span)?),
                    MapField::Headers => Source::Header(self.header(key, name, span)?),
                    MapField::Arguments => Source::Argument(key.as_slice().into()),
                    MapField::Cookies => Source::Cookie(key.as_slice().into()),
                };
                Ok(Typed::Array(Array { source, of }))
            }
            (Typed::Map(map), _) => {
                let fault = Fault::new(span.clone(), format!("`{name}` is a map and needs a key here"));
                Err(match map {
                    MapField::Cookies
                    | MapField::Path
                    | MapField::Claims
                    | MapField::Form
                    | MapField::Message
                    | MapField::ResponseHeaders => fault.hint(format!("expected `{name}[\"name\"]`")),
                    _ => fault.hint(format!("expected `{name}[\"name\"]`; for all of them, `{name}.values[*]`")),
                })
            }
            (Typed::Array(array), Index::Each) => Ok(Typed::Each(array)),
            (Typed::Array(Array { source, of }), Index::At(position)) => {
                let position = *position;
                Ok(match of {
                    Element::Text(of) => Typed::Text(Text::At { source, position, of: Box::new(of) }),
                    Element::Number(of) => Typed::Number(Number::At { source, position, of: Box::new(of) }),
                    Element::Boolean(of) => Typed::Boolean(Condition::At { source, position, of: Box::new(of) }),
                })
            }
            (typed, _) => Err(Fault::new(
                span.clone(),
                format!("`{name}` is {} and cannot be indexed with `{}`", typed.describe(), self.quote(span)),
            )
            .hint(match typed {
                Typed::Array(_) => "an array takes a position `[0]` or `[*]`",
                Typed::Each(_) => "`[*]` stands last",
                _ => "only arrays and maps have elements",
            })),
        }
    }

    /// A token configuration: one that is not there would be a rule that quietly does nothing.
    pub fn configuration(&self, key: &[u8], span: &Span) -> Result<Box<str>, Fault> {
        if let Some(name) = self.configurations.iter().find(|name| name.as_bytes() == key) {
            return Ok((*name).into());
        }
        let key = String::from_utf8_lossy(key);
        let fault = Fault::new(span.clone(), format!("there is no token configuration `{key}`"));
        Err(match spelling::nearest(&key, self.configurations) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint("define it under `jwt`"),
        })
    }

    fn header(&self, key: &[u8], name: &str, span: &Span) -> Result<Box<str>, Fault> {
        let lower = key.to_ascii_lowercase();
        let text = String::from_utf8_lossy(&lower);
        if lower != key {
            return Err(Fault::new(span.clone(), "the keys of headers are lower-case, so this one is never there")
                .hint(format!("write `{name}[\"{text}\"]`")));
        }
        Ok(text.into())
    }

    fn combination(&mut self, operator: Logical, items: &[Node]) -> Result<Typed, Fault> {
        let mut conditions = Vec::with_capacity(items.len());
        let mut shared: Option<Source> = None;
        for (n, item) in items.iter().enumerate() {
            match self.typed(item)? {
                Typed::Array(Array { source, of: Element::Boolean(condition) }) if n == 0 || shared.is_some() => {
                    if shared.as_ref().is_some_and(|shared| *shared != source) {
                        return Err(Fault::new(item.span.clone(), "`[*]` stands for elements of two different arrays")
                            .hint("use `any(..)` or `all(..)` for each array"));
                    }
                    shared = Some(source);
                    conditions.push(condition);
                }
                typed if shared.is_some() => {
                    let message = format!("{} stands beside a condition on each element", typed.describe());
                    return Err(Fault::new(item.span.clone(), message).hint("move it out of `any(..)` or `all(..)`"));
                }
                typed => conditions.push(self.boolean(typed, &item.span)?),
            }
        }
        let condition = match operator {
            Logical::Xor => Condition::Xor(conditions.into()),
            Logical::Or | Logical::And => {
                conditions.sort_by_key(Condition::cost);
                match operator {
                    Logical::Or => Condition::Or(conditions.into()),
                    _ => Condition::And(conditions.into()),
                }
            }
        };
        Ok(match shared {
            Some(source) => Typed::Array(Array { source, of: Element::Boolean(condition) }),
            None => Typed::Boolean(condition),
        })
    }

    fn comparison(
        &mut self,
        left: &Node,
        operator: Operator,
        operator_span: &Span,
        right: &Operand,
    ) -> Result<Typed, Fault> {
        let typed = self.typed(left)?;
        match typed {
            Typed::Text(text) => {
                Ok(Typed::Boolean(self.text_comparison(text, left, operator, operator_span, right)?))
            }
            Typed::Number(number) => {
                Ok(Typed::Boolean(self.number_comparison(number, left, operator, operator_span, right)?))
            }
            Typed::Address => Ok(Typed::Boolean(self.address_comparison(left, operator, operator_span, right)?)),
            Typed::Each(Array { source, of: Element::Text(text) }) => {
                let condition = self.text_comparison(text, left, operator, operator_span, right)?;
                Ok(Typed::Array(Array { source, of: Element::Boolean(condition) }))
            }
            Typed::Each(Array { source, of: Element::Number(number) }) => {
                let condition = self.number_comparison(number, left, operator, operator_span, right)?;
                Ok(Typed::Array(Array { source, of: Element::Boolean(condition) }))
            }
            typed => {
                let text = self.quote(&left.span);
                let fault =
                    Fault::new(left.span.clone(), format!("`{text}` is {} and cannot be compared", typed.describe()));
                Err(match typed {
                    Typed::Boolean(_) => fault.hint(format!("a boolean stands by itself: `{text}`, or `not {text}`")),
                    Typed::Body => {
                        fault.hint(format!("read a value of it: `lookup_json_string({text}, \"name\") eq \"..\"`"))
                    }
                    Typed::Prefix(..) => fault.hint("ask for the prefix: `ip.src in {192.0.2.0/24}`"),
                    Typed::Map(MapField::Path) => fault.hint(format!(
                        "`{text}[\"name\"] {} ..` for a parameter, `http.request.uri.path` for the whole path",
                        operator.name()
                    )),
                    Typed::Map(_) => fault.hint(format!("`any({text}[\"name\"][*] {} ..)`", operator.name())),
                    _ => fault.hint(format!("`any({text}[*] {} ..)`", operator.name())),
                })
            }
        }
    }

    fn text_comparison(
        &mut self,
        text: Text,
        left: &Node,
        operator: Operator,
        operator_span: &Span,
        right: &Operand,
    ) -> Result<Condition, Fault> {
        use Operator as O;
        let name = self.quote(&left.span).to_owned();
        if let OperandKind::Value(value) = &right.kind {
            let same = self.same(text, left, value)?;
            return Ok(if operator == O::NotEqual { Condition::Not(Box::new(same)) } else { same });
        }
        let set = match (&right.kind, operator) {
            (OperandKind::Pattern(pattern), _) => {
                let regex = self.patterns.compile(pattern, &right.span)?;
                return Ok(Condition::Text(text, TextTest::Matches(Box::new(regex))));
            }
            (OperandKind::List(list), _) => match self.list(list, &right.span)? {
                ListItems::Texts(set) => Arc::clone(set),
                ListItems::Empty => return Ok(Condition::Constant(false)),
                ListItems::Addresses(_) => {
                    return Err(Fault::new(
                        right.span.clone(),
                        format!("`${list}` is a list of addresses, and `{name}` is a string"),
                    )
                    .hint(format!("expected `ip.src in ${list}`, or a list of strings")));
                }
            },
            (OperandKind::Set(items), _) => {
                let mut texts: Vec<Box<[u8]>> = Vec::with_capacity(items.len());
                for (span, item) in items {
                    let Literal::Text(item) = item else {
                        return Err(not_a_string(&name, span, item, self.quote(span)));
                    };
                    self.reachable(&text, item, span)?;
                    texts.push(item.as_slice().into());
                }
                Arc::new(TextSet::new(texts.into_iter()))
            }
            (OperandKind::One(Literal::Text(literal)), _) => {
                if matches!(operator, O::Equal | O::NotEqual) {
                    self.reachable(&text, literal, &right.span)?;
                }
                return text_test(text, literal, operator, &right.span);
            }
            (OperandKind::One(literal), _) => {
                return Err(not_a_string(&name, &right.span, literal, self.quote(&right.span)));
            }
            (OperandKind::Value(_), _) => unreachable!("taken above"),
        };
        debug_assert_eq!(operator, O::In, "{operator_span:?}");
        Ok(Condition::Text(text, TextTest::In(set)))
    }

    /// A field against a field. A list of claims stands for any of its elements: the issuer wrote it, not the client.
    fn same(&mut self, left: Text, left_node: &Node, right: &Node) -> Result<Condition, Fault> {
        let (name, text) = (self.quote(&left_node.span).to_owned(), self.quote(&right.span).to_owned());
        if name == text {
            return Err(Fault::new(right.span.clone(), format!("this compares `{text}` with itself")));
        }
        let wrong =
            |kind: &str| Fault::new(right.span.clone(), format!("`{name}` is a string, and `{text}` is {kind}"));
        match self.typed(right)? {
            Typed::Text(right) => Ok(Condition::Same(left, right)),
            Typed::Array(Array { source, of: Element::Text(Text::Element) }) if source.is_of_token() => {
                Ok(Condition::Among(left, source))
            }
            Typed::Array(Array { of: Element::Text(_), .. }) => {
                Err(wrong("an array").hint(format!("say which element: `{text}[0]`")))
            }
            Typed::Each(_) => Err(wrong("an array with `[*]`").hint("`[*]` stands on the left side of a comparison")),
            Typed::Map(MapField::Claims) => Err(wrong("a map").hint(format!("say which claim: `{text}[\"sub\"]`"))),
            Typed::Map(_) => Err(wrong("a map").hint(format!("say which element: `{text}[\"name\"][0]`"))),
            other => Err(wrong(other.describe()).hint("two fields that are compared are both strings")),
        }
    }

    /// A comparison that can never hold is a rule that quietly does nothing: refused.
    fn reachable(&self, text: &Text, literal: &[u8], span: &Span) -> Result<(), Fault> {
        let (message, fixed) = match text {
            Text::Field(TextField::Host) | Text::Lower(_) if literal.iter().any(u8::is_ascii_uppercase) => {
                ("this value is always lower-case, so it never equals that", literal.to_ascii_lowercase())
            }
            Text::Field(TextField::Method) | Text::Upper(_) if literal.iter().any(u8::is_ascii_lowercase) => {
                ("this value is always upper-case, so it never equals that", literal.to_ascii_uppercase())
            }
            _ => return Ok(()),
        };
        Err(Fault::new(span.clone(), message).hint(format!("write `\"{}\"`", fixed.escape_ascii())))
    }

    fn number_comparison(
        &self,
        number: Number,
        left: &Node,
        operator: Operator,
        operator_span: &Span,
        right: &Operand,
    ) -> Result<Condition, Fault> {
        use Operator as O;
        let wrong = |span: &Span, literal: &Literal| {
            let name = self.quote(&left.span);
            Fault::new(span.clone(), format!("`{name}` is a number and cannot be compared with {}", literal.describe()))
                .hint("expected a whole number")
        };
        let ranges = match &right.kind {
            OperandKind::Set(items) => {
                let mut ranges = Vec::with_capacity(items.len());
                for (span, item) in items {
                    ranges.push(match item {
                        Literal::Integer(number) => (*number, *number),
                        Literal::Integers(first, last) => (*first, *last),
                        _ => return Err(wrong(span, item)),
                    });
                }
                ranges
            }
            OperandKind::One(Literal::Integer(number)) => {
                let n = *number;
                let below = n.checked_sub(1).map(|below| (i64::MIN, below));
                let above = n.checked_add(1).map(|above| (above, i64::MAX));
                match operator {
                    O::Equal => vec![(n, n)],
                    O::NotEqual => below.into_iter().chain(above).collect(),
                    O::Less => below.into_iter().collect(),
                    O::LessOrEqual => vec![(i64::MIN, n)],
                    O::Greater => above.into_iter().collect(),
                    O::GreaterOrEqual => vec![(n, i64::MAX)],
                    _ => {
                        return Err(self.unsuited(
                            left,
                            "a number",
                            operator,
                            operator_span,
                            "eq, ne, lt, le, gt, ge, in",
                        ));
                    }
                }
            }
            OperandKind::One(literal) => return Err(wrong(&right.span, literal)),
            OperandKind::Value(_) => return Err(self.literal_only(left, "a number", &right.span)),
            OperandKind::Pattern(_) => {
                return Err(self.unsuited(left, "a number", operator, operator_span, "eq, ne, lt, le, gt, ge, in"));
            }
            OperandKind::List(list) => {
                self.list(list, &right.span)?;
                return Err(
                    Fault::new(right.span.clone(), "there are no lists of numbers").hint("expected `in {1 2..5}`")
                );
            }
        };
        Ok(Condition::Number(number, Ranges::new(ranges)))
    }

    fn address_comparison(
        &self,
        left: &Node,
        operator: Operator,
        operator_span: &Span,
        right: &Operand,
    ) -> Result<Condition, Fault> {
        let name = self.quote(&left.span);
        let wrong = |span: &Span, literal: &Literal| {
            let message = format!("`{name}` is an address and cannot be compared with {}", literal.describe());
            Fault::new(span.clone(), message).hint("expected an address without quotes: `192.0.2.1`")
        };
        let range = |span: &Span, literal: &Literal| -> Result<AddressRange, Fault> {
            match literal {
                Literal::Address(address) => Ok((*address, *address)),
                Literal::Network(network) => Ok(range_of(*network)),
                Literal::Addresses(first, last) => Ok((*first, *last)),
                _ => Err(wrong(span, literal)),
            }
        };
        match (&right.kind, operator) {
            (OperandKind::Set(items), _) => {
                let mut ranges = Vec::with_capacity(items.len());
                for (span, item) in items {
                    ranges.push(range(span, item)?);
                }
                Ok(Condition::Address(Arc::new(AddressSet::new(ranges.into_iter()))))
            }
            (OperandKind::List(list), _) => match self.list(list, &right.span)? {
                ListItems::Addresses(set) => Ok(Condition::Address(Arc::clone(set))),
                ListItems::Empty => Ok(Condition::Constant(false)),
                ListItems::Texts(_) => {
                    let first = self.lists.get(list.as_str()).and_then(|list| list.not_an_address.as_deref());
                    Err(Fault::new(
                        right.span.clone(),
                        format!("`${list}` is a list of strings, and `{name}` is an address"),
                    )
                    .hint(format!("its item `{}` is not an address or prefix", first.unwrap_or_default())))
                }
            },
            (OperandKind::One(Literal::Network(network)), Operator::Equal | Operator::NotEqual) => {
                let message = format!("`{name}` is one address and never equals the prefix {network}");
                let not = if operator == Operator::NotEqual { "not " } else { "" };
                Err(Fault::new(right.span.clone(), message).hint(format!("write `{not}{name} in {{{network}}}`")))
            }
            (OperandKind::One(literal), Operator::Equal | Operator::NotEqual) => {
                let Literal::Address(address) = literal else { return Err(wrong(&right.span, literal)) };
                let set = AddressSet::new(std::iter::once((*address, *address)));
                let condition = Condition::Address(Arc::new(set));
                Ok(match operator {
                    Operator::NotEqual => Condition::Not(Box::new(condition)),
                    _ => condition,
                })
            }
            (OperandKind::Value(_), _) => Err(self.literal_only(left, "an address", &right.span)),
            _ => Err(self.unsuited(left, "an address", operator, operator_span, "eq, ne, in")),
        }
    }

    fn literal_only(&self, left: &Node, kind: &str, span: &Span) -> Fault {
        let (left, right) = (self.quote(&left.span), self.quote(span));
        Fault::new(span.clone(), format!("`{left}` is {kind} and cannot be compared with the field `{right}`"))
            .hint("only strings are compared with fields")
    }

    fn unsuited(&self, left: &Node, kind: &str, operator: Operator, span: &Span, allowed: &str) -> Fault {
        let message =
            format!("`{}` is {kind} and cannot be compared with `{}`", self.quote(&left.span), operator.name());
        Fault::new(span.clone(), message).hint(format!("expected one of {allowed}"))
    }

    fn list(&self, name: &str, span: &Span) -> Result<&ListItems, Fault> {
        self.lists.get(name).map(|list| &list.items).ok_or_else(|| {
            let fault = Fault::new(span.clone(), format!("there is no list `${name}`"));
            let mut names: Vec<&str> = self.lists.keys().copied().collect();
            names.sort_unstable();
            match spelling::nearest(name, &names) {
                Some(near) => fault.hint(format!("did you mean `${near}`?")),
                None => fault.hint("define it under `lists`"),
            }
        })
    }
}

fn not_a_string(name: &str, span: &Span, literal: &Literal, written: &str) -> Fault {
    let message = format!("`{name}` is a string and cannot be compared with {}", literal.describe());
    Fault::new(span.clone(), message).hint(format!("strings stand in quotes: `\"{written}\"`"))
}

fn text_test(text: Text, literal: &[u8], operator: Operator, span: &Span) -> Result<Condition, Fault> {
    use Operator as O;
    let boxed: Box<[u8]> = literal.into();
    let test = match operator {
        O::Equal => TextTest::Equal(boxed),
        O::NotEqual => TextTest::NotEqual(boxed),
        O::Less | O::LessOrEqual => TextTest::Less { than: boxed, or_equal: operator == O::LessOrEqual },
        O::Greater | O::GreaterOrEqual => TextTest::Greater { than: boxed, or_equal: operator == O::GreaterOrEqual },
        O::Contains => TextTest::Contains(Box::new(FinderBuilder::new().build_forward(literal).into_owned())),
        O::Wildcard | O::StrictWildcard => {
            let wildcard = |pattern: &[u8]| {
                Wildcard::new(pattern).map_err(|(message, hint)| Fault::new(span.clone(), message).hint(hint))
            };
            if operator == O::StrictWildcard {
                TextTest::Wildcard(Box::new(wildcard(literal)?))
            } else {
                return Ok(Condition::Wildcard(text, Box::new(wildcard(&literal.to_ascii_lowercase())?)));
            }
        }
        O::Matches | O::In => unreachable!("the parser gives these a pattern, set or list"),
    };
    Ok(Condition::Text(text, test))
}
