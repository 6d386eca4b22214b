//! A message that somebody wrote as JSON (the mapping of Protocol Buffers), as the bytes that a client would send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// The message that a method is sent, of the descriptors of a policy: base64 of what [`super::read`] takes.
///
/// # Errors
/// What is wrong with it: for the eyes of who wrote it.
pub fn encode(descriptors: &str, path: &str, json: &str) -> Result<Vec<u8>, String> {
    let set = STANDARD.decode(descriptors).map_err(|error| error.to_string())?;
    let pool = DescriptorPool::decode(&set[..]).map_err(|error| error.to_string())?;
    let named = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let method = named
        .and_then(|(service, name)| pool.get_service_by_name(service)?.methods().find(|method| method.name() == name));
    let Some(method) = method else { return Err(format!("no service has the method `{path}`")) };
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.input(), &mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(message.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::{Sources, compile};

    fn encoded(path: &str, json: &str) -> Result<Vec<u8>, String> {
        let proto = "syntax = \"proto3\"; package a; message M { string text = 1; repeated int32 n = 2; }
            service S { rpc Call(M) returns (M); }";
        let texts = vec![("a.proto".to_owned(), proto.to_owned())];
        let set = compile(Sources { files: vec!["a.proto".to_owned()], texts }).unwrap();
        encode(&STANDARD.encode(set), path, json)
    }

    #[test]
    fn json_becomes_what_a_client_sends() {
        assert_eq!(encoded("/a.S/Call", r#"{"text":"hi","n":[1,2]}"#).unwrap(), b"\x0a\x02hi\x12\x02\x01\x02");
        assert_eq!(encoded("/a.S/Call", "{}").unwrap(), b"");
    }

    #[test]
    fn what_is_no_such_message_is_told() {
        for (path, json, told) in [
            ("/a.S/Other", "{}", "no service has the method `/a.S/Other`"),
            ("a.S", "{}", "no service has the method `a.S`"),
            ("/a.S/Call", r#"{"txt":1}"#, "txt"),
            ("/a.S/Call", r#"{"text":1}"#, "expected a string"),
            ("/a.S/Call", "{} {}", "trailing characters"),
            ("/a.S/Call", "{", "EOF"),
        ] {
            let error = encoded(path, json).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
