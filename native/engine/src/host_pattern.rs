//! Names of hosts as keys and partners list them.

/// `api.example.com`, or `*.example.com`, whose star stands for exactly one label as in the policy. Both lower-case.
pub(crate) fn fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_exactly_one_label() {
        assert!(fits("api.example.com", "api.example.com"));
        assert!(fits("*.example.com", "api.example.com"));
        for host in ["example.com", ".example.com", "a.b.example.com", "api.example.org", "*.example.com.evil", ""] {
            assert!(!fits("*.example.com", host), "{host}");
        }
        assert!(!fits("api.example.com", "api.example.com.evil"));
    }
}
