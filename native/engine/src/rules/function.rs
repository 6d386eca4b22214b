//! The functions: one table of names and shapes, and how each becomes a part of a condition.

use super::body::{Step, Want};
use super::check::{Array, Element, Scope, Typed};
use super::condition::{Condition, Number, Text};
use super::place::Place;
use super::request::Tokened;
use super::spelling;
use super::syntax::{Fault, Kind, Node, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Any,
    All,
    Cidr,
    Concat,
    EndsWith,
    IsJwtPresent,
    IsJwtValid,
    Len,
    LookupJsonInteger,
    LookupJsonString,
    Lower,
    StartsWith,
    ToNumber,
    Upper,
    UrlDecode,
}

struct Shape {
    name: &'static str,
    function: Function,
    least: usize,
    most: usize,
    usage: &'static str,
}

const FUNCTIONS: &[Shape] = &[
    shape("any", Function::Any, 1, 1, "any(http.request.headers[\"accept\"][*] eq \"..\")"),
    shape("all", Function::All, 1, 1, "all(http.request.headers[\"accept\"][*] eq \"..\")"),
    shape("cidr", Function::Cidr, 3, 3, "cidr(ip.src, 24, 64)"),
    shape("concat", Function::Concat, 2, 16, "concat(http.host, http.request.uri.path)"),
    shape("ends_with", Function::EndsWith, 2, 2, "ends_with(http.request.uri.path, \"..\")"),
    shape("is_jwt_present", Function::IsJwtPresent, 0, 1, "is_jwt_present(\"customers\")"),
    shape("is_jwt_valid", Function::IsJwtValid, 0, 1, "is_jwt_valid(\"customers\")"),
    shape("len", Function::Len, 1, 1, "len(http.user_agent)"),
    shape(
        "lookup_json_integer",
        Function::LookupJsonInteger,
        2,
        16,
        "lookup_json_integer(http.request.body.raw, \"id\")",
    ),
    shape(
        "lookup_json_string",
        Function::LookupJsonString,
        2,
        16,
        "lookup_json_string(http.request.body.raw, \"user\", 0)",
    ),
    shape("lower", Function::Lower, 1, 1, "lower(http.user_agent)"),
    shape("starts_with", Function::StartsWith, 2, 2, "starts_with(http.request.uri.path, \"..\")"),
    shape("to_number", Function::ToNumber, 1, 1, "to_number(http.request.uri.args[\"limit\"][0])"),
    shape("upper", Function::Upper, 1, 1, "upper(http.user_agent)"),
    shape("url_decode", Function::UrlDecode, 1, 2, "url_decode(http.request.uri.query)"),
];

const fn shape(name: &'static str, function: Function, least: usize, most: usize, usage: &'static str) -> Shape {
    Shape { name, function, least, most, usage }
}

pub(super) fn exists(name: &str) -> bool {
    FUNCTIONS.iter().any(|shape| shape.name == name)
}

pub(super) fn call(
    scope: &mut Scope<'_>,
    name: &str,
    name_span: &Span,
    arguments: &[Node],
    span: &Span,
) -> Result<Typed, Fault> {
    let Some(shape) = FUNCTIONS.iter().find(|shape| shape.name == name) else {
        let fault = Fault::new(name_span.clone(), format!("there is no function `{name}`"));
        let names: Vec<&str> = FUNCTIONS.iter().map(|shape| shape.name).collect();
        return Err(match spelling::nearest(name, &names) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint(format!("expected one of {}", names.join(", "))),
        });
    };
    let looks_up = matches!(shape.function, Function::LookupJsonInteger | Function::LookupJsonString);
    if looks_up && scope.place == Place::Rule {
        return Err(Fault::new(name_span.clone(), format!("`{name}` stands only in limits")).hint(
            "rules do not see request bodies; of a token, `http.request.jwt.claims[\"role\"][0]` is a claim by its name",
        ));
    }
    if arguments.len() < shape.least || arguments.len() > shape.most {
        let expected = match (shape.least, shape.most) {
            (1, 1) => "1 argument".to_owned(),
            (0, 1) => "at most 1 argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        return Err(Fault::new(span.clone(), format!("`{name}` takes {expected}, not {}", arguments.len()))
            .hint(format!("as in `{}`", shape.usage)));
    }
    match shape.function {
        Function::Any | Function::All => quantified(scope, shape, &arguments[0]),
        Function::Cidr => prefix(scope, shape, arguments),
        Function::IsJwtPresent | Function::IsJwtValid => tokened(scope, shape, arguments.first()),
        Function::Len => length(scope, shape, &arguments[0]),
        Function::Lower => mapped(scope, shape, arguments, |text, _| Element::Text(Text::Lower(Box::new(text)))),
        Function::Upper => mapped(scope, shape, arguments, |text, _| Element::Text(Text::Upper(Box::new(text)))),
        Function::StartsWith => mapped(scope, shape, arguments, |text, mut rest| {
            Element::Boolean(Condition::StartsWith(text, rest.remove(0)))
        }),
        Function::EndsWith => mapped(scope, shape, arguments, |text, mut rest| {
            Element::Boolean(Condition::EndsWith(text, rest.remove(0)))
        }),
        Function::ToNumber => mapped(scope, shape, arguments, |text, _| Element::Number(Number::Of(text))),
        Function::Concat => mapped(scope, shape, arguments, |text, rest| {
            Element::Text(Text::Concat(std::iter::once(text).chain(rest).collect()))
        }),
        Function::UrlDecode => {
            let (recursive, unicode) = decode_options(scope, arguments.get(1))?;
            mapped(scope, shape, &arguments[..1], |text, _| {
                Element::Text(Text::UrlDecode { of: Box::new(text), recursive, unicode })
            })
        }
        Function::LookupJsonInteger | Function::LookupJsonString => looked_up(scope, shape, arguments),
    }
}

fn quantified(scope: &mut Scope<'_>, shape: &Shape, argument: &Node) -> Result<Typed, Fault> {
    let every = shape.function == Function::All;
    match scope.typed(argument)? {
        Typed::Array(Array { source, of: Element::Boolean(of) }) => {
            Ok(Typed::Boolean(Condition::Quantified { source, every, of: Box::new(of) }))
        }
        other => Err(wrong(scope, shape, argument, &other, "a condition on each element of an array")),
    }
}

/// A value of a JSON body: names of members and positions in arrays lead to it.
fn looked_up(scope: &mut Scope<'_>, shape: &Shape, arguments: &[Node]) -> Result<Typed, Fault> {
    match scope.typed(&arguments[0])? {
        Typed::Body => {}
        other => return Err(wrong(scope, shape, &arguments[0], &other, "`http.request.body.raw`")),
    }
    let mut steps = Vec::with_capacity(arguments.len() - 1);
    for argument in &arguments[1..] {
        let step = match &argument.kind {
            Kind::Text(name) => String::from_utf8(name.clone()).ok().map(|name| Step::Member(name.into())),
            Kind::Integer(position) => u32::try_from(*position).ok().map(Step::At),
            _ => None,
        };
        let Some(step) = step else {
            let message = format!("`{}` is neither a name nor a position", scope.quote(&argument.span));
            return Err(Fault::new(argument.span.clone(), message).hint(format!("as in `{}`", shape.usage)));
        };
        steps.push(step);
    }
    Ok(match shape.function {
        Function::LookupJsonInteger => Typed::Number(Number::Body(scope.wanted.number(Want::Integer(steps.into())))),
        _ => Typed::Text(Text::Body(scope.wanted.number(Want::Text(steps.into())))),
    })
}

/// The address cut to so many bits: of IPv4, of IPv6.
fn prefix(scope: &mut Scope<'_>, shape: &Shape, arguments: &[Node]) -> Result<Typed, Fault> {
    match scope.typed(&arguments[0])? {
        Typed::Address => {}
        other => return Err(wrong(scope, shape, &arguments[0], &other, "an address")),
    }
    let bits = |argument: &Node, most: u8| {
        match argument.kind {
            Kind::Integer(bits) => u8::try_from(bits).ok().filter(|bits| (1..=most).contains(bits)),
            _ => None,
        }
        .ok_or_else(|| {
            let text = scope.quote(&argument.span);
            Fault::new(argument.span.clone(), format!("`{text}` is not a number of bits"))
                .hint(format!("expected 1 to {most}"))
        })
    };
    Ok(Typed::Prefix(bits(&arguments[1], 32)?, bits(&arguments[2], 128)?))
}

/// The name of a token configuration, or none for any.
fn tokened(scope: &mut Scope<'_>, shape: &Shape, argument: Option<&Node>) -> Result<Typed, Fault> {
    let configuration = match argument {
        None => None,
        Some(Node { kind: Kind::Text(name), span }) => Some(scope.configuration(name, span)?),
        Some(Node { span, .. }) => {
            let text = scope.quote(span);
            let message = format!("`{}` takes the name of a token configuration, not `{text}`", shape.name);
            return Err(Fault::new(span.clone(), message).hint(format!("as in `{}`", shape.usage)));
        }
    };
    scope.reads.caller = true;
    let valid = shape.function == Function::IsJwtValid;
    Ok(Typed::Boolean(Condition::Token(Tokened { valid, configuration })))
}

fn length(scope: &mut Scope<'_>, shape: &Shape, argument: &Node) -> Result<Typed, Fault> {
    literal_source(scope, shape, argument)?;
    match scope.typed(argument)? {
        Typed::Text(text) => Ok(Typed::Number(Number::Length(text))),
        Typed::Array(array) => Ok(Typed::Number(Number::Count(array.source))),
        Typed::Each(Array { source, of: Element::Text(text) }) => {
            Ok(Typed::Array(Array { source, of: Element::Number(Number::Length(text)) }))
        }
        other => Err(wrong(scope, shape, argument, &other, "a string or an array")),
    }
}

/// A function of strings. With `[*]` behind the first argument it is called for each element.
fn mapped(
    scope: &mut Scope<'_>,
    shape: &Shape,
    arguments: &[Node],
    make: impl FnOnce(Text, Vec<Text>) -> Element,
) -> Result<Typed, Fault> {
    if shape.function != Function::Concat {
        literal_source(scope, shape, &arguments[0])?;
    }
    let first = scope.typed(&arguments[0])?;
    let mut rest = Vec::new();
    for argument in &arguments[1..] {
        match scope.typed(argument)? {
            Typed::Text(text) => rest.push(text),
            Typed::Each(_) => {
                return Err(Fault::new(
                    argument.span.clone(),
                    "`[*]` may stand only in the first argument of a function",
                )
                .hint(format!("as in `{}`", shape.usage)));
            }
            other => return Err(wrong(scope, shape, argument, &other, "a string")),
        }
    }
    Ok(match first {
        Typed::Text(text) => match make(text, rest) {
            Element::Boolean(condition) => Typed::Boolean(condition),
            Element::Text(text) => Typed::Text(text),
            Element::Number(number) => Typed::Number(number),
        },
        Typed::Each(Array { source, of: Element::Text(text) }) => Typed::Array(Array { source, of: make(text, rest) }),
        other => return Err(wrong(scope, shape, &arguments[0], &other, "a string")),
    })
}

/// A function of a literal is a constant: surely a slip.
fn literal_source(scope: &Scope<'_>, shape: &Shape, argument: &Node) -> Result<(), Fault> {
    if matches!(argument.kind, Kind::Text(_)) {
        let text = scope.quote(&argument.span);
        return Err(Fault::new(
            argument.span.clone(),
            format!("`{}` takes a field here, not the literal {text}", shape.name),
        )
        .hint(format!("as in `{}`", shape.usage)));
    }
    Ok(())
}

fn decode_options(scope: &Scope<'_>, argument: Option<&Node>) -> Result<(bool, bool), Fault> {
    let Some(argument) = argument else { return Ok((false, false)) };
    match &argument.kind {
        Kind::Text(options) if options.iter().all(|option| b"ru".contains(option)) => {
            Ok((options.contains(&b'r'), options.contains(&b'u')))
        }
        _ => Err(Fault::new(
            argument.span.clone(),
            format!("`{}` is not an option of url_decode", scope.quote(&argument.span)),
        )
        .hint("expected \"r\" (recursive), \"u\" (%uXXXX) or \"ru\"")),
    }
}

fn wrong(scope: &Scope<'_>, shape: &Shape, argument: &Node, found: &Typed, expected: &str) -> Fault {
    let text = scope.quote(&argument.span);
    Fault::new(
        argument.span.clone(),
        format!("`{}` takes {expected}, and `{text}` is {}", shape.name, found.describe()),
    )
    .hint(format!("as in `{}`", shape.usage))
}
