//! Status lines as they are written to clients: the origin's own reason phrase is not forwarded (RFC 9112, 4: a
//! client should ignore it).

/// `404 Not Found`; a code without a registered phrase stands alone (IANA HTTP Status Code Registry).
#[must_use]
pub fn line(status: u16) -> &'static str {
    REGISTERED.iter().find(|(code, _)| *code == status).map_or_else(|| bare(status), |(_, line)| line)
}

macro_rules! registered {
    ($($code:literal $phrase:literal,)*) => {
        const REGISTERED: &[(u16, &str)] = &[$(($code, concat!($code, " ", $phrase))),*];
    };
}

// The most frequent first: the list is searched from its start.
registered! {
    200 "OK", 201 "Created", 204 "No Content", 304 "Not Modified", 404 "Not Found", 400 "Bad Request",
    401 "Unauthorized", 403 "Forbidden", 202 "Accepted", 301 "Moved Permanently", 302 "Found", 303 "See Other",
    307 "Temporary Redirect", 308 "Permanent Redirect", 405 "Method Not Allowed", 409 "Conflict",
    422 "Unprocessable Content", 429 "Too Many Requests", 500 "Internal Server Error", 502 "Bad Gateway",
    503 "Service Unavailable", 504 "Gateway Timeout", 203 "Non-Authoritative Information", 205 "Reset Content",
    206 "Partial Content", 207 "Multi-Status", 208 "Already Reported", 226 "IM Used", 300 "Multiple Choices",
    305 "Use Proxy", 402 "Payment Required", 406 "Not Acceptable", 407 "Proxy Authentication Required",
    408 "Request Timeout", 410 "Gone", 411 "Length Required", 412 "Precondition Failed", 413 "Content Too Large",
    414 "URI Too Long", 415 "Unsupported Media Type", 416 "Range Not Satisfiable", 417 "Expectation Failed",
    418 "Unused", 421 "Misdirected Request", 423 "Locked", 424 "Failed Dependency", 425 "Too Early",
    426 "Upgrade Required", 428 "Precondition Required", 431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons", 501 "Not Implemented", 505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates", 507 "Insufficient Storage", 508 "Loop Detected", 510 "Not Extended",
    511 "Network Authentication Required", 100 "Continue", 102 "Processing", 103 "Early Hints",
}

/// Codes nobody registered: three digits, no phrase. Made once, for 100 to 999.
fn bare(status: u16) -> &'static str {
    use std::sync::LazyLock;
    static CODES: LazyLock<Vec<&'static str>> =
        LazyLock::new(|| (100..1000).map(|code| &*Box::leak(code.to_string().into_boxed_str())).collect());
    CODES.get(usize::from(status).wrapping_sub(100)).copied().unwrap_or("502 Bad Gateway")
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_codes_have_their_phrase_and_others_stand_alone() {
        assert_eq!(super::line(404), "404 Not Found");
        assert_eq!(super::line(299), "299");
        assert_eq!(super::line(99), "502 Bad Gateway");
    }
}
