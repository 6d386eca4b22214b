//! One request, and perhaps its response, against a policy: which operation it is, and everything it violates.
//!
//! For the operator's eyes, away from traffic. Nothing is enforced and nothing stops at the first violation. Client
//! certificates and rules are not looked at: they need a connection.

use serde::Serialize;

use crate::decide::{self, MAX_INSPECTED_BYTES};
use crate::endpoints::Match;
use crate::exchange::Exchange;
use crate::grpc::web::TextReader;
use crate::grpc::{Call, Dialect, Next};
use crate::head::{Framing, Head};
use crate::policy::{Action, ResponseAction};
use crate::reason::Reason;
use crate::schema::{BodyCheck, Extent, Parameters, Passed, ResponseCheck, Violation};
use crate::snapshot::{Grpc, Host, Openapi, Snapshot};

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
    /// What expressions read of the messages of a call.
    pub read: Vec<Read>,
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
    /// Of a call: which message, from 1.
    pub message: Option<u64>,
    pub errors: Vec<FindingError>,
}

/// What `grpc.message["..."]` holds.
#[derive(Debug, Serialize)]
pub struct Read {
    /// Which message, from 1: rules see the first, limits `per: message` each.
    pub message: u64,
    pub path: String,
    /// What is not UTF-8 is shown as far as it is.
    pub values: Vec<String>,
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
    let mut exchange = Exchange::default();
    if let Err(reason) = exchange.head.parse_text(head) {
        found.add(reason, "block");
        return found;
    }
    let Some(host) = snapshot.host(exchange.head.host()).map(|index| &snapshot.hosts[index]) else {
        found.add(Reason::HttpUnknownHost, "block");
        return found;
    };
    found.host = Some(host.name.clone());
    exchange.grpc = exchange.head.field("content-type").and_then(Dialect::of);
    if let Err(denial) = decide::call(&mut exchange, host) {
        found.add(denial.reason, "block");
    }
    let (parsed, dialect) = (&exchange.head, exchange.grpc);
    let is_described = host.grpc.as_ref().is_some_and(|grpc| grpc.find(parsed.path()).is_some());
    // Messages have bounds of their own.
    if !is_described && body.len() as u64 > host.max_body_bytes {
        found.add(Reason::HttpBodyTooLarge, "block");
    }
    if let Some(grpc) = &host.grpc {
        match grpc.find(parsed.path()) {
            Some(index) if parsed.method() == "POST" => {
                found.call(snapshot, host, grpc, index, &exchange, body);
                if response.is_some() {
                    found.unchecked.push("the response");
                }
                return found;
            }
            Some(_) => {
                found.add(Reason::EndpointsMethod, action(grpc.action));
                return found;
            }
            None if dialect.is_some() && parsed.path().starts_with(decide::REFLECTION) => return found,
            None if dialect.is_some() || host.openapi.is_none() => {
                found.add(Reason::EndpointsFallthrough, action(grpc.fallthrough));
                return found;
            }
            None => {}
        }
    }
    let Some(openapi) = &host.openapi else {
        found.unchecked.push("this host has no description");
        return found;
    };
    let mut captures = Vec::new();
    match openapi.endpoints.find(parsed.method(), parsed.path(), &mut captures) {
        Match::Method { .. } => found.add(Reason::EndpointsMethod, action(openapi.action)),
        Match::None => found.add(Reason::EndpointsFallthrough, action(openapi.fallthrough)),
        Match::Operation(index) => {
            found.request(host, openapi, index, parsed, &captures, body);
            if let Some(response) = response {
                found.response(host, openapi, index, parsed.method(), response);
            }
        }
    }
    found
}

impl Explanation {
    /// A call of a method: its messages, framed as its client frames them.
    fn call(&mut self, snapshot: &Snapshot, host: &Host, grpc: &Grpc, index: u32, exchange: &Exchange, body: &[u8]) {
        let operation = &host.operations[index as usize];
        self.operation = Some(operation.id.clone());
        let Some(method) = grpc.method(index) else { return };
        let (action, unknown) = (action(operation.action), action(grpc.unknown_fields));
        let mut decoded = Vec::new();
        let body = if exchange.grpc == Some(Dialect::WebText) {
            let mut reader = TextReader::default();
            if reader.push(body, &mut decoded).and_then(|()| reader.end()).is_err() {
                self.add(Reason::GrpcText, "block");
                return;
            }
            &decoded
        } else {
            body
        };
        let terms = grpc.terms(method);
        let mut call = match Call::new(&terms, method, &exchange.head) {
            Ok(call) => call,
            Err(violation) => return self.violated(violation, action),
        };
        call.begin();
        let mut at = 0;
        loop {
            match call.next(&terms, body, &mut at, true) {
                Next::Message(verdict) => {
                    let number = call.messages();
                    let is_read = verdict.violation.is_none();
                    for (violation, action) in [(verdict.violation, action), (verdict.unknown, unknown)] {
                        let Some(violation) = violation else { continue };
                        self.violated(violation, action);
                        self.of_message(number);
                    }
                    let paths = terms.wanted.paths().filter(|_| is_read);
                    self.read.extend(paths.map(|path| Read {
                        message: number,
                        path: snapshot.message_paths[path].clone(),
                        values: call.values().of(path).map(|value| String::from_utf8_lossy(value).into()).collect(),
                    }));
                }
                Next::More => return,
                Next::Broken(violation) => return self.violated(violation, action),
            }
        }
    }

    fn of_message(&mut self, number: u64) {
        if let Some(finding) = self.findings.last_mut() {
            finding.message = Some(number);
        }
    }

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
            message: None,
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
