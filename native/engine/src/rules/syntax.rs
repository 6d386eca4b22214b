//! What an expression says, before anything is known about types.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

/// Bytes of the expression's text.
pub(super) type Span = Range<usize>;

/// Why an expression is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub span: Span,
    /// One sentence: what was found and why it cannot stand there.
    pub message: String,
    /// What would do.
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(span: Span, message: impl Into<String>) -> Fault {
        Fault { span, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Field(String),
    Call {
        name: String,
        name_span: Span,
        arguments: Vec<Node>,
    },
    Index {
        of: Box<Node>,
        index: Index,
        index_span: Span,
    },
    /// Only as an argument of a function.
    Text(Vec<u8>),
    /// Only as an argument of a function.
    Integer(i64),
    Compare {
        left: Box<Node>,
        operator: Operator,
        operator_span: Span,
        right: Operand,
    },
    Not(Box<Node>),
    Combine {
        operator: Logical,
        items: Vec<Node>,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Index {
    Key(Vec<u8>),
    At(usize),
    /// `[*]`
    Each,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Or,
    Xor,
    And,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    Matches,
    Wildcard,
    StrictWildcard,
    In,
}

impl Operator {
    /// The spelling for messages.
    pub fn name(self) -> &'static str {
        match self {
            Operator::Equal => "eq",
            Operator::NotEqual => "ne",
            Operator::Less => "lt",
            Operator::LessOrEqual => "le",
            Operator::Greater => "gt",
            Operator::GreaterOrEqual => "ge",
            Operator::Contains => "contains",
            Operator::Matches => "matches",
            Operator::Wildcard => "wildcard",
            Operator::StrictWildcard => "strict wildcard",
            Operator::In => "in",
        }
    }
}

/// The right side of a comparison.
#[derive(Debug)]
pub(super) struct Operand {
    pub span: Span,
    pub kind: OperandKind,
}

#[derive(Debug)]
pub(super) enum OperandKind {
    One(Literal),
    /// The right side of `matches`.
    Pattern(String),
    /// `{..}`
    Set(Vec<(Span, Literal)>),
    /// `$name`
    List(String),
    /// A field, or a function of one: behind `eq` and `ne`.
    Value(Box<Node>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Text(Vec<u8>),
    Integer(i64),
    Integers(i64, i64),
    Address(IpAddr),
    Network(IpNet),
    Addresses(IpAddr, IpAddr),
}

impl Literal {
    /// For messages: `the number 5`.
    pub fn describe(&self) -> String {
        match self {
            Literal::Text(text) => format!("the string \"{}\"", text.escape_ascii()),
            Literal::Integer(number) => format!("the number {number}"),
            Literal::Integers(first, last) => format!("the range {first}..{last}"),
            Literal::Address(address) => format!("the address {address}"),
            Literal::Network(network) => format!("the prefix {network}"),
            Literal::Addresses(first, last) => format!("the range {first}..{last}"),
        }
    }
}
