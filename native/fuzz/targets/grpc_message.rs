//! A message is judged however it was made; one that is taken, another reader takes as well. The body of a call is the
//! same in any pieces.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use portcullis_engine::grpc::framing::Framing;
use portcullis_engine::grpc::{Bounds, Described, Room, Sources, Values, compile, read};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

const PROTO: &str = r#"
syntax = "proto2";
package all;
import "buf/validate/validate.proto";
enum Colour { RED = 0; BLUE = 1; }
message Every {
  optional double a = 1; optional float b = 2; optional int32 c = 3 [(buf.validate.field).int32 = { gt: 5, lt: 2 }];
  optional sint64 d = 4; optional fixed32 e = 5; optional bool f = 6;
  optional string g = 7 [(buf.validate.field).string = { min_len: 2, pattern: "^[a-z]*$", email: true }];
  optional bytes h = 8; optional Colour i = 9 [(buf.validate.field).enum.defined_only = true];
  repeated int32 j = 10 [packed = true, (buf.validate.field).repeated = { unique: true, max_items: 5 }];
  repeated string k = 11 [(buf.validate.field).repeated.unique = true];
  map<string, Every> l = 12 [(buf.validate.field).map.min_pairs = 1];
  oneof choice { string m = 13; int32 n = 14; }
  repeated group Pair = 15 { optional string key = 16; }
  optional Every inner = 2000;
}
message Ack {}
service All { rpc Call(stream Every) returns (Ack); }
"#;

fn described() -> &'static (Described, MessageDescriptor) {
    static DESCRIBED: OnceLock<(Described, MessageDescriptor)> = OnceLock::new();
    DESCRIBED.get_or_init(|| {
        let texts = vec![("a.proto".to_owned(), PROTO.to_owned())];
        let set = compile(Sources { files: vec!["a.proto".to_owned()], texts }).expect("it compiles");
        let pool = DescriptorPool::decode(&set[..]).expect("descriptors");
        (read(&set).expect("descriptors"), pool.get_message_by_name("all.Every").expect("a message"))
    })
}

fuzz_target!(|body: &[u8]| {
    let (described, type_) = described();
    let bounds = Bounds { depth: 50, fields: 10_000 };
    let verdict = described.model.check(0, body, bounds, &mut Room::default());
    if verdict.violation.is_none() {
        assert!(DynamicMessage::decode(type_.clone(), body).is_ok());
        let wanted = described.model.wanted(0, ["g", "l.value.g", "inner.pair.key", "n"].into_iter());
        let mut values = Values::default();
        described.model.read_values(0, body, &wanted, &mut values);
        for path in 0..4 {
            assert!(values.of(path).all(|value| value.len() <= body.len() + 40));
        }
    }
    let messages = |size: usize| {
        let (mut framing, mut read) = (Framing::new(1 << 16), Vec::new());
        for piece in body.chunks(size) {
            framing.begin();
            let mut at = 0;
            loop {
                match framing.next(piece, &mut at) {
                    Ok(Some(frame)) => read.push(framing.bytes(&frame, piece).to_vec()),
                    Ok(None) => break,
                    Err(_) => return read,
                }
            }
        }
        read
    };
    let whole = messages(body.len().max(1));
    assert_eq!(whole, messages(1));
    assert_eq!(whole, messages(7));
});
