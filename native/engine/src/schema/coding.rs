//! Content codings (RFC 9110, 8.4.1): what stands between the bytes that came and the bytes that are described.

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Reads Content-Encoding fields. None for a coding that is not known, and for more than one: each further one
    /// multiplies what a small body can expand to, and no client encodes twice.
    pub fn named<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Coding> {
        const NAMES: [(&str, Coding); 5] = [
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ];
        let mut found = Coding::Identity;
        for name in fields.flat_map(|field| field.split(',')).map(|name| name.trim_matches([' ', '\t'])) {
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            let &(_, coding) = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
            if found != Coding::Identity {
                return None;
            }
            found = coding;
        }
        Some(found)
    }
}
