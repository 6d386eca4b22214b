//! Text to [`Node`]: Cloudflare's grammar. There are no comments in it, and operators are lower-case.
//!
//! Precedence, tightest first: `not`, `and`, `xor`, `or`.

use winnow::combinator::{alt, not, opt, peek};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{one_of, rest, take_while};

use super::field;
use super::literal;
use super::spelling;
use super::syntax::{Fault, Index, Kind, Literal, Logical, Node, Operand, OperandKind, Operator, Span};

/// Longest expression: Cloudflare's own limit, so that what runs there compiles here.
pub(super) const MAX_EXPRESSION_BYTES: usize = 4096;
/// Deepest nesting of parentheses, `not` and function calls. Parser, checker and evaluation recurse once a level;
/// people write fewer than ten.
pub(super) const MAX_NESTING: usize = 32;

/// Most indexes behind one value: `["key"][*]`, and one more for the elements of a mapped call.
const MAX_INDEXES: usize = 3;

/// The state counts the nesting.
type Input<'i> = Stateful<LocatingSlice<&'i str>, usize>;
type Parsed<T> = Result<T, Fault>;

impl<'i> ParserError<Input<'i>> for Fault {
    type Inner = Fault;

    fn from_input(input: &Input<'i>) -> Fault {
        let at = input.current_token_start();
        Fault::new(at..at, "this cannot be read")
    }

    fn into_inner(self) -> Result<Fault, Fault> {
        Ok(self)
    }
}

pub(super) fn parse(expression: &str) -> Parsed<Node> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        let message = format!(
            "the expression is {} bytes long, more than the {MAX_EXPRESSION_BYTES} that are allowed",
            expression.len()
        );
        return Err(Fault::new(0..expression.len(), message)
            .hint("move long sets into a named list (`in $name`), or split the rule"));
    }
    let mut input = Stateful { input: LocatingSlice::new(expression), state: 0 };
    spaces(&mut input)?;
    let node = combined(&mut input, 0)?;
    spaces(&mut input)?;
    if !at_end(&input) {
        return Err(unexpected_tail(&input, &node));
    }
    Ok(node)
}

/// Loosest first; index is the level.
const LEVELS: [(Logical, &str, &str); 3] =
    [(Logical::Or, "or", "||"), (Logical::Xor, "xor", "^^"), (Logical::And, "and", "&&")];

fn combined(input: &mut Input<'_>, level: usize) -> Parsed<Node> {
    let Some(&(operator, word, symbol)) = LEVELS.get(level) else {
        return simple(input);
    };
    let first = combined(input, level + 1)?;
    let mut items = vec![first];
    loop {
        let mark = input.checkpoint();
        spaces(input)?;
        if opt(alt((keyword(word), symbol))).parse_next(input)?.is_none() {
            input.reset(&mark);
            break;
        }
        spaces(input)?;
        items.push(combined(input, level + 1)?);
    }
    Ok(match items.len() {
        1 => items.swap_remove(0),
        _ => {
            Node { span: items[0].span.start..items[items.len() - 1].span.end, kind: Kind::Combine { operator, items } }
        }
    })
}

fn simple(input: &mut Input<'_>) -> Parsed<Node> {
    let start = input.current_token_start();
    if opt('(').parse_next(input)?.is_some() {
        let inner = nested(input, start, |input| {
            spaces(input)?;
            let inner = combined(input, 0)?;
            spaces(input)?;
            Ok(inner)
        })?;
        if opt(')').parse_next(input)?.is_none() {
            if at_end(input) {
                return Err(Fault::new(start..start + 1, "this parenthesis is not closed").hint("add `)`"));
            }
            return Err(unexpected_tail(input, &inner));
        }
        return Ok(Node { span: start..input.previous_token_end(), kind: inner.kind });
    }
    let negation = alt((keyword("not"), ("!", peek(not("="))).take()));
    if opt(negation).parse_next(input)?.is_some() {
        spaces(input)?;
        let inner = nested(input, start, simple)?;
        return Ok(Node { span: start..inner.span.end, kind: Kind::Not(Box::new(inner)) });
    }
    comparison(input)
}

fn nested<'i>(input: &mut Input<'i>, start: usize, inner: impl FnOnce(&mut Input<'i>) -> Parsed<Node>) -> Parsed<Node> {
    if input.state == MAX_NESTING {
        let message = format!("the expression is nested more than {MAX_NESTING} levels deep");
        return Err(Fault::new(start..start + 1, message).hint("remove parentheses, or split the rule"));
    }
    input.state += 1;
    let node = inner(input);
    input.state -= 1;
    node
}

fn comparison(input: &mut Input<'_>) -> Parsed<Node> {
    let left = value(input)?;
    let mark = input.checkpoint();
    spaces(input)?;
    let operator_start = input.current_token_start();
    let Some(operator) = opt(comparison_operator).parse_next(input)? else {
        input.reset(&mark);
        return Ok(left);
    };
    let operator_span = operator_start..input.previous_token_end();
    spaces(input)?;
    let right = operand(input, operator)?;
    let span = left.span.start..right.span.end;
    Ok(Node { span, kind: Kind::Compare { left: Box::new(left), operator, operator_span, right } })
}

fn comparison_operator(input: &mut Input<'_>) -> Parsed<Operator> {
    let ordered = alt((
        alt((keyword("eq"), "==")).value(Operator::Equal),
        alt((keyword("ne"), "!=")).value(Operator::NotEqual),
        alt((keyword("le"), "<=")).value(Operator::LessOrEqual),
        alt((keyword("ge"), ">=")).value(Operator::GreaterOrEqual),
        alt((keyword("lt"), "<")).value(Operator::Less),
        alt((keyword("gt"), ">")).value(Operator::Greater),
    ));
    let others = alt((
        keyword("contains").value(Operator::Contains),
        alt((keyword("matches"), "~")).value(Operator::Matches),
        keyword("wildcard").value(Operator::Wildcard),
        (keyword("strict"), spaces, keyword("wildcard")).value(Operator::StrictWildcard),
        keyword("in").value(Operator::In),
    ));
    alt((ordered, others)).parse_next(input)
}

/// A field or a function call, with its indexes.
fn value(input: &mut Input<'_>) -> Parsed<Node> {
    let start = input.current_token_start();
    let mark = input.checkpoint();
    let name = take_while(0.., is_name).parse_next(input)?;
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || spelling::OPERATORS.contains(&name) {
        input.reset(&mark);
        return Err(no_value(input));
    }
    let name_span = start..start + name.len();
    let call = (spaces, '(').void();
    let mut node = if opt(call).parse_next(input)?.is_some() {
        let open = input.previous_token_end() - 1;
        let name = name.to_owned();
        nested(input, start, |input| {
            let arguments = arguments(input, open)?;
            let span = start..input.previous_token_end();
            Ok(Node { span, kind: Kind::Call { name, name_span, arguments } })
        })?
    } else {
        Node { span: name_span, kind: Kind::Field(name.to_owned()) }
    };
    for _ in 0..MAX_INDEXES {
        let index_start = input.current_token_start();
        if opt('[').parse_next(input)?.is_none() {
            return Ok(node);
        }
        let index = index(input, index_start)?;
        let end = input.previous_token_end();
        let kind = Kind::Index { of: Box::new(node), index, index_span: index_start..end };
        node = Node { span: start..end, kind };
    }
    if remaining(input).starts_with('[') {
        let found = upcoming(input);
        return Err(Fault::new(found, format!("no value has more than {MAX_INDEXES} indexes")));
    }
    Ok(node)
}

fn arguments(input: &mut Input<'_>, open: usize) -> Parsed<Vec<Node>> {
    let mut arguments = Vec::new();
    spaces(input)?;
    if opt(')').parse_next(input)?.is_some() {
        return Ok(arguments);
    }
    loop {
        arguments.push(argument(input)?);
        spaces(input)?;
        if opt(')').parse_next(input)?.is_some() {
            return Ok(arguments);
        }
        if opt(',').parse_next(input)?.is_none() {
            if at_end(input) {
                return Err(Fault::new(open..open + 1, "this parenthesis is not closed").hint("add `)`"));
            }
            let found = upcoming(input);
            return Err(Fault::new(found.clone(), format!("`{}` cannot stand here", text_of(input, &found)))
                .hint("expected `,` or `)`"));
        }
        spaces(input)?;
    }
}

fn argument(input: &mut Input<'_>) -> Parsed<Node> {
    let start = input.current_token_start();
    let kind = if opens_string(input) {
        Kind::Text(string(input)?)
    } else if remaining(input).starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        let (span, literal) = bare(input)?;
        let Literal::Integer(number) = literal else {
            return Err(Fault::new(span, format!("{} cannot be an argument", literal.describe()))
                .hint("expected a field, a string or a whole number"));
        };
        Kind::Integer(number)
    } else {
        return combined(input, 0);
    };
    Ok(Node { span: start..input.previous_token_end(), kind })
}

/// What stands between `[` and `]`.
fn index(input: &mut Input<'_>, open: usize) -> Parsed<Index> {
    spaces(input)?;
    let start = input.current_token_start();
    let index = if opt('*').parse_next(input)?.is_some() {
        Index::Each
    } else if opens_string(input) {
        Index::Key(string(input)?)
    } else {
        let digits = take_while(0.., |c: char| c.is_ascii_digit()).parse_next(input)?;
        // Four digits are more than a head of 16 KiB can hold elements.
        if digits.is_empty() || digits.len() > 4 {
            let found = if digits.is_empty() { upcoming(input) } else { start..start + digits.len() };
            return Err(
                Fault::new(found, "this is not an index").hint("expected a key `\"name\"`, a position `0`, or `*`")
            );
        }
        Index::At(digits.bytes().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
    };
    spaces(input)?;
    if opt(']').parse_next(input)?.is_none() {
        return Err(Fault::new(open..open + 1, "this bracket is not closed").hint("add `]`"));
    }
    Ok(index)
}

fn operand(input: &mut Input<'_>, operator: Operator) -> Parsed<Operand> {
    let start = input.current_token_start();
    let kind = match operator {
        Operator::Matches => {
            if !opens_string(input) {
                return Err(wrong_operand(input, "a regular expression in quotes"));
            }
            OperandKind::Pattern(pattern(input)?)
        }
        Operator::In => {
            if opt('{').parse_next(input)?.is_some() {
                OperandKind::Set(set(input, start)?)
            } else if opt('$').parse_next(input)?.is_some() {
                let name = take_while(0.., |c: char| c.is_ascii_alphanumeric() || c == '_').parse_next(input)?;
                if name.is_empty() {
                    return Err(Fault::new(start..start + 1, "a list has no name here").hint("expected `$name`"));
                }
                OperandKind::List(name.to_owned())
            } else {
                return Err(wrong_operand(input, "a set in braces `{..}` or a list `$name`"));
            }
        }
        _ if opens_string(input) => OperandKind::One(Literal::Text(string(input)?)),
        Operator::Equal | Operator::NotEqual if starts_value(input) => OperandKind::Value(Box::new(value(input)?)),
        _ if starts_bare(input) => OperandKind::One(bare(input)?.1),
        Operator::Equal | Operator::NotEqual => {
            return Err(wrong_operand(input, "a string, a number, an address or a field"));
        }
        _ => return Err(wrong_operand(input, "a string, a number or an address")),
    };
    Ok(Operand { span: start..input.previous_token_end(), kind })
}

fn wrong_operand(input: &Input<'_>, expected: &str) -> Fault {
    let start = input.current_token_start();
    let text = remaining(input);
    let length = text.find(|c: char| !is_bare(c)).unwrap_or(text.len());
    let found = start..start + length.max(text.chars().next().map_or(0, char::len_utf8));
    match text_of(input, &found) {
        "" => Fault::new(found, "the comparison has no right side").hint(format!("expected {expected}")),
        "{" | "$" => Fault::new(found, "a set or list stands only after `in`").hint(format!("expected {expected}")),
        text => Fault::new(found, format!("`{text}` cannot stand here")).hint(format!("expected {expected}")),
    }
}

fn set(input: &mut Input<'_>, open: usize) -> Parsed<Vec<(Span, Literal)>> {
    let mut items = Vec::new();
    loop {
        spaces(input)?;
        if opt('}').parse_next(input)?.is_some() {
            break;
        }
        let start = input.current_token_start();
        if opens_string(input) {
            let text = string(input)?;
            items.push((start..input.previous_token_end(), Literal::Text(text)));
        } else if starts_bare(input) {
            items.push(bare(input)?);
        } else if at_end(input) {
            return Err(Fault::new(open..open + 1, "this brace is not closed").hint("add `}`"));
        } else {
            let found = upcoming(input);
            let message = format!("`{}` cannot stand in a set", text_of(input, &found));
            return Err(Fault::new(found, message).hint("expected values with spaces between them, and `}`"));
        }
    }
    if items.is_empty() {
        return Err(
            Fault::new(open..input.previous_token_end(), "the set is empty").hint("expected at least one value")
        );
    }
    Ok(items)
}

fn starts_bare(input: &Input<'_>) -> bool {
    remaining(input).starts_with(is_bare)
}

/// A field, or a name that is called or indexed: no literal is.
fn starts_value(input: &Input<'_>) -> bool {
    let text = remaining(input);
    let (name, rest) = text.split_at(text.find(|c: char| !is_name(c)).unwrap_or(text.len()));
    let is_bare = rest.starts_with(is_bare);
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && (rest.starts_with(['(', '[']) || (!is_bare && field::exists(name)))
}

/// A number, an address, a prefix or a range of them.
fn bare(input: &mut Input<'_>) -> Parsed<(Span, Literal)> {
    let start = input.current_token_start();
    let text = take_while(1.., is_bare).parse_next(input)?;
    let span = start..start + text.len();
    let literal = literal::bare(text, span.clone())?;
    Ok((span, literal))
}

fn opens_string(input: &Input<'_>) -> bool {
    let text = remaining(input);
    text.starts_with('"') || text.strip_prefix('r').is_some_and(|text| text.starts_with(['"', '#']))
}

fn string(input: &mut Input<'_>) -> Parsed<Vec<u8>> {
    let (start, raw, inner) = quoted(input)?;
    if raw { Ok(inner.as_bytes().to_vec()) } else { literal::unescape(inner, start) }
}

/// In quotes behind `matches`, only `\"` is ours; every other backslash belongs to the regular expression.
fn pattern(input: &mut Input<'_>) -> Parsed<String> {
    let (_, raw, inner) = quoted(input)?;
    Ok(if raw { inner.to_owned() } else { literal::unescape_pattern(inner) })
}

/// The text between the delimiters, where it starts, and whether it is raw.
fn quoted<'i>(input: &mut Input<'i>) -> Parsed<(usize, bool, &'i str)> {
    let open = input.current_token_start();
    let text = remaining(input);
    let raw = text.starts_with('r');
    let (prefix, length) = if raw {
        let hashes = text[1..].bytes().take_while(|&byte| byte == b'#').count();
        if hashes > 255 || text.as_bytes().get(1 + hashes) != Some(&b'"') {
            return Err(Fault::new(open..open + 1 + hashes, "this raw string has no opening quote")
                .hint("expected `r\"..\"` or `r#\"..\"#`, with at most 255 `#`"));
        }
        let closing = format!("\"{}", "#".repeat(hashes));
        (2 + hashes, text[2 + hashes..].find(&closing).map(|length| (length, length + closing.len())))
    } else {
        (1, closing_quote(&text[1..]).map(|length| (length, length + 1)))
    };
    let Some((length, consumed)) = length else {
        return Err(Fault::new(open..open + prefix, "this string is not closed").hint("add the closing quote"));
    };
    let inner = &text[prefix..prefix + length];
    input.next_slice(prefix + consumed);
    Ok((open + prefix, raw, inner))
}

/// A backslash takes the next character with it, whatever that means later.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unexpected_tail(input: &Input<'_>, before: &Node) -> Fault {
    let found = upcoming(input);
    let text = text_of(input, &found);
    let fault = Fault::new(found.clone(), format!("`{text}` cannot stand here"));
    let subject = matches!(before.kind, Kind::Field(_) | Kind::Index { .. } | Kind::Call { .. });
    if spelling::OPERATORS.contains(&text.to_ascii_lowercase().as_str()) && text.bytes().any(|b| b.is_ascii_uppercase())
    {
        return fault.hint(format!("operators are lower-case: `{}`", text.to_ascii_lowercase()));
    }
    match text {
        "strict" => fault.hint("write `strict wildcard`"),
        "=" => fault.hint("to compare, write `eq` or `==`"),
        "&" | "|" | "^" => fault.hint("expected `and` (`&&`), `xor` (`^^`) or `or` (`||`)"),
        ")" => fault.hint("no parenthesis is open"),
        "starts_with" | "ends_with" => {
            fault.hint(format!("`{text}` is a function: write `{text}(http.request.uri.path, \"..\")`"))
        }
        "#" | "/" => fault.hint("the language has no comments; use the rule's `description`"),
        _ => match spelling::nearest(text, spelling::OPERATORS) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None if subject => {
                fault.hint("expected an operator such as `eq`, `in` or `contains`, or `and`, `xor`, `or`")
            }
            None => fault.hint("expected `and`, `xor`, `or` or the end of the expression"),
        },
    }
}

fn no_value(input: &Input<'_>) -> Fault {
    let found = upcoming(input);
    const HINT: &str = "expected a field, a function, `not` or `(`";
    if at_end(input) {
        return Fault::new(found, "the expression ends too early").hint(HINT);
    }
    if opens_string(input) {
        return Fault::new(found, "a comparison has its field on the left, its literal on the right").hint(HINT);
    }
    Fault::new(found.clone(), format!("`{}` cannot stand here", text_of(input, &found))).hint(HINT)
}

/// The next word or symbol, for messages.
fn upcoming(input: &Input<'_>) -> Span {
    let start = input.current_token_start();
    let text = remaining(input);
    let word = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
    let length = if word > 0 { word } else { text.chars().next().map_or(0, char::len_utf8) };
    start..start + length
}

fn text_of<'i>(input: &Input<'i>, span: &Span) -> &'i str {
    let text = remaining(input);
    let start = input.current_token_start();
    // `span` may begin before what remains only where nothing was consumed.
    text.get(span.start.saturating_sub(start)..span.end.saturating_sub(start)).unwrap_or("")
}

fn remaining<'i>(input: &Input<'i>) -> &'i str {
    let mut ahead = *input;
    rest::<_, Fault>.parse_next(&mut ahead).unwrap_or("")
}

fn at_end(input: &Input<'_>) -> bool {
    input.eof_offset() == 0
}

fn spaces(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., [' ', '\t', '\r', '\n']).void().parse_next(input)
}

fn keyword<'i>(word: &'static str) -> impl Parser<Input<'i>, &'i str, Fault> {
    (word, peek(not(one_of(is_name)))).take()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '-' | '_')
}
