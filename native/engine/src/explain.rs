//! One request, and perhaps its response, against a policy: which operation it is, and everything it violates.
//!
//! For the operator's eyes, away from traffic. Nothing is enforced and nothing stops at the first violation. Client
//! certificates and rules are not looked at: they need a connection.

use serde::Serialize;

use crate::decide::MAX_INSPECTED_BYTES;
use crate::endpoints::Match;
use crate::head::{Framing, Head};
use crate::policy::{Action, ResponseAction};
use crate::reason::Reason;
use crate::schema::{BodyCheck, Extent, Parameters, Passed, ResponseCheck, Violation};
use crate::snapshot::{Host, Openapi, Snapshot};

/// A response as the origin gave it.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    pub status: u16,
    /// Names in lower case.
    pub fields: &'a [(String, String)],
    pub body: &'a [u8],
}

#[derive(Debug, Default, Serialize)]
pub struct Explanation {
    /// As the policy names it.
    pub host: Option<String>,
    /// `operationId`, else `METHOD /template`.
    pub operation: Option<String>,
    pub findings: Vec<Finding>,
    /// What is let through without a look.
    pub unchecked: Vec<&'static str>,
    /// The response's body as it would go on, when members were taken out.
    pub stripped: Option<String>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub reason: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// What happens because of it: `off`, `log`, `block` or `strip`.
    pub action: &'static str,
    pub errors: Vec<FindingError>,
}

#[derive(Debug, Serialize)]
pub struct FindingError {
    pub location: &'static str,
    pub class: &'static str,
    pub pointer: String,
    pub message: String,
}

/// Explains a request, given as [`Head::parse_text`] takes it with its body, and its response when there is one.
#[must_use]
pub fn explain(snapshot: &Snapshot, head: &str, body: &[u8], response: Option<Response<'_>>) -> Explanation {
    let mut found = Explanation::default();
    let mut parsed = Head::default();
    if let Err(reason) = parsed.parse_text(head) {
        found.add(reason, "block");
        return found;
    }
    let Some(host) = snapshot.host(parsed.host()).map(|index| &snapshot.hosts[index]) else {
        found.add(Reason::HttpUnknownHost, "block");
        return found;
    };
    found.host = Some(host.name.clone());
    if body.len() as u64 > host.max_body_bytes {
        found.add(Reason::HttpBodyTooLarge, "block");
    }
    let method = host.grpc.as_ref().and_then(|grpc| grpc.find(parsed.path()));
    if let Some(operation) = method.and_then(|index| host.operation(index)) {
        found.operation = Some(operation.id.clone());
        found.unchecked.push("the messages of the call");
        return found;
    }
    let Some(openapi) = &host.openapi else {
        match &host.grpc {
            Some(grpc) => found.add(Reason::EndpointsFallthrough, action(grpc.fallthrough)),
            None => found.unchecked.push("this host has no description"),
        }
        return found;
    };
    let mut captures = Vec::new();
    match openapi.endpoints.find(parsed.method(), parsed.path(), &mut captures) {
        Match::Method { .. } => found.add(Reason::EndpointsMethod, action(openapi.action)),
        Match::None => found.add(Reason::EndpointsFallthrough, action(openapi.fallthrough)),
        Match::Operation(index) => {
            found.request(host, openapi, index, &parsed, &captures, body);
            if let Some(response) = response {
                found.response(host, openapi, index, parsed.method(), response);
            }
        }
    }
    found
}

impl Explanation {
    fn request(
        &mut self,
        host: &Host,
        openapi: &Openapi,
        index: u32,
        head: &Head,
        captures: &[(u32, u32)],
        body: &[u8],
    ) {
        let operation = &host.operations[index as usize];
        self.operation = Some(operation.id.clone());
        let checked = openapi.schemas.parameters(index, head, captures, &mut Parameters::default());
        if let Some(violation) = checked.violation {
            self.violated(violation, action(operation.action));
        }
        if let Some(violation) = checked.unknown {
            self.violated(violation, action(operation.unknown_query));
        }
        match openapi.schemas.choose(index, head) {
            Err(violation) => self.violated(violation, action(operation.action)),
            Ok(BodyCheck::NoBody) => {}
            Ok(BodyCheck::Unchecked) => self.unchecked.push("the request's body"),
            Ok(BodyCheck::Check(_))
                if body.len() as u64 > MAX_INSPECTED_BYTES
                    || matches!(head.framing(), Framing::Length(length) if length > MAX_INSPECTED_BYTES) =>
            {
                self.add(Reason::HttpBodyTooLarge, action(operation.action));
            }
            Ok(BodyCheck::Check(chosen)) => {
                if let Err(violation) = openapi.schemas.check(&chosen, body) {
                    self.violated(violation, action(operation.action));
                }
            }
        }
    }

    fn response(&mut self, host: &Host, openapi: &Openapi, index: u32, method: &str, response: Response<'_>) {
        let Some(responses) = host.operations[index as usize].responses else {
            self.unchecked.push("the response");
            return;
        };
        let action = match responses {
            ResponseAction::Log => "log",
            ResponseAction::Block => "block",
            ResponseAction::Strip => "strip",
        };
        let extent =
            if method == "HEAD" || matches!(response.status, 204 | 304) { Extent::None } else { Extent::Known };
        let fields = response.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let checked = match openapi.schemas.response(index, response.status, extent, fields, &mut Parameters::default())
        {
            Err(violation) => return self.violated(violation, action),
            Ok(ResponseCheck::Pass) => return,
            Ok(ResponseCheck::Check(chosen)) if response.body.len() as u64 <= MAX_INSPECTED_BYTES => {
                openapi.schemas.check(&chosen, response.body)
            }
            Ok(ResponseCheck::NotEvaluated | ResponseCheck::Check(_)) => Ok(Passed::NotEvaluated),
        };
        match checked {
            Ok(Passed::AsItIs) => {}
            Ok(Passed::NotEvaluated) => self.unchecked.push("the response's body"),
            Ok(Passed::Instead(stripped)) => {
                self.stripped = Some(String::from_utf8_lossy(&stripped.body).into_owned());
                self.violated(stripped.told, "log");
            }
            Err(violation) => self.violated(violation, action),
        }
    }

    fn violated(&mut self, Violation { reason, errors }: Violation, action: &'static str) {
        self.add(reason, action);
        let Some(finding) = self.findings.last_mut() else { return };
        finding.errors = errors
            .into_iter()
            .map(|error| FindingError {
                location: error.location.name(),
                class: error.class.name(),
                pointer: error.pointer,
                message: error.message,
            })
            .collect();
    }

    fn add(&mut self, reason: Reason, action: &'static str) {
        let entry = reason.entry();
        self.findings.push(Finding {
            reason: entry.id,
            status: entry.status,
            title: entry.title,
            action,
            errors: Vec::new(),
        });
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Off => "off",
        Action::Log => "log",
        Action::Block => "block",
    }
}
