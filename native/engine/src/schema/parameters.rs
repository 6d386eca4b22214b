//! Parameters: text on the head that stands for values (OpenAPI, Parameter Object).

use jsonschema::Validator;
use serde_json::Value;

use super::Parameterised;
use super::node::Body;
use crate::head::Head;
use crate::policy::{Operation, Problem};

/// Buffers that are kept between requests, one per thread or slot.
#[derive(Debug, Default)]
pub struct Parameters {}

/// The parameters of one operation.
#[derive(Debug, Default)]
pub(super) struct Described {}

impl Described {
    /// `schema` is the host's document: the types that a text may stand for are read from it.
    pub(super) fn compile(_operation: &Operation, _schema: &Value, _problems: &mut Vec<Problem>) -> Described {
        Described {}
    }

    pub(super) fn check(
        &self,
        _validator: Option<&Validator<Body>>,
        _head: &Head,
        _captures: &[&str],
        _kept: &mut Parameters,
    ) -> Parameterised {
        Parameterised::default()
    }
}
