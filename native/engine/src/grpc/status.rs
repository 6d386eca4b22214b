//! `google.rpc.Status` and the details that a denial carries, as protobuf.
//!
//! Five small messages that only we write: encoded by hand, in the order of their field numbers, as every encoder does.
//! Bounded, since they travel in a header.

/// Most bytes of one status. Clients take 8 KiB of metadata by default (gRPC's `max_metadata_size`), and base64 makes
/// four of three: this leaves a third of that to everything else.
pub const MAX_STATUS_BYTES: usize = 4 * 1024;

const VARINT: u32 = 0;
const BYTES: u32 = 2;

/// What a client's program is told besides the code.
#[derive(Debug, Clone, Copy)]
pub enum Detail<'a> {
    /// `google.rpc.ErrorInfo`.
    ErrorInfo { reason: &'a str, domain: &'a str, metadata: &'a [(&'a str, &'a str)] },
    /// `google.rpc.RetryInfo`.
    RetryInfo { seconds: u64 },
    /// `google.rpc.BadRequest`: fields and what is expected of them. Those that do not fit are left out.
    BadRequest { violations: &'a [(String, &'a str)] },
}

/// Encodes a `google.rpc.Status`. Details that do not fit into [`MAX_STATUS_BYTES`] are left out.
#[must_use]
pub fn encode(code: u8, message: &str, details: &[Detail<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    number(&mut out, 1, u64::from(code));
    text(&mut out, 2, message);
    for detail in details {
        // `Any`: type URL and value, and a field of that, each with at most a few bytes of its own.
        let room = MAX_STATUS_BYTES.saturating_sub(out.len() + detail.type_url().len() + 16);
        let value = detail.value(room);
        if value.len() <= room {
            let mut any = Vec::with_capacity(value.len() + 64);
            text(&mut any, 1, detail.type_url());
            if !value.is_empty() {
                bytes(&mut any, 2, &value);
            }
            bytes(&mut out, 3, &any);
        }
    }
    out
}

impl Detail<'_> {
    fn type_url(&self) -> &'static str {
        match self {
            Detail::ErrorInfo { .. } => "type.googleapis.com/google.rpc.ErrorInfo",
            Detail::RetryInfo { .. } => "type.googleapis.com/google.rpc.RetryInfo",
            Detail::BadRequest { .. } => "type.googleapis.com/google.rpc.BadRequest",
        }
    }

    fn value(&self, room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        match *self {
            Detail::ErrorInfo { reason, domain, metadata } => {
                text(&mut out, 1, reason);
                text(&mut out, 2, domain);
                for (key, value) in metadata {
                    let mut entry = Vec::new();
                    text(&mut entry, 1, key);
                    text(&mut entry, 2, value);
                    bytes(&mut out, 3, &entry);
                }
            }
            Detail::RetryInfo { seconds } => {
                let mut duration = Vec::new();
                number(&mut duration, 1, seconds);
                bytes(&mut out, 1, &duration);
            }
            Detail::BadRequest { violations } => {
                for (field, description) in violations {
                    let mut violation = Vec::new();
                    text(&mut violation, 1, field);
                    text(&mut violation, 2, description);
                    if out.len() + violation.len() + 4 > room {
                        break;
                    }
                    bytes(&mut out, 1, &violation);
                }
            }
        }
        out
    }
}

/// Zero is what is read when nothing is there, so nothing is written.
fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        varint(out, u64::from(field << 3 | VARINT));
        varint(out, value);
    }
}

fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        bytes(out, field, value.as_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    varint(out, u64::from(field << 3 | BYTES));
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
