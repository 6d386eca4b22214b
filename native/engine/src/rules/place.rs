//! Where an expression stands, and what it reads: a limit is asked as soon as all of it is known.

use super::field::{Boolean, Field};
use super::request::{ArrayField, Finding, MapField, NumberField, TextField};
use super::syntax::{Fault, Span};

/// What an expression may read depends on when it is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A rule: the head, and what earlier stages found.
    Rule,
    /// A limit: the body as well.
    Limit,
    /// What says which requests a limit counts: the response as well.
    Counting,
}

/// What an expression reads beyond the head, the connection and the operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// Key, token, partner or session.
    pub caller: bool,
    /// The body.
    pub body: bool,
    /// The verdict on the body.
    pub verdict: bool,
    /// The response.
    pub response: bool,
    /// Messages of a call.
    pub message: bool,
}

impl Reads {
    #[must_use]
    pub fn and(self, other: Reads) -> Reads {
        Reads {
            caller: self.caller || other.caller,
            body: self.body || other.body,
            verdict: self.verdict || other.verdict,
            response: self.response || other.response,
            message: self.message || other.message,
        }
    }

    /// Adds a field, if it can be read in that place.
    pub(super) fn add(&mut self, field: &Field, place: Place, name: &str, span: &Span) -> Result<(), Fault> {
        let read = of(field);
        if read.response && place != Place::Counting {
            return Err(Fault::new(span.clone(), format!("`{name}` is not known before the origin has answered"))
                .hint("only a limit's `countingExpression` reads the response"));
        }
        if read.body && place == Place::Rule {
            return Err(Fault::new(span.clone(), format!("`{name}` stands only in limits"))
                .hint("rules do not see request bodies"));
        }
        *self = self.and(read);
        Ok(())
    }
}

fn of(field: &Field) -> Reads {
    let caller = match field {
        Field::Text(TextField::Partner | TextField::Key | TextField::Session)
        | Field::Boolean(Boolean::Finding(Finding::Identified))
        | Field::Map(MapField::Claims | MapField::Claim(_)) => true,
        Field::Array(array) | Field::Numbers(array) => {
            matches!(array, ArrayField::Scopes | ArrayField::ClaimNames(_) | ArrayField::ClaimValues(_))
        }
        _ => false,
    };
    let body = matches!(field, Field::Body | Field::Graphql(_) | Field::Map(MapField::Form));
    let response = matches!(field, Field::Number(NumberField::ResponseCode) | Field::Map(MapField::ResponseHeaders));
    let verdict = matches!(field, Field::Boolean(Boolean::Finding(Finding::Violated)));
    let message = matches!(field, Field::Map(MapField::Message));
    Reads { caller, body, verdict, response, message }
}
